//! A local directory to copy: names are in order, what cannot be copied is an error before anything is. Links are followed, but
//! for those that mean the same at the other side: they lead to something of the directory.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

/// A local directory to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a Path,
    /// Its contents go into the destination, and not a directory of its name.
    pub(crate) contents_only: bool,
}

impl Source<'_> {
    /// The name of the directory; `.`, `..` and `/` have one only when they are looked up.
    pub(crate) fn name(&self) -> io::Result<OsString> {
        let full = self.path.canonicalize()?;
        let name = self.path.file_name().or(full.file_name());
        Ok(name.unwrap_or_default().to_owned())
    }

    /// The directory itself as an entry.
    pub(crate) fn root(&self) -> io::Result<Entry> {
        let metadata = std::fs::metadata(self.path)?;
        Ok(Entry {
            path: self.path.to_owned(),
            relative: PathBuf::new(),
            mode: mode(&metadata),
            modified: metadata.mtime(),
            kind: EntryKind::Directory,
        })
    }
}

/// Something below the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it is here.
    pub(crate) path: PathBuf,
    /// Where it is below the directory.
    pub(crate) relative: PathBuf,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// When it was last changed, in seconds since 1970.
    pub(crate) modified: i64,
    /// What it is.
    pub(crate) kind: EntryKind,
}

/// What happens to links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// What they lead to is copied in their place.
    Follow,
    /// Those that lead to something of the directory stay links; the others are followed.
    KeepInside,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A directory; what is in it follows right after it.
    Directory,
    /// A file of this many bytes.
    File(u64),
    /// A link to this.
    Link(PathBuf),
}

/// Everything below a directory, depth first, in the order of names.
pub(crate) fn walk(directory: &Path, links: Links) -> io::Result<Vec<Entry>> {
    let mut walk = Walk {
        root: directory.canonicalize()?,
        links,
        above: vec![identity(&std::fs::metadata(directory)?)],
        entries: Vec::new(),
    };
    walk.enter(directory, Path::new(""))?;
    Ok(walk.entries)
}

/// The same, away from the threads that everybody shares.
pub(crate) async fn walk_beside(directory: &Path, links: Links) -> io::Result<Vec<Entry>> {
    let directory = directory.to_owned();
    tokio::task::spawn_blocking(move || walk(&directory, links))
        .await
        .map_err(io::Error::other)?
}

/// Permission bits of a file or directory.
fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

/// A walk under way.
struct Walk {
    root: PathBuf,
    links: Links,
    /// The directories that the current one is in, to notice circles.
    above: Vec<(u64, u64)>,
    entries: Vec<Entry>,
}

impl Walk {
    fn enter(&mut self, directory: &Path, relative: &Path) -> io::Result<()> {
        let mut names: Vec<OsString> = std::fs::read_dir(directory)
            .map_err(|error| at(directory, &error))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()
            .map_err(|error| at(directory, &error))?;
        names.sort();
        for name in names {
            let (path, relative) = (directory.join(&name), relative.join(&name));
            self.visit(path, relative)?;
        }
        Ok(())
    }

    fn visit(&mut self, path: PathBuf, relative: PathBuf) -> io::Result<()> {
        let mut metadata = std::fs::symlink_metadata(&path).map_err(|error| at(&path, &error))?;
        let kept = if metadata.is_symlink() {
            self.kept_link(&path, &relative)?
        } else {
            None
        };
        if metadata.is_symlink() && kept.is_none() {
            metadata = std::fs::metadata(&path).map_err(|error| at(&path, &error))?;
        }
        let kind = match kept {
            Some(target) => EntryKind::Link(target),
            None if metadata.is_dir() => EntryKind::Directory,
            None if metadata.is_file() => EntryKind::File(metadata.len()),
            None => {
                let what = format!(
                    "a {} cannot be transferred, only files and directories",
                    special(&metadata)
                );
                return Err(at(&path, &what));
            }
        };
        let directory = (kind == EntryKind::Directory).then(|| (identity(&metadata), path.clone(), relative.clone()));
        self.entries.push(Entry {
            path,
            relative,
            mode: mode(&metadata),
            modified: metadata.mtime(),
            kind,
        });
        let Some((identity, path, relative)) = directory else {
            return Ok(());
        };
        if self.above.contains(&identity) {
            return Err(at(&path, &"a link to a directory that it is in itself"));
        }
        self.above.push(identity);
        self.enter(&path, &relative)?;
        self.above.pop();
        Ok(())
    }

    /// The target of a link that stays one: it means the same wherever the directory is.
    fn kept_link(&self, path: &Path, relative: &Path) -> io::Result<Option<PathBuf>> {
        if self.links == Links::Follow {
            return Ok(None);
        }
        let target = std::fs::read_link(path).map_err(|error| at(path, &error))?;
        let Some(inside) = resolved_inside(relative, &target) else {
            return Ok(None);
        };
        let same = match (path.canonicalize(), self.root.join(inside).canonicalize()) {
            (Ok(meant), Ok(inside)) => meant == inside && meant.starts_with(&self.root),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        Ok(same.then_some(target))
    }
}

/// Where a link of a directory leads, below that directory; `None` when it leads out of it.
pub(crate) fn resolved_inside(link: &Path, target: &Path) -> Option<PathBuf> {
    let mut resolved = link.parent()?.to_owned();
    let mut down = false;
    for component in target.components() {
        match component {
            Component::Normal(name) => {
                down = true;
                resolved.push(name);
            }
            Component::CurDir => {}
            // Up again after going down may be up from where another link has led.
            Component::ParentDir if !down && resolved.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
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
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("b")).unwrap();
        std::fs::write(directory.path().join("b/x"), "12").unwrap();
        std::fs::write(directory.path().join("a"), "1").unwrap();
        symlink("a", directory.path().join("c")).unwrap();
        symlink("b", directory.path().join("d")).unwrap();
        let names: Vec<String> = walk(directory.path(), Links::Follow)
            .unwrap()
            .iter()
            .map(|entry| entry.relative.display().to_string())
            .collect();
        assert_eq!(names, ["a", "b", "b/x", "c", "d", "d/x"]);
    }

    #[test]
    fn a_circle_of_links_is_an_error_and_not_endless() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a")).unwrap();
        symlink("..", directory.path().join("a/up")).unwrap();
        let error = walk(directory.path(), Links::Follow).unwrap_err().to_string();
        assert!(
            error.contains("a/up`: a link to a directory that it is in itself"),
            "{error}"
        );
    }

    #[test]
    fn a_link_to_nothing_is_an_error_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        symlink("nowhere", directory.path().join("gone")).unwrap();
        let error = walk(directory.path(), Links::Follow).unwrap_err().to_string();
        assert!(error.contains("gone`: No such file"), "{error}");
    }

    #[test]
    fn links_to_something_of_the_directory_stay_links_and_others_do_not() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("far"), "1").unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a")).unwrap();
        std::fs::write(directory.path().join("a/x"), "12").unwrap();
        symlink("a/x", directory.path().join("in")).unwrap();
        symlink("../in", directory.path().join("a/up")).unwrap();
        symlink("..", directory.path().join("a/circle")).unwrap();
        symlink("nowhere", directory.path().join("gone")).unwrap();
        symlink(outside.path().join("far"), directory.path().join("out")).unwrap();
        symlink(directory.path().join("a/x"), directory.path().join("absolute")).unwrap();
        let kept: Vec<(String, bool)> = walk(directory.path(), Links::KeepInside)
            .unwrap()
            .iter()
            .map(|entry| {
                (
                    entry.relative.display().to_string(),
                    matches!(entry.kind, EntryKind::Link(_)),
                )
            })
            .collect();
        let kept: Vec<(&str, bool)> = kept.iter().map(|(name, link)| (name.as_str(), *link)).collect();
        assert_eq!(
            kept,
            [
                ("a", false),
                ("a/circle", true),
                ("a/up", true),
                ("a/x", false),
                ("absolute", false),
                ("gone", true),
                ("in", true),
                ("out", false),
            ]
        );
    }

    #[test]
    fn a_target_may_go_up_only_before_it_goes_down() {
        let inside = |link: &str, target: &str| resolved_inside(Path::new(link), Path::new(target));
        assert_eq!(inside("a/b", "../c"), Some("c".into()));
        assert_eq!(inside("a/b", "../../c"), None);
        assert_eq!(inside("b", "a/../c"), None);
        assert_eq!(inside("b", "/etc/passwd"), None);
        assert_eq!(inside("a/b", ".."), Some("".into()));
    }
}
