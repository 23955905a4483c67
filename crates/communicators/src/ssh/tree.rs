//! A local folder as it goes over: links are followed, names are in order, what cannot go over is an error before anything does.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Something below the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it is here.
    pub(crate) path: PathBuf,
    /// Where it is below the folder.
    pub(crate) relative: PathBuf,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// What it is.
    pub(crate) kind: EntryKind,
}

/// What an entry is, after following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A folder; what is in it follows right after it.
    Folder,
    /// A file of this many bytes.
    File(u64),
}

/// Everything below a folder, depth first, in the order of names.
pub(crate) fn walk(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut above = vec![identity(&std::fs::metadata(folder)?)];
    walk_into(folder, Path::new(""), &mut above, &mut entries)?;
    Ok(entries)
}

/// The same, away from the threads that everybody shares.
pub(crate) async fn walk_beside(folder: &Path) -> io::Result<Vec<Entry>> {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || walk(&folder))
        .await
        .map_err(io::Error::other)?
}

/// Permission bits of a file or folder.
pub(crate) fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

fn walk_into(folder: &Path, relative: &Path, above: &mut Vec<(u64, u64)>, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut names: Vec<OsString> = std::fs::read_dir(folder)
        .map_err(|error| at(folder, &error))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()
        .map_err(|error| at(folder, &error))?;
    names.sort();
    for name in names {
        let (path, relative) = (folder.join(&name), relative.join(&name));
        let metadata = std::fs::metadata(&path).map_err(|error| at(&path, &error))?;
        let mode = mode(&metadata);
        if metadata.is_dir() {
            let identity = identity(&metadata);
            if above.contains(&identity) {
                return Err(at(&path, &"a link to a folder that it is in itself"));
            }
            entries.push(Entry {
                path: path.clone(),
                relative: relative.clone(),
                mode,
                kind: EntryKind::Folder,
            });
            above.push(identity);
            walk_into(&path, &relative, above, entries)?;
            above.pop();
        } else if metadata.is_file() {
            entries.push(Entry {
                path,
                relative,
                mode,
                kind: EntryKind::File(metadata.len()),
            });
        } else {
            return Err(at(
                &path,
                &format!("a {} cannot go over, only files and folders", special(&metadata)),
            ));
        }
    }
    Ok(())
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn special(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_fifo() => "named pipe",
        () if kind.is_socket() => "socket",
        () => "device",
    }
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_names_are_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        std::fs::write(folder.path().join("b/x"), "12").unwrap();
        std::fs::write(folder.path().join("a"), "1").unwrap();
        symlink("a", folder.path().join("c")).unwrap();
        symlink("b", folder.path().join("d")).unwrap();
        let names: Vec<String> = walk(folder.path())
            .unwrap()
            .iter()
            .map(|entry| entry.relative.display().to_string())
            .collect();
        assert_eq!(names, ["a", "b", "b/x", "c", "d", "d/x"]);
    }

    #[test]
    fn a_circle_of_links_is_an_error_and_not_endless() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        symlink("..", folder.path().join("a/up")).unwrap();
        let error = walk(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("a/up`: a link to a folder that it is in itself"),
            "{error}"
        );
    }

    #[test]
    fn a_link_to_nothing_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        symlink("nowhere", folder.path().join("gone")).unwrap();
        let error = walk(folder.path()).unwrap_err().to_string();
        assert!(error.contains("gone`: No such file"), "{error}");
    }
}
