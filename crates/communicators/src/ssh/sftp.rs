//! Transfers by the other side's SFTP subsystem, with many requests in flight (communicators.md §5.4).

use std::path::Path;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use russh::Channel;
use russh::client::Msg;
use russh_sftp::client::error::Error as WireError;
use russh_sftp::client::{Config, SftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::exec::answered;
use super::quote::without_shell;
use super::session::Session;
use super::transfer::TransferError;
use super::tree::{Entry, EntryKind, Links, mode, walk_beside};
use bakelite_engine::communicator::CommunicatorError;

/// Files of a folder that go over side by side.
const FILES_AT_ONCE: usize = 16;

/// Requests of one file in flight: 2 MiB, the window of OpenSSH's channels.
const REQUESTS_AT_ONCE: usize = 64;

/// A dead peer is noticed by the keep-alive questions, so the library's own limit need never be reached on a slow line.
const REQUEST_LIMIT_SECONDS: u64 = 24 * 60 * 60;

/// The subsystem on a channel of its own.
pub(crate) struct Sftp {
    wire: SftpSession,
    session: Arc<Session>,
}

impl Sftp {
    /// Starts the subsystem.
    pub(crate) async fn start((session, mut channel): (Arc<Session>, Channel<Msg>)) -> Result<Self, TransferError> {
        let requested = channel.request_subsystem(true, "sftp").await;
        answered(&session, &mut channel, requested, "start SFTP")
            .await
            .map_err(|error| match error {
                CommunicatorError::Refused { .. } => TransferError::Missing("the server has no SFTP".into()),
                error => TransferError::Connection(error),
            })?;
        let config = Config {
            max_concurrent_reads: REQUESTS_AT_ONCE,
            max_concurrent_writes: REQUESTS_AT_ONCE,
            request_timeout_secs: REQUEST_LIMIT_SECONDS,
            ..Config::default()
        };
        // A subsystem whose program is missing ends before it answers.
        let wire = SftpSession::new_with_config(channel.into_stream(), config).await;
        match wire {
            Ok(wire) => Ok(Self { wire, session }),
            Err(_) if session.is_alive() => Err(TransferError::Missing("the server has no SFTP".into())),
            Err(_) => Err(TransferError::Connection(session.lost(None))),
        }
    }

    /// Writes a file of the other side.
    pub(crate) async fn upload(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        size: u64,
        mode: u32,
        destination: &str,
    ) -> Result<(), TransferError> {
        let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE;
        let opened = self
            .wire
            .open_with_flags_and_attributes(without_shell(destination), flags, permissions(mode))
            .await;
        let mut file = opened.map_err(|error| self.refused(destination, error))?;
        // A file that was there keeps its mode, and the umask takes from that of a new one. One of somebody else can be written but
        // not given a mode.
        match file.set_metadata(permissions(mode)).await {
            Err(WireError::Status(status)) if status.status_code == StatusCode::PermissionDenied => {}
            set => set.map_err(|error| self.refused(destination, error))?,
        }
        let mut content = content.take(size);
        let mut left = size;
        let mut buffer = vec![0; 256 * 1024];
        while left > 0 {
            let length = content.read(&mut buffer).await.map_err(TransferError::Local)?;
            if length == 0 {
                let message = format!("content ends {left} bytes before its length of {size}");
                return Err(TransferError::Local(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    message,
                )));
            }
            left -= length as u64;
            file.write_all(buffer.get(..length).unwrap_or_default())
                .await
                .map_err(|error| self.broken(destination, &error))?;
        }
        file.close().await.map_err(|error| self.broken(destination, &error))
    }

    /// Copies a folder to the other side: into a destination that exists as a folder of its name, else as the destination.
    pub(crate) async fn upload_folder(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), TransferError> {
        let entries = walk_beside(source, Links::Follow).await.map_err(TransferError::Local)?;
        let mut root = without_shell(destination).trim_end_matches('/').to_owned();
        if root.is_empty() {
            root = "/".into();
        }
        if !contents_only && self.is_folder(&root).await? {
            let full = tokio::fs::canonicalize(source).await.map_err(TransferError::Local)?;
            let name = source.file_name().or_else(|| full.file_name());
            root = join(&root, &remote_name(Path::new(name.unwrap_or_default()))?);
        }
        let own = tokio::fs::metadata(source).await.map_err(TransferError::Local)?;
        self.make_folder(&root, mode(&own)).await?;
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Folder) {
            self.make_folder(&join(&root, &remote_name(&entry.relative)?), entry.mode)
                .await?;
        }
        let mut uploads = Vec::new();
        for entry in &entries {
            if let EntryKind::File(size) = entry.kind {
                uploads.push(self.upload_entry(entry, size, &root).boxed());
            }
        }
        stream::iter(uploads)
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect()
            .await
    }

    async fn upload_entry(&self, entry: &Entry, size: u64, root: &str) -> Result<(), TransferError> {
        let mut file = File::open(&entry.path).await.map_err(TransferError::Local)?;
        self.upload(&mut file, size, entry.mode, &join(root, &remote_name(&entry.relative)?))
            .await
    }

    /// Reads a file of the other side.
    pub(crate) async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), TransferError> {
        let mut file = self
            .wire
            .open(without_shell(source))
            .await
            .map_err(|error| self.refused(source, error))?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let length = file
                .read(&mut buffer)
                .await
                .map_err(|error| self.broken(source, &error))?;
            if length == 0 {
                return destination.flush().await.map_err(TransferError::Local);
            }
            destination
                .write_all(buffer.get(..length).unwrap_or_default())
                .await
                .map_err(TransferError::Local)?;
        }
    }

    /// Copies a folder, or what a pattern in the last part of the path matches, into `destination`.
    pub(crate) async fn download_folder(&self, source: &str, destination: &Path) -> Result<(), TransferError> {
        let path = without_shell(source).trim_end_matches('/');
        let (folder, last) = path.rsplit_once('/').unwrap_or((".", path));
        let folder = if folder.is_empty() { "/" } else { folder };
        let names = if last.contains(['*', '?', '[']) {
            self.matching(folder, last).await?
        } else {
            vec![last.to_owned()]
        };
        tokio::fs::create_dir_all(destination)
            .await
            .map_err(TransferError::Local)?;
        for name in names {
            let local = if matches!(name.as_str(), "" | "." | "..") {
                destination.to_owned()
            } else {
                destination.join(&name)
            };
            Box::pin(self.fetch(&join(folder, &name), &local)).await?;
        }
        Ok(())
    }

    /// Copies what is at a path, with everything below it.
    async fn fetch(&self, remote: &str, local: &Path) -> Result<(), TransferError> {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = self
            .wire
            .metadata(remote)
            .await
            .map_err(|error| self.refused(remote, error))?;
        let mode = metadata
            .permissions
            .map(|mode| std::fs::Permissions::from_mode(mode & 0o777));
        if metadata.is_dir() {
            tokio::fs::create_dir_all(local).await.map_err(TransferError::Local)?;
            for entry in self
                .wire
                .read_dir(remote)
                .await
                .map_err(|error| self.refused(remote, error))?
            {
                let name = entry.file_name();
                if name.is_empty() || name.contains(['/', '\0']) {
                    return Err(TransferError::Refused(format!(
                        "the server sends the name {name:?}, which is not one"
                    )));
                }
                Box::pin(self.fetch(&join(remote, &name), &local.join(&name))).await?;
            }
        } else {
            let mut file = File::create(local).await.map_err(TransferError::Local)?;
            self.download(remote, &mut file).await?;
        }
        match mode {
            Some(mode) => tokio::fs::set_permissions(local, mode)
                .await
                .map_err(TransferError::Local),
            None => Ok(()),
        }
    }

    async fn matching(&self, folder: &str, pattern: &str) -> Result<Vec<String>, TransferError> {
        let invalid =
            |error: glob::PatternError| TransferError::Refused(format!("`{pattern}` is not a pattern: {error}"));
        let wanted = glob::Pattern::new(pattern).map_err(invalid)?;
        let entries = self
            .wire
            .read_dir(folder)
            .await
            .map_err(|error| self.refused(folder, error))?;
        // As in a shell, a leading dot must be asked for.
        let shown = |name: &String| pattern.starts_with('.') || !name.starts_with('.');
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name())
            .filter(|name| shown(name) && wanted.matches(name))
            .collect();
        names.sort();
        if names.is_empty() {
            Err(TransferError::Refused(format!(
                "nothing in `{folder}` matches `{pattern}`"
            )))
        } else {
            Ok(names)
        }
    }

    async fn is_folder(&self, path: &str) -> Result<bool, TransferError> {
        match self.wire.metadata(path).await {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(WireError::Status(status)) if status.status_code == StatusCode::NoSuchFile => Ok(false),
            Err(error) => Err(self.refused(path, error)),
        }
    }

    /// Makes a folder unless it is there; one that was there keeps its mode.
    async fn make_folder(&self, path: &str, mode: u32) -> Result<(), TransferError> {
        if self.is_folder(path).await? {
            return Ok(());
        }
        self.wire
            .create_dir(path)
            .await
            .map_err(|error| self.refused(path, error))?;
        // Its contents follow, so that we must be allowed to write into it.
        let made = self.wire.set_metadata(path, permissions(mode | 0o700)).await;
        made.map_err(|error| self.refused(path, error))
    }

    fn refused(&self, path: &str, error: WireError) -> TransferError {
        match error {
            WireError::Status(status) => TransferError::Refused(format!("{path}: {}", status.error_message)),
            _ if !self.session.is_alive() => TransferError::Connection(self.session.lost(None)),
            error => TransferError::Refused(format!("{path}: {error}")),
        }
    }

    /// An error in the middle of a file.
    fn broken(&self, path: &str, error: &std::io::Error) -> TransferError {
        if self.session.is_alive() {
            TransferError::Refused(format!("{path}: {error}"))
        } else {
            TransferError::Connection(self.session.lost(None))
        }
    }
}

fn permissions(mode: u32) -> FileAttributes {
    FileAttributes {
        permissions: Some(mode),
        ..FileAttributes::empty()
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.ends_with('/') {
        format!("{folder}{name}")
    } else {
        format!("{folder}/{name}")
    }
}

/// SFTP carries names as text.
fn remote_name(path: &Path) -> Result<String, TransferError> {
    let name = path.to_str().map(str::to_owned);
    name.ok_or_else(|| TransferError::Local(std::io::Error::other(format!("name `{}` is not UTF-8", path.display()))))
}
