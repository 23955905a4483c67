//! Files and directories by the other side's SFTP subsystem, with many requests in flight. Links to something of a directory stay links,
//! as with tar.

use std::path::Path;
use std::sync::Arc;

use bakelite_engine::communicator::{CommunicatorError, Upload};
use bakelite_engine::untrusted::quoted;
use bakelite_net::tap::Tapped;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use russh_sftp::client::error::Error as WireError;
use russh_sftp::client::fs::ReadDir;
use russh_sftp::client::{Config, SftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::exec::answered;
use super::program::read_piece;
use super::session::{Link, Session};
use crate::transfer::destination::{Beside, plain};
use crate::transfer::listing::{Scales, Weighing, Weight};
use crate::transfer::tree::{Entry, EntryKind, Links, Source, resolved_inside, walk_beside};
use crate::transfer::{Reason, TransferError};

/// Requests of one file in flight: 2 MiB, the window of OpenSSH's channels.
const REQUESTS_AT_ONCE: usize = 64;

/// A dead peer is noticed by the keepalives, so the library's own limit need never be reached on a slow line.
const REQUEST_LIMIT_SECONDS: u64 = 24 * 60 * 60;

/// Files of a directory that are transferred at a time.
const FILES_AT_ONCE: usize = 16;

/// Mode of what the server gives no mode for.
const USUAL_MODE: u32 = 0o777;

/// The subsystem on a channel of its own.
pub(crate) struct Sftp {
    wire: SftpSession,
    session: Arc<Session>,
    scales: Arc<Scales>,
}

impl Sftp {
    /// Starts the subsystem.
    pub(crate) async fn start(Link { session, mut channel }: Link) -> Result<Self, TransferError> {
        let requested = channel.request_subsystem(true, "sftp").await;
        requested.map_err(|error| TransferError::Connection(session.lost(Some(error))))?;
        answered(&session, &mut channel, "start SFTP")
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
        let scales = Arc::<Scales>::default();
        let stream = Tapped {
            stream: channel.into_stream(),
            tap: Weighing::new(Arc::clone(&scales)),
        };
        let wire = SftpSession::new_with_config(stream, config).await;
        match wire {
            Ok(wire) => Ok(Self { wire, session, scales }),
            Err(_) if session.is_alive() => Err(TransferError::Missing("the server has no SFTP".into())),
            Err(_) => Err(TransferError::Connection(session.lost(None))),
        }
    }

    /// Writes a file of the other side.
    pub(crate) async fn upload(
        &self,
        Upload { content, size, mode }: &mut Upload<'_>,
        destination: &str,
    ) -> Result<(), TransferError> {
        let (size, mode) = (*size, *mode);
        let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE;
        let opened = self
            .wire
            .open_with_flags_and_attributes(without_shell(destination), flags, permissions(mode))
            .await;
        let mut file = opened.map_err(|error| self.refused(destination, error))?;
        // A file that was there keeps its mode, and the umask takes from that of a new one.
        unless_denied(file.set_metadata(permissions(mode)).await).map_err(|error| self.refused(destination, error))?;
        let mut left = size;
        while left > 0 {
            let piece = read_piece(&mut **content, left, size).await?;
            left -= piece.len() as u64;
            file.write_all(&piece)
                .await
                .map_err(|error| self.broken(destination, &error))?;
        }
        file.close().await.map_err(|error| self.broken(destination, &error))
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

    /// The names in a directory, with what their list weighs as long as it is kept.
    async fn list(&self, directory: &str) -> Result<(ReadDir, Weight), TransferError> {
        let (listed, weight) = self.scales.weigh(self.wire.read_dir(directory)).await;
        if self.scales.is_too_much() {
            let directory = quoted(directory);
            return Err(TransferError::refused(format!(
                "`{directory}` has more entries than can be listed (about 300,000): pack it there and download the archive"
            )));
        }
        listed
            .map(|entries| (entries, weight))
            .map_err(|error| self.refused(directory, error))
    }

    fn refused(&self, path: &str, error: WireError) -> TransferError {
        let path = quoted(path);
        match error {
            WireError::Status(status) => TransferError::Refused {
                message: format!("{path}: {}", quoted(&status.error_message)),
                reason: match status.status_code {
                    StatusCode::NoSuchFile => Some(Reason::NotFound),
                    StatusCode::PermissionDenied => Some(Reason::Denied),
                    // This version of the protocol has no other code for it; few other causes are as usual.
                    StatusCode::Failure => Some(Reason::IsDirectory),
                    _ => None,
                },
            },
            _ if !self.session.is_alive() => TransferError::Connection(self.session.lost(None)),
            error => TransferError::refused(format!("{path}: {}", quoted(&error.to_string()))),
        }
    }

    /// An error in the middle of a file.
    fn broken(&self, path: &str, error: &std::io::Error) -> TransferError {
        if self.session.is_alive() {
            TransferError::complaint(format!("{}: {}", quoted(path), quoted(&error.to_string())))
        } else {
            TransferError::Connection(self.session.lost(None))
        }
    }

    /// Copies a directory to the other side: into a destination that exists as a directory of its name, else as the destination.
    pub(crate) async fn upload_directory(&self, source: Source<'_>, destination: &str) -> Result<(), TransferError> {
        let entries = walk_beside(source.path, Links::KeepInside)
            .await
            .map_err(TransferError::Local)?;
        let root = self.root(source, destination).await?;
        let own = source.root().map_err(TransferError::Local)?;
        let mut made = Vec::new();
        if self.make_directory(&root, own.mode).await? {
            made.push((root.clone(), own.modified));
        }
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let path = join(&root, &remote_name(&entry.relative)?);
            if self.make_directory(&path, entry.mode).await? {
                made.push((path, entry.modified));
            }
        }
        let contents = entries.iter().filter(|entry| entry.kind != EntryKind::Directory);
        let uploads: Vec<_> = contents.map(|entry| self.upload_entry(entry, &root).boxed()).collect();
        stream::iter(uploads)
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        // What came into a directory has changed its time.
        for (path, modified) in made {
            self.set_time(&path, modified).await?;
        }
        Ok(())
    }

    /// What the directory will be at the other side.
    async fn root(&self, source: Source<'_>, destination: &str) -> Result<String, TransferError> {
        let mut root = without_shell(destination).trim_end_matches('/').to_owned();
        if root.is_empty() {
            root = "/".into();
        }
        if source.contents_only || !self.is_directory(&root).await? {
            return Ok(root);
        }
        let name = source.name().map_err(TransferError::Local)?;
        Ok(join(&root, &remote_name(Path::new(&name))?))
    }

    async fn upload_entry(&self, entry: &Entry, root: &str) -> Result<(), TransferError> {
        let path = join(root, &remote_name(&entry.relative)?);
        match &entry.kind {
            EntryKind::Directory => Ok(()),
            EntryKind::Link(target) => self.make_link(&path, &remote_name(target)?).await,
            EntryKind::File(size) => {
                let mut file = File::open(&entry.path).await.map_err(TransferError::Local)?;
                let file = &mut Upload {
                    content: &mut file,
                    size: *size,
                    mode: entry.mode,
                };
                self.upload(file, &path).await?;
                self.set_time(&path, entry.modified).await
            }
        }
    }

    /// Makes a link; a file or link in its place goes.
    async fn make_link(&self, path: &str, target: &str) -> Result<(), TransferError> {
        let there = self.wire.symlink_metadata(path).await;
        if there.is_ok_and(|there| !there.is_dir()) {
            let removed = self.wire.remove_file(path).await;
            removed.map_err(|error| self.refused(path, error))?;
        }
        // OpenSSH reads the target first, unlike the draft, and every server has followed it (OpenSSH, PROTOCOL, section 4.1).
        let made = self.wire.symlink(target, path).await;
        made.map_err(|error| self.refused(path, error))
    }

    async fn set_time(&self, path: &str, modified: i64) -> Result<(), TransferError> {
        // The protocol of this version counts seconds in 32 bits; what does not fit keeps the time of its arrival.
        let Ok(seconds) = u32::try_from(modified) else {
            return Ok(());
        };
        let times = FileAttributes {
            atime: Some(seconds),
            mtime: Some(seconds),
            ..FileAttributes::empty()
        };
        unless_denied(self.wire.set_metadata(path, times).await).map_err(|error| self.refused(path, error))
    }

    /// Copies a directory, or what a pattern in the last part of the path matches, into `destination`.
    pub(crate) async fn download_directory(&self, source: &str, destination: &Path) -> Result<(), TransferError> {
        let path = match without_shell(source).trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let (directory, last) = path.rsplit_once('/').unwrap_or((".", path));
        let directory = if directory.is_empty() { "/" } else { directory };
        let names = if last.contains(['*', '?', '[']) {
            self.matching(directory, last).await?
        } else {
            vec![last.to_owned()]
        };
        let destination = Beside::open(destination).await?;
        for name in names {
            let above = if matches!(name.as_str(), "" | "." | "..") {
                Path::new("")
            } else {
                plain(&name)?
            };
            Box::pin(self.fetch(&join(directory, &name), &destination, above, Path::new(""))).await?;
        }
        Ok(destination.finish().await?)
    }

    /// Copies what is at a path, with everything below it: `above` is where what was asked for goes, `relative` where this is below it.
    async fn fetch(
        &self,
        remote: &str,
        destination: &Beside,
        above: &Path,
        relative: &Path,
    ) -> Result<(), TransferError> {
        let refused = |error| self.refused(remote, error);
        let place = above.join(relative);
        if let Some(target) = self.kept_link(remote, relative).await? {
            let link = destination.step(move |destination| destination.link(&place, Path::new(&target)));
            return Ok(link.await?);
        }
        let metadata = self.wire.metadata(remote).await.map_err(refused)?;
        let mode = metadata.permissions.unwrap_or(USUAL_MODE);
        let modified = metadata.mtime.map(u64::from);
        if metadata.is_dir() {
            destination.directory(place, mode, modified).await?;
            let (names, _weight) = self.names(remote).await?;
            for name in names {
                let relative = relative.join(plain(&name)?);
                Box::pin(self.fetch(&join(remote, &name), destination, above, &relative)).await?;
            }
            return Ok(());
        }
        let file = destination.file(place, mode).await?;
        let mut content = file.stream().map_err(TransferError::Local)?;
        self.download(remote, &mut content).await?;
        file.complete(modified).map_err(TransferError::Local)
    }

    /// The target of a link that leads to something of what is fetched; other links are followed.
    async fn kept_link(&self, remote: &str, relative: &Path) -> Result<Option<String>, TransferError> {
        if relative.as_os_str().is_empty() {
            return Ok(None);
        }
        let there = self.wire.symlink_metadata(remote).await;
        if !there.map_err(|error| self.refused(remote, error))?.is_symlink() {
            return Ok(None);
        }
        let target = self.wire.read_link(remote).await;
        let target = target.map_err(|error| self.refused(remote, error))?;
        Ok(resolved_inside(relative, Path::new(&target)).map(|_| target))
    }

    async fn matching(&self, directory: &str, pattern: &str) -> Result<Vec<String>, TransferError> {
        let invalid =
            |error: glob::PatternError| TransferError::refused(format!("`{pattern}` is not a pattern: {error}"));
        let wanted = glob::Pattern::new(pattern).map_err(invalid)?;
        // As in a shell, a leading dot must be asked for.
        let shown = |name: &String| pattern.starts_with('.') || !name.starts_with('.');
        let (mut names, _weight) = self.names(directory).await?;
        names.retain(|name| shown(name) && wanted.matches(name));
        names.sort();
        if names.is_empty() {
            Err(TransferError::refused(format!(
                "nothing in `{directory}` matches `{pattern}`"
            )))
        } else {
            Ok(names)
        }
    }

    /// The names in a directory of the other side, each of which is a name and no path.
    async fn names(&self, directory: &str) -> Result<(Vec<String>, Weight), TransferError> {
        let (entries, weight) = self.list(directory).await?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.file_name();
            plain(&name)?;
            names.push(name);
        }
        Ok((names, weight))
    }

    async fn is_directory(&self, path: &str) -> Result<bool, TransferError> {
        match self.wire.metadata(path).await {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(WireError::Status(status)) if status.status_code == StatusCode::NoSuchFile => Ok(false),
            Err(error) => Err(self.refused(path, error)),
        }
    }

    /// Makes a directory unless it is there, and answers whether it was made: one that was there keeps its mode and time.
    async fn make_directory(&self, path: &str, mode: u32) -> Result<bool, TransferError> {
        if self.is_directory(path).await? {
            return Ok(false);
        }
        self.wire
            .create_dir(path)
            .await
            .map_err(|error| self.refused(path, error))?;
        // Its contents follow, so that we must be allowed to write into it.
        let made = self.wire.set_metadata(path, permissions(mode | 0o700)).await;
        made.map_err(|error| self.refused(path, error))?;
        Ok(true)
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.ends_with('/') {
        format!("{directory}{name}")
    } else {
        format!("{directory}/{name}")
    }
}

/// SFTP carries names as text.
fn remote_name(path: &Path) -> Result<String, TransferError> {
    let name = path.to_str().map(str::to_owned);
    name.ok_or_else(|| TransferError::Local(std::io::Error::other(format!("name `{}` is not UTF-8", path.display()))))
}

/// A file of somebody else can be written but not given a mode or a time.
fn unless_denied(set: Result<(), WireError>) -> Result<(), WireError> {
    match set {
        Err(WireError::Status(status)) if status.status_code == StatusCode::PermissionDenied => Ok(()),
        set => set,
    }
}

fn permissions(mode: u32) -> FileAttributes {
    FileAttributes {
        permissions: Some(mode),
        ..FileAttributes::empty()
    }
}

/// A path where no shell expands `~`: it is relative to the home directory then.
fn without_shell(path: &str) -> &str {
    match path {
        "~" | "~/" => ".",
        _ => path.strip_prefix("~/").unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_relative_where_there_is_no_shell() {
        assert_eq!(without_shell("~/x"), "x");
        assert_eq!(without_shell("~"), ".");
        assert_eq!(without_shell("/x/~/y"), "/x/~/y");
    }
}
