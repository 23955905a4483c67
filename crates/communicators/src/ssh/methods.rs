//! Which method transfers a file or directory: the one that the template names, or the quickest that the other side has. What it turns
//! out not to have is remembered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bakelite_engine::communicator::{CommunicatorError, Upload};
use tokio::io::AsyncWrite;

use super::connection::Connection;
use super::session::Link;
use super::sftp::Sftp;
use super::{scp, stream};
use crate::transfer::tree::Source;
use crate::transfer::{Reason, TransferError};

/// How files are transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    /// One stream through the shell of the other side: `cat` for files, `tar` for directories.
    Stream,
    /// The SFTP subsystem.
    Sftp,
    /// The `scp` program.
    Scp,
}

/// What is transferred: the shell of a system without tar still streams files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    File,
    Directory,
}

/// A transfer, with where it is from and where it goes.
pub(crate) enum Job<'a> {
    /// Writes a file of the other side.
    Upload(Upload<'a>, &'a str),
    /// Copies a directory to the other side.
    UploadDirectory(Source<'a>, &'a str),
    /// Reads a file of the other side.
    Download(&'a str, &'a mut (dyn AsyncWrite + Send + Unpin)),
    /// Copies a directory, or what a pattern matches, from the other side.
    DownloadDirectory(&'a str, &'a Path),
}

impl Job<'_> {
    /// What is being done, for errors.
    fn operation(&self) -> String {
        match self {
            Job::Upload(_, to) => format!("upload to `{to}`"),
            Job::UploadDirectory(from, to) => format!("upload `{}` to `{to}`", from.path.display()),
            Job::Download(from, _) | Job::DownloadDirectory(from, _) => format!("download `{from}`"),
        }
    }

    fn content(&self) -> Content {
        match self {
            Job::Upload(..) | Job::Download(..) => Content::File,
            Job::UploadDirectory(..) | Job::DownloadDirectory(..) => Content::Directory,
        }
    }
}

/// Transfers over one connection.
pub(crate) struct Transfers {
    connection: Arc<Connection>,
    /// In the order in which they are tried.
    methods: &'static [Method],
    /// Methods that the other side does not have, with its answers.
    missing: Mutex<BTreeMap<(Method, Content), String>>,
}

impl Transfers {
    pub(crate) fn new(connection: Arc<Connection>, methods: &'static [Method]) -> Self {
        Self {
            connection,
            methods,
            missing: Mutex::default(),
        }
    }

    /// Transfers by the first method that the other side has.
    pub(crate) async fn run(&self, mut job: Job<'_>) -> Result<(), CommunicatorError> {
        let (operation, content) = (job.operation(), job.content());
        if let Job::Upload(_, destination) = &job
            && (destination.is_empty() || destination.ends_with('/'))
        {
            return Err(CommunicatorError::Refused {
                operation,
                message: "that is the name of a directory".into(),
                help: Some("name the file that is to be written".into()),
            });
        }
        for method in self.methods {
            if self.missing(*method, content).is_some() {
                continue;
            }
            // Nothing of a file's content is read before the other side has answered.
            match self.attempt(*method, self.connection.link().await?, &mut job).await {
                Err(TransferError::Missing(why)) => {
                    tracing::info!(why, ?method, "the other side does not have this method of transfer");
                    let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
                    missing.insert((*method, content), why);
                }
                done => return done.map_err(|error| error.of(operation, advice)),
            }
        }
        Err(self.no_method_left(operation, content))
    }

    async fn attempt(&self, method: Method, link: Link, job: &mut Job<'_>) -> Result<(), TransferError> {
        let connection = &*self.connection;
        match method {
            Method::Stream => match job {
                Job::Upload(file, to) => stream::upload(link, file, to).await,
                Job::UploadDirectory(from, to) => stream::upload_directory(connection, link, *from, to).await,
                Job::Download(from, to) => stream::download(link, from, &mut **to).await,
                Job::DownloadDirectory(from, to) => stream::download_directory(connection, link, from, to).await,
            },
            Method::Sftp => {
                let sftp = Sftp::start(link).await?;
                match job {
                    Job::Upload(file, to) => sftp.upload(file, to).await,
                    Job::UploadDirectory(from, to) => sftp.upload_directory(*from, to).await,
                    Job::Download(from, to) => sftp.download(from, &mut **to).await,
                    Job::DownloadDirectory(from, to) => sftp.download_directory(from, to).await,
                }
            }
            Method::Scp => match job {
                Job::Upload(file, to) => scp::upload(link, file, to).await,
                Job::UploadDirectory(from, to) => scp::upload_directory(link, *from, to).await,
                Job::Download(from, to) => scp::download(link, from, &mut **to).await,
                Job::DownloadDirectory(from, to) => scp::download_directory(link, from, to).await,
            },
        }
    }

    fn missing(&self, method: Method, content: Content) -> Option<String> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get(&(method, content)).cloned()
    }

    /// The error when the other side has none of the methods.
    fn no_method_left(&self, operation: String, content: Content) -> CommunicatorError {
        let (message, help) = if self.methods == [Method::Sftp] {
            (
                "the server has no SFTP".into(),
                "leave `ssh_file_transfer_method` out: then every other method is tried",
            )
        } else {
            let why = |method| self.missing(method, content).unwrap_or_else(|| "not tried".into());
            let (scp, sftp) = (why(Method::Scp), why(Method::Sftp));
            (
                format!("the server has neither scp nor SFTP that work (scp: {scp}; SFTP: {sftp})"),
                "install one of them in the source image, and let its login shell print nothing for commands",
            )
        };
        CommunicatorError::Refused {
            operation,
            message,
            help: Some(help.into()),
        }
    }
}

/// What helps against the usual refusals.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::IsDirectory => "if the destination is a directory, end it with `/` to put the file into it",
        Reason::NotFound => "the directory must exist: make it in a shell provisioner before",
        Reason::Denied => {
            "the user may not write there: upload to `/tmp` and move the file with `sudo` in a shell provisioner"
        }
        Reason::NoSpace => "the disk of the instance is full: give it a bigger volume, or remove what is in the way",
    }
}
