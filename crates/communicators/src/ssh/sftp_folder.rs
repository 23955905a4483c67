//! Folders by SFTP, several files at once. Links to something of the folder stay links, as with tar.

use std::path::Path;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use russh_sftp::client::error::Error as WireError;
use russh_sftp::protocol::{FileAttributes, StatusCode};
use tokio::fs::File;

use super::listing::Weight;
use super::quote::without_shell;
use super::sftp::{Sftp, permissions, unless_denied};
use super::transfer::TransferError;
use super::tree::{Entry, EntryKind, Links, mode, modified, walk_beside};
use crate::destination::{Beside, plain};
use crate::link::resolved_inside;

/// Files of a folder that go over side by side.
const FILES_AT_ONCE: usize = 16;

/// Mode of what the server says no mode of.
const USUAL_MODE: u32 = 0o777;

impl Sftp {
    /// Copies a folder to the other side: into a destination that exists as a folder of its name, else as the destination.
    pub(crate) async fn upload_folder(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), TransferError> {
        let entries = walk_beside(source, Links::KeepInside)
            .await
            .map_err(TransferError::Local)?;
        let root = self.root(source, contents_only, destination).await?;
        let own = tokio::fs::metadata(source).await.map_err(TransferError::Local)?;
        let mut made = Vec::new();
        if self.make_folder(&root, mode(&own)).await? {
            made.push((root.clone(), modified(&own)));
        }
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Folder) {
            let path = join(&root, &remote_name(&entry.relative)?);
            if self.make_folder(&path, entry.mode).await? {
                made.push((path, entry.modified));
            }
        }
        let contents = entries.iter().filter(|entry| entry.kind != EntryKind::Folder);
        let uploads: Vec<_> = contents.map(|entry| self.upload_entry(entry, &root).boxed()).collect();
        stream::iter(uploads)
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        // What came into a folder has changed its time.
        for (path, modified) in made {
            self.set_time(&path, modified).await?;
        }
        Ok(())
    }

    /// What the folder will be at the other side.
    async fn root(&self, source: &Path, contents_only: bool, destination: &str) -> Result<String, TransferError> {
        let mut root = without_shell(destination).trim_end_matches('/').to_owned();
        if root.is_empty() {
            root = "/".into();
        }
        if contents_only || !self.is_folder(&root).await? {
            return Ok(root);
        }
        let full = tokio::fs::canonicalize(source).await.map_err(TransferError::Local)?;
        let name = source.file_name().or_else(|| full.file_name());
        Ok(join(&root, &remote_name(Path::new(name.unwrap_or_default()))?))
    }

    async fn upload_entry(&self, entry: &Entry, root: &str) -> Result<(), TransferError> {
        let path = join(root, &remote_name(&entry.relative)?);
        match &entry.kind {
            EntryKind::Folder => Ok(()),
            EntryKind::Link(target) => self.make_link(&path, &remote_name(target)?).await,
            EntryKind::File(size) => {
                let mut file = File::open(&entry.path).await.map_err(TransferError::Local)?;
                self.upload(&mut file, *size, entry.mode, &path).await?;
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

    /// Copies a folder, or what a pattern in the last part of the path matches, into `destination`.
    pub(crate) async fn download_folder(&self, source: &str, destination: &Path) -> Result<(), TransferError> {
        let path = match without_shell(source).trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let (folder, last) = path.rsplit_once('/').unwrap_or((".", path));
        let folder = if folder.is_empty() { "/" } else { folder };
        let names = if last.contains(['*', '?', '[']) {
            self.matching(folder, last).await?
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
            Box::pin(self.fetch(&join(folder, &name), &destination, above, Path::new(""))).await?;
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
            destination.folder(place, mode, modified).await?;
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

    async fn matching(&self, folder: &str, pattern: &str) -> Result<Vec<String>, TransferError> {
        let invalid =
            |error: glob::PatternError| TransferError::Refused(format!("`{pattern}` is not a pattern: {error}"));
        let wanted = glob::Pattern::new(pattern).map_err(invalid)?;
        // As in a shell, a leading dot must be asked for.
        let shown = |name: &String| pattern.starts_with('.') || !name.starts_with('.');
        let (mut names, _weight) = self.names(folder).await?;
        names.retain(|name| shown(name) && wanted.matches(name));
        names.sort();
        if names.is_empty() {
            Err(TransferError::Refused(format!(
                "nothing in `{folder}` matches `{pattern}`"
            )))
        } else {
            Ok(names)
        }
    }

    /// The names in a folder of the other side, each of which is a name and no path.
    async fn names(&self, folder: &str) -> Result<(Vec<String>, Weight), TransferError> {
        let (entries, weight) = self.list(folder).await?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.file_name();
            plain(&name)?;
            names.push(name);
        }
        Ok((names, weight))
    }

    async fn is_folder(&self, path: &str) -> Result<bool, TransferError> {
        match self.wire.metadata(path).await {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(WireError::Status(status)) if status.status_code == StatusCode::NoSuchFile => Ok(false),
            Err(error) => Err(self.refused(path, error)),
        }
    }

    /// Makes a folder unless it is there, and answers whether it was made: one that was there keeps its mode and time.
    async fn make_folder(&self, path: &str, mode: u32) -> Result<bool, TransferError> {
        if self.is_folder(path).await? {
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
