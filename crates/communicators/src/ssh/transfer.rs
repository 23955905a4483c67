//! How files go over: the way that the template names, or the quickest that the other side has (communicators.md §5.5). What it turns
//! out not to have is remembered.

use std::path::Path;
use std::sync::OnceLock;

use bakelite_engine::communicator::{CommunicatorError, Upload};
use tokio::io::AsyncWrite;

use super::sftp::Sftp;
use super::{Ssh, file_stream, scp, tar_stream};
use crate::destination::DestinationError;
use crate::options::TransferMethod;

/// Why a transfer did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The other side cannot do it in this way at all, and nothing has happened yet: another way may work.
    #[error("{0}")]
    Missing(String),
    /// The other side complains.
    #[error("{0}")]
    Refused(String),
    /// A file of this machine.
    #[error(transparent)]
    Local(std::io::Error),
    /// The connection, or the server as a whole.
    #[error(transparent)]
    Connection(CommunicatorError),
}

impl TransferError {
    /// The same error when something has gone over already: no other way can be tried.
    pub(crate) fn under_way(self) -> Self {
        match self {
            TransferError::Missing(why) => TransferError::Refused(why),
            error => error,
        }
    }
}

impl From<DestinationError> for TransferError {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Refused(why) => TransferError::Refused(why),
            DestinationError::Local(error) => TransferError::Local(error),
        }
    }
}

/// Ways to transfer that the other side does not have, each with what it said.
#[derive(Default)]
pub(crate) struct Missing {
    shell: OnceLock<String>,
    tar: OnceLock<String>,
    sftp: OnceLock<String>,
    scp: OnceLock<String>,
}

/// A way to transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One stream through the shell: `cat`.
    Shell,
    /// One stream through the shell: `tar`.
    Tar,
    Sftp,
    Scp,
}

impl Missing {
    fn reason(&self, way: Way) -> &OnceLock<String> {
        match way {
            Way::Shell => &self.shell,
            Way::Tar => &self.tar,
            Way::Sftp => &self.sftp,
            Way::Scp => &self.scp,
        }
    }

    /// Remembers what is missing.
    fn note(&self, way: Way, why: String) {
        tracing::info!(why, ?way, "the other side cannot transfer in this way");
        // Another transfer may have found the same.
        let _ = self.reason(way).set(why);
    }

    /// The ways in the order in which they are tried, without those that are known to be missing.
    fn left(&self, method: TransferMethod, stream: Way) -> Vec<Way> {
        let ways = match method {
            TransferMethod::Quickest => vec![stream, Way::Sftp, Way::Scp],
            TransferMethod::Scp => vec![Way::Scp, Way::Sftp],
            TransferMethod::Sftp => vec![Way::Sftp],
        };
        ways.into_iter()
            .filter(|way| self.reason(*way).get().is_none())
            .collect()
    }
}

/// Writes a file of the other side.
pub(crate) async fn upload(ssh: &Ssh, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
    let what = Operation(format!("upload to `{destination}`"));
    if destination.is_empty() || destination.ends_with('/') {
        let help = Some("name the file that is to be written");
        return Err(what.refused("that is the name of a folder".into(), help));
    }
    let Upload { content, size, mode } = file;
    for way in ssh.ways(Way::Shell) {
        // Nothing of the content is read before the other side has answered.
        let done = match way {
            Way::Shell | Way::Tar => file_stream::upload(ssh.channel().await?, content, size, mode, destination).await,
            Way::Sftp => match Sftp::start(ssh.channel().await?).await {
                Ok(sftp) => sftp.upload(content, size, mode, destination).await,
                Err(error) => Err(error),
            },
            Way::Scp => scp::upload(ssh.channel().await?, content, size, mode, destination).await,
        };
        match done {
            Err(TransferError::Missing(why)) => ssh.missing.note(way, why),
            done => return done.map_err(|error| what.failed(error)),
        }
    }
    Err(what.no_way_left(ssh))
}

/// Copies a folder to the other side.
pub(crate) async fn upload_folder(
    ssh: &Ssh,
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(), CommunicatorError> {
    let what = Operation(format!("upload `{}` to `{destination}`", source.display()));
    for way in ssh.ways(Way::Tar) {
        let link = ssh.channel().await?;
        let done = match way {
            Way::Shell | Way::Tar => tar_stream::upload_folder(ssh, link, source, contents_only, destination).await,
            Way::Sftp => match Sftp::start(link).await {
                Ok(sftp) => sftp.upload_folder(source, contents_only, destination).await,
                Err(error) => Err(error),
            },
            Way::Scp => scp::upload_folder(link, source, contents_only, destination).await,
        };
        match done {
            Err(TransferError::Missing(why)) => ssh.missing.note(way, why),
            done => return done.map_err(|error| what.failed(error)),
        }
    }
    Err(what.no_way_left(ssh))
}

/// Reads a file of the other side.
pub(crate) async fn download(
    ssh: &Ssh,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), CommunicatorError> {
    let what = Operation(format!("download `{source}`"));
    for way in ssh.ways(Way::Shell) {
        let link = ssh.channel().await?;
        let done = match way {
            Way::Shell | Way::Tar => file_stream::download(link, source, destination).await,
            Way::Sftp => match Sftp::start(link).await {
                Ok(sftp) => sftp.download(source, destination).await,
                Err(error) => Err(error),
            },
            Way::Scp => scp::download(link, source, destination).await,
        };
        match done {
            Err(TransferError::Missing(why)) => ssh.missing.note(way, why),
            done => return done.map_err(|error| what.failed(error)),
        }
    }
    Err(what.no_way_left(ssh))
}

/// Copies a folder, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn download_folder(ssh: &Ssh, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
    let what = Operation(format!("download `{source}`"));
    for way in ssh.ways(Way::Tar) {
        let link = ssh.channel().await?;
        let done = match way {
            Way::Shell | Way::Tar => tar_stream::download_folder(ssh, link, source, destination).await,
            Way::Sftp => match Sftp::start(link).await {
                Ok(sftp) => sftp.download_folder(source, destination).await,
                Err(error) => Err(error),
            },
            Way::Scp => scp::download_folder(link, source, destination).await,
        };
        match done {
            Err(TransferError::Missing(why)) => ssh.missing.note(way, why),
            done => return done.map_err(|error| what.failed(error)),
        }
    }
    Err(what.no_way_left(ssh))
}

impl Ssh {
    fn ways(&self, stream: Way) -> Vec<Way> {
        self.missing.left(self.options().transfer_method(), stream)
    }
}

/// What is being done, for errors.
struct Operation(String);

impl Operation {
    fn failed(&self, error: TransferError) -> CommunicatorError {
        match error {
            TransferError::Missing(why) => self.refused(why, None),
            TransferError::Refused(message) => self.complaint(message),
            TransferError::Local(cause) => CommunicatorError::Local {
                operation: self.0.clone(),
                cause,
            },
            TransferError::Connection(error) => error,
        }
    }

    /// The error when the other side has none of the ways.
    fn no_way_left(&self, ssh: &Ssh) -> CommunicatorError {
        if ssh.options().transfer_method() == TransferMethod::Sftp {
            return self.refused(
                "the server has no SFTP".into(),
                Some("leave `ssh_file_transfer_method` out: then every other way is tried"),
            );
        }
        let why = |way| ssh.missing.reason(way).get().map_or("not tried", String::as_str);
        let message = format!(
            "the server has neither scp nor SFTP that work (scp: {}; SFTP: {})",
            why(Way::Scp),
            why(Way::Sftp)
        );
        self.refused(
            message,
            Some("install one of them in the source image, and let its login shell print nothing for commands"),
        )
    }

    /// A complaint of the other side, with what helps against the usual ones.
    fn complaint(&self, message: String) -> CommunicatorError {
        let help = match message.as_str() {
            text if text.contains("Is a directory") || text.ends_with("Failure") => {
                Some("if the destination is a folder, end it with `/` to put the file into it")
            }
            text if text.to_lowercase().contains("permission denied") => Some(
                "the user may not write there: upload to `/tmp` and move the file with `sudo` in a shell provisioner",
            ),
            text if text.contains("No such file") => {
                Some("the folder must exist: make it in a shell provisioner before")
            }
            text if text.contains("No space left") => {
                Some("the disk of the instance is full: give it a bigger volume, or remove what is in the way")
            }
            _ => None,
        };
        self.refused(message, help)
    }

    fn refused(&self, message: String, help: Option<&str>) -> CommunicatorError {
        CommunicatorError::Refused {
            operation: self.0.clone(),
            message,
            help: help.map(str::to_owned),
        }
    }
}
