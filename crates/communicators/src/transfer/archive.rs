//! Directories as tar archives on this side: packing what a walk has found, unpacking what a server sends, which is not trusted.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bakelite_engine::untrusted::quoted;
use tar::{Builder, EntryType, Header};

use super::destination::{Destination, DestinationError, place};
use super::tree::{Entry, EntryKind, resolved_inside};

/// Writes entries as an archive. A directory comes after what is in it: so it can be filled whatever its mode, and keeps its time.
pub(crate) fn pack(entries: &[Entry], out: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(out);
    let mut open: Vec<&Entry> = Vec::new();
    for entry in entries {
        while let Some(directory) = open.pop_if(|directory| !entry.relative.starts_with(&directory.relative)) {
            append(&mut archive, directory)?;
        }
        if entry.kind == EntryKind::Directory {
            open.push(entry);
        } else {
            append(&mut archive, entry)?;
        }
    }
    while let Some(directory) = open.pop() {
        append(&mut archive, directory)?;
    }
    archive.into_inner()?.flush()
}

fn append(archive: &mut Builder<impl Write>, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(u64::try_from(entry.modified).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let path = &entry.relative;
    match &entry.kind {
        EntryKind::Directory => {
            header.set_entry_type(EntryType::Directory);
            let name = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            archive.append_data(&mut header, name, io::empty())
        }
        EntryKind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, path, target)
        }
        EntryKind::File(_) => {
            let file = File::open(&entry.path).map_err(|error| at(&entry.path, &error))?;
            // It may have grown or shrunk since it was found; while it is read it must not shrink.
            let size = file.metadata()?.len();
            header.set_entry_type(EntryType::Regular);
            header.set_size(size);
            let mut content = Exactly {
                file,
                left: size,
                path: &entry.path,
            };
            archive.append_data(&mut header, path, &mut content)
        }
    }
}

/// A file that must not end before its length: an archive shorter than its headers is a broken one.
struct Exactly<'a> {
    file: File,
    left: u64,
    path: &'a Path,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = match buffer.get_mut(..room) {
            Some([]) | None => return Ok(0),
            Some(buffer) => self.file.read(buffer).map_err(|error| at(self.path, &error))?,
        };
        self.left -= length as u64;
        if length == 0 {
            return Err(at(self.path, &"it became shorter while it was read"));
        }
        Ok(length)
    }
}

/// The most bytes of names of links that lead out which are kept for the second archive.
const MOST_OUTSIDE: usize = 8 * 1024 * 1024;

/// Unpacks an archive below a directory. Answers the links that lead out of what was sent, by their paths in the archive: what they mean is
/// known only at the other side.
pub(crate) fn unpack(source: impl Read, destination: &Path) -> Result<Vec<PathBuf>, DestinationError> {
    let mut entries = Entries::new(source);
    let mut unpacking = Unpacking {
        destination: Destination::open(destination)?,
        outside: Vec::new(),
        outside_bytes: 0,
    };
    while let Some(entry) = entries.next()? {
        unpacking.entry(&entry, &mut entries)?;
    }
    unpacking.destination.finish()?;
    Ok(unpacking.outside)
}

/// An archive being unpacked.
struct Unpacking {
    destination: Destination,
    outside: Vec<PathBuf>,
    outside_bytes: usize,
}

impl Unpacking {
    fn entry(&mut self, entry: &Received, entries: &mut Entries<impl Read>) -> Result<(), DestinationError> {
        let path = place(&entry.path)?;
        match entry.kind {
            EntryType::Directory => self.destination.directory(&path, entry.mode, Some(entry.modified)),
            EntryType::Symlink => self.link(path, Path::new(OsStr::from_bytes(&entry.target))),
            EntryType::Link => self.destination.hard_link(&path, &place(&entry.target)?),
            EntryType::Regular | EntryType::Continuous => {
                let mut file = self.destination.file(&path, entry.mode)?;
                loop {
                    match entries.content()? {
                        [] => break,
                        piece => file.content().write_all(piece).map_err(|error| at(&path, &error))?,
                    }
                }
                Ok(file.complete(Some(entry.modified))?)
            }
            other => {
                let shown = quoted(&path.to_string_lossy());
                let why = format!("the server sends `{shown}` as something that is no file ({other:?})");
                Err(DestinationError::Refused(why))
            }
        }
    }

    fn link(&mut self, path: PathBuf, target: &Path) -> Result<(), DestinationError> {
        // What is sent beside it may not have been asked for.
        let is_beside = |to: &PathBuf| to.components().next() != path.components().next();
        if resolved_inside(&path, target).is_some_and(|to| !is_beside(&to)) {
            return self.destination.link(&path, target);
        }
        self.outside_bytes += path.as_os_str().len() + size_of::<PathBuf>();
        if self.outside_bytes > MOST_OUTSIDE {
            let why = "the server sends more links that lead out of the directory than can be followed";
            return Err(DestinationError::Refused(why.into()));
        }
        self.outside.push(path);
        Ok(())
    }
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("`{}`: {error}", path.display()))
}

/// Longest name or target of a link.
const LONGEST_NAME: u64 = 64 * 1024;

/// Longest record of extensions (PAX) before an entry.
const LONGEST_RECORD: u64 = 1024 * 1024;

/// Bytes of an archive's blocks.
const BLOCK: usize = 512;

/// Bytes that are read at a time.
const PIECE: usize = 128 * 1024;

/// An entry of a received archive; its content is read by [`Entries::content`].
#[derive(Debug)]
struct Received {
    /// Its path as the archive has it.
    path: Vec<u8>,
    /// What a link leads to.
    target: Vec<u8>,
    kind: EntryType,
    mode: u32,
    /// In seconds since 1970.
    modified: u64,
}

/// The entries of an archive.
struct Entries<R> {
    source: R,
    /// Bytes of the present entry's content that are still to be read, and then those that fill its last block.
    left: u64,
    padding: u64,
    buffer: Vec<u8>,
}

/// What precedes an entry, where its own header is too small.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Entries<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
            buffer: vec![0; PIECE],
        }
    }

    /// The next entry. What was not read of the one before is passed over.
    fn next(&mut self) -> Result<Option<Received>, DestinationError> {
        let mut extension = Extension::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.begin(number(header.entry_size())?)?;
            match header.entry_type() {
                EntryType::GNULongName => extension.path = Some(self.text(LONGEST_NAME)?),
                EntryType::GNULongLink => extension.target = Some(self.text(LONGEST_NAME)?),
                EntryType::XHeader => extension.read(&self.record(LONGEST_RECORD)?)?,
                // Attributes of all entries do not matter here.
                EntryType::XGlobalHeader => {}
                _ => return self.entry(&header, extension).map(Some),
            }
        }
    }

    /// More of the content of the present entry; empty at its end.
    fn content(&mut self) -> Result<&[u8], DestinationError> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
        let buffer = self.buffer.get_mut(..room).unwrap_or_default();
        let length = self.source.read(buffer)?;
        if length == 0 && self.left > 0 {
            return Err(ends_early());
        }
        self.left -= length as u64;
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    fn entry(&mut self, header: &Header, extension: Extension) -> Result<Received, DestinationError> {
        if let Some(size) = extension.size {
            self.begin(size)?;
        }
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let is_old = header.as_ustar().is_none() && header.as_gnu().is_none();
        let kind = match header.entry_type() {
            EntryType::Regular if is_old && path.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        Ok(Received {
            kind,
            mode: number(header.mode())?,
            modified: number(header.mtime())?,
            target: extension.target.or(target).unwrap_or_default(),
            path,
        })
    }

    /// The next header that is one; blocks of zeros are passed over, as between archives that follow each other.
    fn header(&mut self) -> Result<Option<Header>, DestinationError> {
        let mut header = Header::new_old();
        loop {
            let block = header.as_mut_bytes();
            let mut filled = 0;
            while filled < BLOCK {
                match self.source.read(block.get_mut(filled..).unwrap_or_default()) {
                    Ok(0) if filled == 0 => return Ok(None),
                    Ok(0) => return Err(ends_early()),
                    Ok(length) => filled += length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let own: u32 = block
                .iter()
                .take(148)
                .chain(block.iter().skip(156))
                .map(|byte| u32::from(*byte))
                .sum();
            if header.cksum().ok() != Some(own + 8 * u32::from(b' ')) {
                return Err(broken("it does not send a tar archive"));
            }
            return Ok(Some(header));
        }
    }

    fn begin(&mut self, size: u64) -> Result<(), DestinationError> {
        let block = BLOCK as u64;
        self.left = size;
        self.padding = size.wrapping_neg() % block;
        match size.checked_add(self.padding) {
            Some(_) => Ok(()),
            None => Err(broken("an entry of the archive is longer than anything can be")),
        }
    }

    fn pass_over(&mut self) -> Result<(), DestinationError> {
        while !self.content()?.is_empty() {}
        self.left = std::mem::take(&mut self.padding);
        while !self.content()?.is_empty() {}
        Ok(())
    }

    /// The whole content, which is short.
    fn record(&mut self, longest: u64) -> Result<Vec<u8>, DestinationError> {
        if self.left > longest {
            let why = format!(
                "a name or record of the archive has {} bytes, more than {longest}",
                self.left
            );
            return Err(broken(&why));
        }
        let mut whole = Vec::new();
        loop {
            match self.content()? {
                [] => return Ok(whole),
                piece => whole.extend_from_slice(piece),
            }
        }
    }

    fn text(&mut self, longest: u64) -> Result<Vec<u8>, DestinationError> {
        let mut text = self.record(longest)?;
        let end = text.iter().position(|byte| *byte == 0);
        text.truncate(end.unwrap_or(text.len()));
        Ok(text)
    }
}

impl Extension {
    /// Reads records `LENGTH KEY=VALUE\n`.
    fn read(&mut self, mut records: &[u8]) -> Result<(), DestinationError> {
        let malformed = || broken("an extended header of the archive is malformed");
        while !records.is_empty() {
            let space = records
                .iter()
                .take(10)
                .position(|byte| *byte == b' ')
                .ok_or_else(malformed)?;
            let (length, _) = records.split_at(space);
            let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
            let (record, rest) = length
                .and_then(|length: usize| records.split_at_checked(length))
                .ok_or_else(malformed)?;
            let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n"));
            let record = record.ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = record.split_at(equals);
            self.take(key, value.get(1..).unwrap_or_default())?;
            records = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), DestinationError> {
        let is_long = value.len() as u64 > LONGEST_NAME;
        match key {
            b"path" | b"linkpath" if is_long => Err(broken("a name of the archive is too long")),
            b"path" => {
                self.path = Some(value.to_vec());
                Ok(())
            }
            b"linkpath" => {
                self.target = Some(value.to_vec());
                Ok(())
            }
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                self.size = Some(size.ok_or_else(|| broken("a length of the archive is no number"))?);
                Ok(())
            }
            key if key.starts_with(b"GNU.sparse.") => Err(broken(
                "it sends a sparse file, which is not supported: turn that off in its tar (`--no-read-sparse`)",
            )),
            _ => Ok(()),
        }
    }
}

/// A number of a header. The library's error quotes the name beside it as it is.
fn number<T>(read: io::Result<T>) -> Result<T, DestinationError> {
    read.map_err(|error| broken(&error.to_string()))
}

fn ends_early() -> DestinationError {
    broken("the archive ends in the middle of an entry")
}

fn broken(why: &str) -> DestinationError {
    DestinationError::Refused(format!("the server's tar: {}", quoted(why)))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::transfer::tree::{Links, walk};

    fn archive(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        build(&mut archive);
        archive.into_inner().unwrap()
    }

    /// An entry with a path that the library would not write.
    fn hostile(archive: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, link: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(0);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        archive.append(&header, io::empty()).unwrap();
    }

    #[test]
    fn a_directory_makes_the_round_trip_with_modes_times_and_links() {
        let source = tempfile::tempdir().unwrap();
        let path = |name: &str| source.path().join("top").join(name);
        std::fs::create_dir_all(path("closed/in")).unwrap();
        std::fs::write(path("closed/in/x"), "x").unwrap();
        std::fs::write(path(&"long".repeat(40)), "long").unwrap();
        std::fs::write(path("new\nline"), "").unwrap();
        std::os::unix::fs::symlink("closed/in/x", path("link")).unwrap();
        let day = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        File::open(path("closed/in/x")).unwrap().set_modified(day).unwrap();
        File::open(path("closed")).unwrap().set_modified(day).unwrap();
        std::fs::set_permissions(path("closed"), Permissions::from_mode(0o555)).unwrap();
        let mut packed = Vec::new();
        pack(&walk(source.path(), Links::KeepInside).unwrap(), &mut packed).unwrap();
        let to = tempfile::tempdir().unwrap();
        assert_eq!(unpack(packed.as_slice(), to.path()).unwrap(), Vec::<PathBuf>::new());
        let metadata = std::fs::metadata(to.path().join("top/closed")).unwrap();
        assert_eq!(
            (metadata.permissions().mode() & 0o777, metadata.modified().unwrap()),
            (0o555, day)
        );
        let file = std::fs::metadata(to.path().join("top/link")).unwrap();
        assert_eq!((file.len(), file.modified().unwrap()), (1, day));
        assert!(to.path().join("top").join("long".repeat(40)).exists() && to.path().join("top/new\nline").exists());
        for directory in [path("closed"), to.path().join("top/closed")] {
            std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_time_that_no_clock_can_show_is_left_out() {
        let packed = archive(|archive| {
            for (name, kind) in [("top/", EntryType::Directory), ("top/x", EntryType::Regular)] {
                let mut header = Header::new_gnu();
                header.set_entry_type(kind);
                header.set_mode(0o755);
                header.set_mtime(u64::MAX);
                header.set_size(0);
                archive.append_data(&mut header, name, io::empty()).unwrap();
            }
        });
        let to = tempfile::tempdir().unwrap();
        unpack(packed.as_slice(), to.path()).unwrap();
        assert!(to.path().join("top/x").is_file());
    }

    #[test]
    fn nothing_is_written_outside_of_the_directory() {
        let outer = tempfile::tempdir().unwrap();
        let to = outer.path().join("to");
        std::fs::create_dir(&to).unwrap();
        for path in ["../evil", "a/../../evil", "/tmp/bakelite-evil"] {
            let packed = archive(|archive| hostile(archive, path, EntryType::Regular, ""));
            unpack(packed.as_slice(), &to).unwrap_err();
        }
        let through = archive(|archive| {
            hostile(archive, "d/l", EntryType::Symlink, ".");
            hostile(archive, "d/l/x", EntryType::Regular, "");
        });
        unpack(through.as_slice(), &to).unwrap_err();
        let hard = archive(|archive| hostile(archive, "h", EntryType::Link, "../../../../../../etc/passwd"));
        unpack(hard.as_slice(), &to).unwrap_err();
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
        assert!(!Path::new("/tmp/bakelite-evil").exists());
    }

    #[test]
    fn links_that_lead_out_are_not_made_but_named() {
        let to = tempfile::tempdir().unwrap();
        let packed = archive(|archive| {
            hostile(archive, "./out", EntryType::Symlink, "/etc/passwd");
            hostile(archive, "./up", EntryType::Symlink, "../x");
            hostile(archive, "./beside", EntryType::Symlink, "x");
            hostile(archive, "./d/in", EntryType::Symlink, "x");
        });
        let outside = unpack(packed.as_slice(), to.path()).unwrap();
        assert_eq!(outside, ["out", "up", "beside"].map(PathBuf::from));
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        let to = tempfile::tempdir().unwrap();
        unpack(&[b'x'; 2000][..], to.path()).unwrap_err();
    }
}
