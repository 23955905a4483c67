//! Writing a root as a tar archive: its layers are read as the overlay would show them, without any mount. They belong to an image, so
//! nobody writes to them meanwhile; what they hold is an instance's all the same: no link is followed, and nothing but files, directories,
//! links and FIFOs is read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, flistxattr, fstat, openat, openat2,
    readlinkat, statat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::tree::{AS_DIRECTORY, Identity, names};
use super::wire::Shift;

/// The most names in one directory.
const MOST_NAMES: usize = 4_000_000;
/// The longest list and the longest value of extended attributes in Linux.
const LONGEST_ATTRIBUTE: usize = 65536;
/// The attribute by which an overlay's layer hides what lower layers have in a directory.
const OPAQUE: &str = "user.overlay.opaque";
/// What the kernel shows for an owner that has no id in a user namespace.
const NOBODY: u32 = 65534;

/// One layer of a part of a root.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) directory: OwnedFd,
    /// Is it a directory of this machine, whose files belong to its root?
    pub(super) is_host: bool,
    /// Is it of the store, whose files belong to the machines' ids?
    pub(super) is_stored: bool,
}

/// A part of a root: an overlay at a place of it.
#[derive(Debug)]
pub(super) struct Part {
    /// Relative to the root; empty: the root itself.
    pub(super) at: Vec<u8>,
    /// The topmost first.
    pub(super) sources: Vec<Source>,
}

/// A directory that is still to be read: its path, and the layers of which part show through there.
struct Waiting {
    path: Vec<u8>,
    part: usize,
    layers: Vec<usize>,
}

/// Writes the archive.
pub(super) fn write(parts: &[Part], shift: Option<Shift>, to: File) -> io::Result<()> {
    let mut archive = Archive {
        parts,
        shift,
        builder: Builder::new(BufWriter::with_capacity(1 << 18, to)),
        linked: HashMap::new(),
    };
    let root = parts.first().ok_or(Errno::INVAL)?;
    let mut waiting = vec![Waiting {
        path: Vec::new(),
        part: 0,
        layers: (0..root.sources.len()).collect(),
    }];
    while let Some(next) = waiting.pop() {
        let below = archive.directory(&next).map_err(|error| {
            let place = next.path.escape_ascii().to_string();
            io::Error::new(error.kind(), format!("directory `/{place}`: {error}"))
        })?;
        waiting.extend(below);
    }
    archive.builder.into_inner()?.flush()
}

struct Archive<'a> {
    parts: &'a [Part],
    shift: Option<Shift>,
    builder: Builder<BufWriter<File>>,
    /// Under which name a file with several names was written.
    linked: HashMap<Identity, Vec<u8>>,
}

impl<'a> Archive<'a> {
    fn source(&self, part: usize, layer: usize) -> &'a Source {
        let parts: &'a [Part] = self.parts;
        &parts[part].sources[layer]
    }

    /// Opens a directory of a layer; `None` where this user may not.
    fn open(&self, part: usize, layer: usize, path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let at = &self.parts[part].at;
        let below = path.get(at.len()..).unwrap_or_default();
        let below = below.strip_prefix(b"/").unwrap_or(below);
        let below = if below.is_empty() { b"." } else { below };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(&self.source(part, layer).directory, below, flags, Mode::empty(), how) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::ACCESS | Errno::XDEV) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a directory and what is in it but further directories, which it answers.
    fn directory(&mut self, this: &Waiting) -> io::Result<Vec<Waiting>> {
        let mut opened = Vec::new();
        for layer in &this.layers {
            if let Some(directory) = self.open(this.part, *layer, &this.path)? {
                opened.push((*layer, directory));
            }
        }
        let Some((top, first)) = opened.first() else {
            return Ok(Vec::new());
        };
        if !this.path.is_empty() {
            let status = fstat(first)?;
            let attributes = attributes(first);
            let header = self.header(EntryType::Directory, &status, self.source(this.part, *top));
            self.append(header, &attributes, &[&this.path[..], b"/"].concat(), io::empty())?;
        }
        let mut all = BTreeSet::new();
        for (_, directory) in &opened {
            let copy = openat(directory, c".", AS_DIRECTORY, Mode::empty())?;
            all.extend(names(&mut Dir::new(copy)?, MOST_NAMES)?);
        }
        let mut below = Vec::new();
        for name in all {
            below.extend(self.entry(this, &opened, &name)?);
        }
        // Taken from the end.
        below.reverse();
        Ok(below)
    }

    /// Writes what the topmost layer has under a name; a directory is answered.
    fn entry(&mut self, this: &Waiting, opened: &[(usize, OwnedFd)], name: &CStr) -> io::Result<Option<Waiting>> {
        let mut path = this.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        for (index, (layer, directory)) in opened.iter().enumerate() {
            let status = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT | Errno::ACCESS) => continue,
                status => status?,
            };
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                return Ok(Some(self.through(this.part, &opened[index..], name, path)));
            }
            self.file(self.source(this.part, *layer), directory, name, &status, &path)?;
            return Ok(None);
        }
        Ok(None)
    }

    /// Which layers show through in a directory that the first of them has.
    fn through(&self, part: usize, opened: &[(usize, OwnedFd)], name: &CStr, path: Vec<u8>) -> Waiting {
        // Another overlay is mounted there.
        if let Some(other) = self
            .parts
            .iter()
            .position(|other| !other.at.is_empty() && other.at == path)
        {
            return Waiting {
                path,
                part: other,
                layers: (0..self.parts[other].sources.len()).collect(),
            };
        }
        let mut layers = Vec::new();
        for (layer, directory) in opened {
            match openat(directory, name, AS_DIRECTORY, Mode::empty()) {
                Ok(found) => {
                    layers.push(*layer);
                    let mut value = [0; 1];
                    if fgetxattr(&found, OPAQUE, &mut value[..]) == Ok(1) && value == *b"y" {
                        break;
                    }
                }
                Err(Errno::NOENT | Errno::ACCESS) => {}
                Err(_) => break, // something else hides what lies below
            }
        }
        Waiting { path, part, layers }
    }

    fn file(
        &mut self,
        source: &Source,
        directory: &OwnedFd,
        name: &CStr,
        status: &Stat,
        path: &[u8],
    ) -> io::Result<()> {
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = match openat(directory, name, flags, Mode::empty()) {
                    Ok(file) => file,
                    // What not everybody may read of this machine is closed to its instances, too.
                    Err(Errno::ACCESS | Errno::NOENT) if source.is_host => return Ok(()),
                    Err(error) => return Err(error.into()),
                };
                let status = fstat(&file)?;
                if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
                    return Ok(());
                }
                let identity = Identity::of(&status);
                if let Some(first) = self.linked.get(&identity).cloned() {
                    let header = self.header(EntryType::Link, &status, source);
                    return self.append_link(header, path, &first);
                }
                if status.st_nlink > 1 {
                    self.linked.insert(identity, path.to_vec());
                }
                let size = u64::try_from(status.st_size).unwrap_or_default();
                let mut header = self.header(EntryType::Regular, &status, source);
                header.set_size(size);
                let attributes = attributes(&file);
                let content = Exactly {
                    reader: File::from(file),
                    left: size,
                };
                self.append(header, &attributes, path, content)
            }
            FileType::Symlink => {
                let target = readlinkat(directory, name, Vec::new())?;
                let header = self.header(EntryType::Symlink, status, source);
                self.append_link(header, path, target.to_bytes())
            }
            FileType::Fifo => {
                let header = self.header(EntryType::Fifo, status, source);
                self.append(header, &BTreeMap::new(), path, io::empty())
            }
            // A whiteout among them: it hides what lies below, and that is what happens here.
            _ => Ok(()),
        }
    }

    fn header(&self, kind: EntryType, status: &Stat, source: &Source) -> Header {
        let owner = |id: u32, first: fn(&Shift) -> u32| match &self.shift {
            Some(shift) if source.is_stored => match id.checked_sub(first(shift)) {
                Some(id) if id < shift.count => id,
                _ => NOBODY,
            },
            _ if source.is_host && id == NOBODY => 0,
            _ => id,
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(status.st_mode & 0o7777);
        header.set_uid(owner(status.st_uid, |shift| shift.users).into());
        header.set_gid(owner(status.st_gid, |shift| shift.groups).into());
        header.set_mtime(u64::try_from(status.st_mtime).unwrap_or_default());
        header.set_size(0);
        header
    }

    fn append(
        &mut self,
        mut header: Header,
        attributes: &BTreeMap<String, Vec<u8>>,
        path: &[u8],
        content: impl Read,
    ) -> io::Result<()> {
        if !attributes.is_empty() {
            let attributes = attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            self.builder.append_pax_extensions(attributes)?;
        }
        self.builder.append_data(&mut header, as_path(path), content)
    }

    fn append_link(&mut self, mut header: Header, path: &[u8], target: &[u8]) -> io::Result<()> {
        self.builder.append_link(&mut header, as_path(path), as_path(target))
    }
}

fn as_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// The attributes that mean something elsewhere, under their names in a tar archive: capabilities of files, and the users' own.
fn attributes(file: &OwnedFd) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut buffer = vec![0_u8; LONGEST_ATTRIBUTE];
    let Ok(length) = flistxattr(file, buffer.as_mut_slice()) else {
        return found; // the file system has none
    };
    let listed = buffer[..length].to_vec();
    for name in listed.split(|byte| *byte == 0) {
        let Some(text) = std::str::from_utf8(name).ok().filter(|text| !text.is_empty()) else {
            continue;
        };
        if text != "security.capability" && (!text.starts_with("user.") || text.starts_with("user.overlay.")) {
            continue;
        }
        let Ok(name) = CString::new(name) else { continue };
        if let Ok(length) = fgetxattr(file, name.as_c_str(), buffer.as_mut_slice()) {
            found.insert(format!("SCHILY.xattr.{text}"), everywhere(text, &buffer[..length]));
        }
    }
    found
}

/// A capability that holds for the root of one user namespace (revision 3) becomes one that holds wherever the file is unpacked.
fn everywhere(name: &str, value: &[u8]) -> Vec<u8> {
    match value {
        [flags, a, b, 3, capabilities @ ..] if name == "security.capability" && capabilities.len() == 20 => {
            [&[*flags, *a, *b, 2], &capabilities[..16]].concat()
        }
        _ => value.to_vec(),
    }
}

/// A content of exactly the size that the header has: this machine's own files may change.
struct Exactly {
    reader: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let mut length = self.reader.read(&mut into[..most])?;
        if length == 0 && most > 0 {
            into[..most].fill(0);
            length = most;
        }
        self.left -= length as u64;
        Ok(length)
    }
}
