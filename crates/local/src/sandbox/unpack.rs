//! Unpacking a tarball, or the layers of a container image, as a base root. Whatever names and links they hold, everything happens below
//! one directory: names are looked up as a process would whose root that directory is.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, openat, openat2, readlinkat, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::EntryType;

use super::copy::unless_unmapped;
use super::remove;
use super::tree::{AS_DIRECTORY, AS_HANDLE, Identity, names as names_in};

/// The most that a root may hold, so that a small file cannot fill a disk.
const MOST_BYTES: u64 = 64 << 30;
/// The most files that a root may have.
const MOST_MEMBERS: u64 = 4_000_000;
/// The most that a member's names and attributes may take, in front of its content.
const LONGEST_HEAD: u64 = 1 << 20;
/// How many links one name may go through, as in the kernel.
const MOST_LINKS: u32 = 40;

/// The limits that hold.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes: u64,
    members: u64,
}

const LIMITS: Limits = Limits {
    bytes: MOST_BYTES,
    members: MOST_MEMBERS,
};

/// What the layer that is being unpacked has placed itself: its whiteouts are about the layers below.
type Placed = RefCell<HashSet<Identity>>;

/// The prefix of a name in a layer of an image which takes away what lower layers have under the rest of the name.
const WHITEOUT: &[u8] = b".wh.";
/// The name in a layer which takes away all that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The prefix of extended attributes in a tar archive.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// Unpacks `.tar`, `.tar.gz` and `.tar.zst`, told apart by their first bytes, into an empty directory.
pub(super) fn unpack(tarball: File, to: &OwnedFd) -> io::Result<()> {
    unpack_within(decompress(tarball)?, to, LIMITS, None).map(drop)
}

/// Unpacks the layers of an image, the lowest first, into an empty directory, as one root. The limits are those of all together.
pub(super) fn unpack_layers(layers: impl IntoIterator<Item = File>, to: &OwnedFd) -> io::Result<()> {
    let mut limits = LIMITS;
    for (index, layer) in layers.into_iter().enumerate() {
        let unpacked = unpack_within(decompress(layer)?, to, limits, Some(RefCell::default()));
        limits = unpacked.map_err(|error| io::Error::new(error.kind(), format!("layer {}: {error}", index + 1)))?;
    }
    Ok(())
}

fn decompress(mut file: File) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    (&file).take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    })
}

/// Unpacks an archive; answers what is left of the limits. `layer` is given for a layer of an image: whiteouts hold, and it may be empty.
fn unpack_within(reader: impl Read, to: &OwnedFd, limits: Limits, layer: Option<Placed>) -> io::Result<Limits> {
    let watched = Watched::new(reader, limits.bytes);
    let watch = Rc::clone(&watched.watch);
    let mut archive = tar::Archive::new(watched);
    let root = Root {
        top: to,
        watch: Rc::clone(&watch),
        layer,
    };
    let mut count = 0;
    let mut entries = archive.entries()?;
    loop {
        watch.borrow_mut().head = Some(LONGEST_HEAD);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(|_| watch.borrow_mut().reason(count))?;
        watch.borrow_mut().head = None;
        count += 1;
        if count > limits.members {
            return Err(refused(format!("it has more than {} members", limits.members)));
        }
        let placed = root.place(&mut entry);
        let rest = placed.and_then(|()| io::copy(&mut entry, &mut io::sink()).map(drop));
        rest.map_err(|error| {
            if watch.borrow().failure.is_some() {
                watch.borrow_mut().reason(count)
            } else {
                let name = shown(&entry.path_bytes());
                io::Error::new(error.kind(), format!("member `{name}`: {error}"))
            }
        })?;
    }
    if count == 0 && root.layer.is_none() {
        return Err(refused("it has no members".into()));
    }
    let bytes = watch.borrow().left;
    Ok(Limits {
        bytes,
        members: limits.members - count,
    })
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A member's name for an error: short, and nothing in it that a terminal would obey.
fn shown(name: &[u8]) -> String {
    /// How much of a name is shown.
    const SHOWN: usize = 200;
    let cut = name.get(..SHOWN);
    let mut text = cut.unwrap_or(name).escape_ascii().to_string();
    if cut.is_some_and(|cut| cut.len() < name.len()) {
        text.push('…');
    }
    text
}

/// Keeps an eye on how much comes out of a tarball. What is wrong with it is kept here, because the errors of the archive's
/// reader quote what they read.
struct Watched<R> {
    reader: R,
    watch: Rc<RefCell<Watch>>,
}

struct Watch {
    /// How much may still come.
    left: u64,
    most: u64,
    /// How much of that may belong to the head of a member, while one is being read.
    head: Option<u64>,
    failure: Option<io::Error>,
}

impl<R> Watched<R> {
    fn new(reader: R, most: u64) -> Watched<R> {
        let watch = Watch {
            left: most,
            most,
            head: None,
            failure: None,
        };
        Watched {
            reader,
            watch: Rc::new(RefCell::new(watch)),
        }
    }
}

impl Watch {
    /// Counts what was read.
    fn count(&mut self, length: u64) -> io::Result<()> {
        self.count_content(length)?;
        if let Some(head) = &mut self.head {
            *head = head.checked_sub(length).ok_or_else(|| {
                refused(format!(
                    "a member's names and attributes are longer than {LONGEST_HEAD} bytes"
                ))
            })?;
        }
        Ok(())
    }

    fn count_content(&mut self, length: u64) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| refused(format!("it unpacks to more than {} bytes", self.most)))?;
        Ok(())
    }

    /// Why reading ended after `count` members.
    fn reason(&mut self, count: u64) -> io::Error {
        self.failure.take().unwrap_or_else(|| {
            refused(format!(
                "it is not a tar archive, or it is damaged (after {count} members)"
            ))
        })
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let outcome = self.reader.read(into);
        let mut watch = self.watch.borrow_mut();
        let counted = outcome.and_then(|length| watch.count(length as u64).map(|()| length));
        counted.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => {
                watch.failure = Some(error);
                kind.into()
            }
        })
    }
}

/// The directory that is the root of all names in the tarball.
struct Root<'a> {
    top: &'a OwnedFd,
    watch: Rc<RefCell<Watch>>,
    /// For a layer of an image.
    layer: Option<Placed>,
}

/// Where a member goes: a directory of the root, and a name in it; no name for the root itself.
struct Spot {
    directory: OwnedFd,
    name: Option<CString>,
}

impl Root<'_> {
    /// Puts one member where it belongs.
    fn place<R: Read>(&self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::Char | EntryType::Block | EntryType::XGlobalHeader) {
            return Ok(()); // a machine gets its devices from the kernel, none from a tarball
        }
        if self.layer.is_some() && self.takes_away(&entry.path_bytes())? {
            return Ok(());
        }
        let marks = Marks::of(entry)?;
        let spot = self.spot(&entry.path_bytes())?;
        let Some(name) = spot.name else {
            return if kind == EntryType::Directory {
                marks.put_on(spot.directory.as_fd())
            } else {
                Err(refused("it would replace the root itself".into()))
            };
        };
        let directory = spot.directory.as_fd();
        self.put(kind, entry, directory, &name, &marks)?;
        self.note(directory, &name)
    }

    /// Makes a member what it is.
    fn put<R: Read>(
        &self,
        kind: EntryType,
        entry: &mut tar::Entry<'_, R>,
        directory: BorrowedFd<'_>,
        name: &CStr,
        marks: &Marks,
    ) -> io::Result<()> {
        match kind {
            EntryType::Directory => self.directory(directory, name, &entry.path_bytes(), marks),
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                self.hard_link(directory, name, &target)
            }
            EntryType::Symlink => {
                let target = CString::new(entry.link_name_bytes().unwrap_or_default().into_owned())?;
                self.make_room(directory, name)?;
                symlinkat(&target, directory, name)?;
                marks.put_on_name(directory, name)
            }
            EntryType::Fifo => {
                self.make_room(directory, name)?;
                mknodat(directory, name, FileType::Fifo, Mode::empty(), 0)?;
                marks.put_on_name(directory, name)?;
                Ok(chmodat(directory, name, marks.mode, AtFlags::empty())?)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.make_room(directory, name)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = File::from(openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?);
                if kind == EntryType::GNUSparse {
                    // Holes are no bytes of the tarball, but take their time.
                    self.watch.borrow_mut().count_content(entry.size())?;
                    copy_with_holes(entry, &mut file)?;
                } else {
                    io::copy(entry, &mut file)?;
                }
                marks.put_on(file.as_fd())
            }
            other => Err(refused(format!(
                "members of kind `{}` are not supported",
                [other.as_byte()].escape_ascii()
            ))),
        }
    }

    /// Makes a directory, unless one is there. Where a link is (`/bin` of a merged `/usr`), it is the one that the link names.
    fn directory(&self, above: BorrowedFd<'_>, name: &CStr, whole: &[u8], marks: &Marks) -> io::Result<()> {
        match statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {}
            Ok(found)
                if FileType::from_raw_mode(found.st_mode) == FileType::Symlink && self.make(names(whole)?).is_ok() =>
            {
                return Ok(());
            }
            Ok(_) => {
                self.make_room(above, name)?;
                mkdirat(above, name, Mode::RWXU)?;
            }
            Err(Errno::NOENT) => mkdirat(above, name, Mode::RWXU)?,
            Err(error) => return Err(error.into()),
        }
        marks.put_on(openat(above, name, AS_DIRECTORY, Mode::empty())?.as_fd())
    }

    fn hard_link(&self, directory: BorrowedFd<'_>, name: &CStr, target: &[u8]) -> io::Result<()> {
        let mut target_names = names(target)?;
        let last = target_names
            .pop_back()
            .ok_or_else(|| refused("a hard link to the root".into()))?;
        let missing = |error: Errno| match error {
            Errno::NOENT | Errno::NOTDIR => refused(format!("its original `{}` is not in the tarball", shown(target))),
            other => other.into(),
        };
        let from = self.look_up(&target_names).map_err(missing)?;
        let original = statat(&from, &last, AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        if statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| Identity::of(&found) == Identity::of(&original))
        {
            return Ok(());
        }
        self.make_room(directory, name)?;
        Ok(linkat(&from, &last, directory, name, AtFlags::empty())?)
    }

    /// Splits a member's name into its directory, which is made when it is missing, and its last part.
    fn spot(&self, name: &[u8]) -> io::Result<Spot> {
        let mut names = names(name)?;
        let last = names.pop_back();
        let directory = match self.look_up(&names) {
            Err(Errno::NOENT) => self.make(names)?,
            other => other?,
        };
        Ok(Spot { directory, name: last })
    }

    /// A directory of the root. Links are followed as in the machine: what they name lies in the root.
    fn look_up(&self, names: &VecDeque<CString>) -> rustix::io::Result<OwnedFd> {
        self.open(
            names,
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
        )
    }

    fn open<'n>(&self, names: impl IntoIterator<Item = &'n CString>, how: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let names: Vec<_> = names.into_iter().map(|name| name.to_bytes()).collect();
        let path = if names.is_empty() {
            b".".to_vec()
        } else {
            names.join(&b'/')
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(self.top, path, flags, Mode::empty(), how)
    }

    /// Makes the directories of a name that are missing, also those that its links name.
    fn make(&self, names: VecDeque<CString>) -> io::Result<OwnedFd> {
        let strictly = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let (mut real, mut waiting, mut links) = (Vec::new(), names, 0);
        while let Some(name) = waiting.pop_front() {
            if name.as_bytes() == b".." {
                real.pop();
                continue;
            }
            let directory = self.open(&real, strictly)?;
            let handle = match openat(&directory, &name, AS_HANDLE, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&directory, &name, Mode::from_raw_mode(0o755))?;
                    self.note(directory.as_fd(), &name)?;
                    real.push(name);
                    continue;
                }
                other => other?,
            };
            match FileType::from_raw_mode(fstat(&handle)?.st_mode) {
                FileType::Directory => real.push(name),
                FileType::Symlink => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = readlinkat(&handle, c"", Vec::new())?;
                    if target.to_bytes().starts_with(b"/") {
                        real.clear();
                    }
                    for part in parts(target.to_bytes()).rev() {
                        waiting.push_front(CString::new(part)?);
                    }
                }
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok(self.open(&real, strictly)?)
    }
}

impl Root<'_> {
    /// Takes away what lies where a member goes, as every tar does; a link is removed, never followed. Where a layer of an image puts
    /// something in the place of a directory, that goes with all that is in it.
    fn make_room(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                if self.layer.is_some() {
                    let lower = openat(directory, name, AS_DIRECTORY, Mode::empty())?;
                    remove::empty(lower).map_err(|trouble| trouble.error)?;
                }
                Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers what this layer has placed.
    fn note(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        if let Some(placed) = &self.layer {
            let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            placed.borrow_mut().insert(Identity::of(&found));
        }
        Ok(())
    }

    /// Does what a whiteout demands, if the name is one's.
    fn takes_away(&self, name: &[u8]) -> io::Result<bool> {
        let mut names = names(name)?;
        let Some(last) = names.pop_back() else { return Ok(false) };
        let Some(hidden) = last.to_bytes().strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        let directory = match self.look_up(&names) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(true), // nothing is there to be hidden
            Err(error) => return Err(error.into()),
        };
        if last.to_bytes() == OPAQUE {
            self.take_lower_from(&directory)?;
        } else if !matches!(hidden, b"" | b"." | b"..") && !hidden.starts_with(WHITEOUT) {
            self.take_lower(directory.as_fd(), &CString::new(hidden)?)?;
        }
        Ok(true)
    }

    /// Removes what lower layers have under a name; what this layer has placed there stays.
    fn take_lower(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let is_placed = |placed: &Placed| placed.borrow().contains(&Identity::of(&found));
        let is_own = self.layer.as_ref().is_some_and(is_placed);
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        match (is_own, is_directory) {
            (true, true) => self.take_lower_from(&openat(directory, name, AS_DIRECTORY, Mode::empty())?),
            (true, false) => Ok(()),
            (false, _) => self.make_room(directory, name),
        }
    }

    /// Removes what lower layers have in a directory.
    fn take_lower_from(&self, directory: &OwnedFd) -> io::Result<()> {
        let own = openat(directory, c".", AS_DIRECTORY, Mode::empty())?;
        let most = usize::try_from(MOST_MEMBERS).unwrap_or(usize::MAX);
        for name in names_in(&mut Dir::new(own)?, most)? {
            self.take_lower(directory.as_fd(), &name)?;
        }
        Ok(())
    }
}

/// The parts of a path that say something.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
}

/// The parts of a name in a tarball, below the root whether it starts with a slash or not.
fn names(name: &[u8]) -> io::Result<VecDeque<CString>> {
    parts(name)
        .map(|part| match part {
            b".." => Err(refused("a name with `..` leads out of the root".into())),
            part => Ok(CString::new(part)?),
        })
        .collect()
}

/// Copies content without writing the parts that are nothing but zeros.
fn copy_with_holes(from: &mut impl Read, to: &mut File) -> io::Result<()> {
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut size = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return to.set_len(size),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size += length as u64;
        if buffer[..length].iter().all(|byte| *byte == 0) {
            to.seek(io::SeekFrom::Start(size))?;
        } else {
            to.write_all(&buffer[..length])?;
        }
    }
}

/// What a member has besides its name and content.
struct Marks {
    /// Ids that exist at all.
    owner: Option<(Uid, Gid)>,
    mode: Mode,
    times: Timestamps,
    /// Extended attributes: file capabilities and the user's own. The overlay's are the store's to set.
    attributes: Vec<(String, Vec<u8>)>,
}

impl Marks {
    fn of<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Marks> {
        let mut attributes = Vec::new();
        for extension in entry.pax_extensions()?.into_iter().flatten().flatten() {
            let name = extension.key().ok().and_then(|key| key.strip_prefix(ATTRIBUTE));
            let wanted = |name: &&str| {
                *name == "security.capability" || name.starts_with("user.") && !name.starts_with("user.overlay.")
            };
            if let Some(name) = name.filter(wanted) {
                attributes.push((name.to_owned(), extension.value_bytes().to_vec()));
            }
        }
        let header = entry.header();
        let damaged = |_| refused("its owner or mode is not a number".into());
        // `u32::MAX` stands for "leave it" in the calls that change owners.
        let id = |number: u64| u32::try_from(number).ok().filter(|id| *id != u32::MAX);
        let user = id(header.uid().map_err(damaged)?);
        let group = id(header.gid().map_err(damaged)?);
        let modified = Timespec {
            tv_sec: header
                .mtime()
                .map_or(0, |seconds| i64::try_from(seconds).unwrap_or_default()),
            tv_nsec: 0,
        };
        Ok(Marks {
            owner: user
                .zip(group)
                .map(|(user, group)| (Uid::from_raw(user), Gid::from_raw(group))),
            mode: Mode::from_raw_mode(header.mode().map_err(damaged)? & 0o7777),
            times: Timestamps {
                last_access: modified,
                last_modification: modified,
            },
            attributes,
        })
    }

    /// Gives them to an open file or directory.
    fn put_on(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        if let Some((user, group)) = self.owner {
            unless_unmapped(fchown(file, Some(user), Some(group)))?;
        }
        for (name, value) in &self.attributes {
            match fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
                // What the file system or these ids do not allow: the file is good without it.
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL | Errno::NOSPC) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // After the owner, since a new one takes the set-id bits.
        fchmod(file, self.mode)?;
        Ok(futimens(file, &self.times)?)
    }

    /// Gives owner and times to what is not to be opened.
    fn put_on_name(&self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        if let Some((user, group)) = self.owner {
            unless_unmapped(chownat(
                directory,
                name,
                Some(user),
                Some(group),
                AtFlags::SYMLINK_NOFOLLOW,
            ))?;
        }
        Ok(utimensat(directory, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use rustix::fs::open;

    #[derive(Clone, Debug)]
    struct Member {
        name: Vec<u8>,
        kind: u8,
        link: Vec<u8>,
        mode: u32,
        owner: u64,
    }

    fn archive(members: &[Member]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for member in members {
            let mut header = tar::Header::new_gnu();
            let raw = header.as_gnu_mut().unwrap();
            let (name, link) = (member.name.len().min(100), member.link.len().min(100));
            raw.name[..name].copy_from_slice(&member.name[..name]);
            raw.linkname[..link].copy_from_slice(&member.link[..link]);
            header.set_entry_type(EntryType::new(member.kind));
            header.set_mode(member.mode);
            header.set_uid(member.owner);
            header.set_gid(member.owner);
            header.set_mtime(1);
            let content: &[u8] = if member.kind == b'0' { b"changed" } else { b"" };
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn member(name: &str, kind: u8, link: &str) -> Member {
        Member {
            name: name.into(),
            kind,
            link: link.into(),
            mode: 0o755,
            owner: u64::from(rustix::process::geteuid().as_raw()),
        }
    }

    /// A directory with something precious in it, and an empty one to unpack into beside it.
    fn place() -> (tempfile::TempDir, OwnedFd) {
        let directory = tempfile::tempdir().unwrap();
        for name in ["root", "outside", "outside/directory"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        std::fs::write(directory.path().join("outside/file"), "precious").unwrap();
        std::os::unix::fs::symlink("file", directory.path().join("outside/link")).unwrap();
        let root = open(directory.path().join("root"), AS_DIRECTORY, Mode::empty()).unwrap();
        (directory, root)
    }

    type Picture = BTreeMap<PathBuf, (u32, u32, u64, i64, Vec<u8>)>;

    /// What can be seen outside of the root.
    fn outside(directory: &Path) -> Picture {
        let mut picture = Picture::new();
        let mut waiting = vec![directory.to_owned()];
        while let Some(path) = waiting.pop() {
            let found = std::fs::symlink_metadata(&path).unwrap();
            let mut content = Vec::new();
            if found.is_dir() && !path.ends_with("root") {
                waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if found.is_symlink() {
                content = std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
            } else if found.is_file() {
                content = std::fs::read(&path).unwrap();
            }
            if !path.ends_with("root") {
                picture.insert(path, (found.mode(), found.uid(), found.nlink(), found.mtime(), content));
            }
        }
        picture
    }

    fn is_inside(directory: &Path, path: &Path) -> bool {
        std::fs::symlink_metadata(directory.join("root").join(path)).is_ok()
    }

    /// Names and targets: few parts, so that members meet; dots, slashes and the way to what lies outside.
    fn path(outside: String) -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            4 => prop::sample::select(vec!["a", "b", "c", "file", "directory", "link"]).prop_map(str::to_owned),
            1 => Just("..".to_owned()),
            1 => Just(".".to_owned()),
            1 => Just(String::new()),
            1 => Just("outside".to_owned()),
            1 => prop::sample::select(vec![".wh.a", ".wh.link", ".wh.directory", ".wh..wh..opq", ".wh...", ".wh."]).prop_map(str::to_owned),
        ];
        let parts = prop::collection::vec(part, 0..5);
        let start = prop_oneof![
            3 => Just(String::new()),
            1 => Just("/".to_owned()),
            1 => Just(outside + "/"),
            1 => Just("../outside/".to_owned()),
        ];
        (start, parts).prop_map(|(start, parts)| (start + &parts.join("/")).into_bytes())
    }

    fn any_member(outside: &str) -> impl Strategy<Value = Member> + use<> {
        let kind = prop::sample::select(vec![b'0', b'1', b'1', b'2', b'2', b'5', b'5', b'6', b'3', b'4', b'x']);
        let mode = prop::sample::select(vec![0, 0o644, 0o755, 0o4777, 0o2777]);
        let owner = prop::sample::select(vec![0, 1, 65534, u64::from(u32::MAX), 1 << 40]);
        (path(outside.to_owned()), kind, path(outside.to_owned()), mode, owner).prop_map(
            |(name, kind, link, mode, owner)| Member {
                name,
                kind,
                link,
                mode,
                owner,
            },
        )
    }

    proptest! {
        #[test]
        fn nothing_outside_of_the_root_ever_changes(
            seeds in prop::collection::vec(any_member("OUTSIDE"), 0..12),
            is_layer in any::<bool>(),
        ) {
            let (directory, root) = place();
            let real = directory.path().join("outside");
            let real = |text: &[u8]| {
                text.strip_prefix(b"OUTSIDE")
                    .map_or(text.to_vec(), |rest| [real.as_os_str().as_bytes(), rest].concat())
            };
            let members: Vec<_> = seeds
                .iter()
                .map(|seed| Member { name: real(&seed.name), link: real(&seed.link), ..seed.clone() })
                .collect();
            let before = outside(directory.path());
            let tarball = archive(&members);
            let limits = Limits { bytes: 1 << 20, members: 100 };
            let layer = || is_layer.then(Placed::default);
            let outcome = unpack_within(tarball.as_slice(), &root, limits, layer()).map(drop);
            // A second layer meets what the first has placed.
            let again: Vec<_> = members.iter().rev().cloned().collect();
            unpack_within(archive(&again).as_slice(), &root, limits, layer()).ok();
            prop_assert_eq!(outside(directory.path()), before, "{:?}", outcome);
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_unpacked(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let (directory, root) = place();
            let before = outside(directory.path());
            unpack_within(bytes.as_slice(), &root, Limits { bytes: 1 << 20, members: 100 }, None).ok();
            prop_assert_eq!(outside(directory.path()), before);
        }
    }

    #[test]
    fn links_lead_as_in_the_machine() {
        let (directory, root) = place();
        let members = [
            member("bin", b'2', "/usr/bin"),
            member("up", b'2', "../../usr/share"),
            member("bin/program", b'0', ""),
            member("up/text", b'0', ""),
            member("bin", b'5', ""),
            member("same", b'1', "bin/program"),
            member("same", b'1', "same"),
        ];
        unpack_within(
            archive(&members).as_slice(),
            &root,
            Limits {
                bytes: 1 << 20,
                members: 100,
            },
            None,
        )
        .unwrap();
        assert!(is_inside(directory.path(), Path::new("usr/bin/program")));
        assert!(is_inside(directory.path(), Path::new("usr/share/text")));
        assert!(directory.path().join("root/bin").is_symlink());
        assert_eq!(
            std::fs::metadata(directory.path().join("root/same")).unwrap().nlink(),
            2
        );
    }

    fn lay(root: &OwnedFd, members: &[Member]) {
        unpack_within(archive(members).as_slice(), root, LIMITS, Some(Placed::default())).unwrap();
    }

    #[test]
    fn whiteouts_hide_lower_layers_and_nothing_of_their_own() {
        let (directory, root) = place();
        lay(
            &root,
            &[
                member("etc/old", b'0', ""),
                member("etc/kept", b'0', ""),
                member("tree/deep/file", b'0', ""),
                member("opaque/lower", b'0', ""),
                member("opaque/both", b'5', ""),
                member("opaque/both/lower", b'0', ""),
                member("replaced/file", b'0', ""),
                member("link", b'2', "etc"),
            ],
        );
        lay(
            &root,
            &[
                member("etc/.wh.old", b'0', ""),
                member(".wh.tree", b'0', ""),
                // The whiteout may come before or behind what its own layer places.
                member("opaque/first", b'0', ""),
                member("opaque/both", b'5', ""),
                member("opaque/.wh..wh..opq", b'0', ""),
                member("opaque/last", b'0', ""),
                member("replaced", b'0', ""),
                member(".wh.link", b'0', ""),
                member("absent/.wh.file", b'0', ""),
                member("etc/.wh..wh.plnk", b'5', ""),
            ],
        );
        let is_there = |path: &str| is_inside(directory.path(), Path::new(path));
        for path in ["etc/kept", "opaque/first", "opaque/both", "opaque/last", "replaced"] {
            assert!(is_there(path), "{path}");
        }
        for path in [
            "etc/old",
            "tree",
            "opaque/lower",
            "opaque/both/lower",
            "link",
            "absent",
            "etc/.wh.old",
            "etc/.wh..wh.plnk",
        ] {
            assert!(!is_there(path), "{path}");
        }
        assert!(directory.path().join("root/replaced").is_file());
    }

    #[test]
    fn attributes_of_the_user_are_kept_and_those_of_the_overlay_are_not() {
        let (directory, root) = place();
        let mut builder = tar::Builder::new(Vec::new());
        let attributes: [(&str, &[u8]); 2] = [
            ("SCHILY.xattr.user.kept", b"\x00value"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ];
        builder.append_pax_extensions(attributes).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o4755);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        builder.append_data(&mut header, "file", io::empty()).unwrap();
        unpack_within(builder.into_inner().unwrap().as_slice(), &root, LIMITS, None).unwrap();
        let path = directory.path().join("root/file");
        let mut value = vec![0; 100];
        match rustix::fs::getxattr(&path, "user.kept", value.as_mut_slice()) {
            Ok(length) => assert_eq!(&value[..length], b"\x00value"),
            Err(Errno::NOTSUP) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(rustix::fs::getxattr(&path, "user.overlay.opaque", value.as_mut_slice()).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o4755);
    }

    #[test]
    fn the_limits_are_those_of_all_layers_together() {
        let (_directory, root) = place();
        let one = archive(&[member("a", b'0', ""), member("b", b'0', "")]);
        let left = unpack_within(
            one.as_slice(),
            &root,
            Limits {
                bytes: 10_000,
                members: 3,
            },
            Some(Placed::default()),
        )
        .unwrap();
        assert_eq!(left.members, 1);
        assert!(left.bytes < 10_000);
        let error = unpack_within(one.as_slice(), &root, left, Some(Placed::default())).unwrap_err();
        assert!(error.to_string().contains("more than 1 members"), "{error}");
    }

    #[test]
    fn bombs_are_refused() {
        let refusal = |bytes: &[u8], limits| unpack_within(bytes, &place().1, limits, None).unwrap_err().to_string();
        let many: Vec<_> = (0..6).map(|number| member(&number.to_string(), b'0', "")).collect();
        let few = Limits {
            bytes: 1 << 20,
            members: 5,
        };
        assert_eq!(refusal(&archive(&many), few), "it has more than 5 members");
        let small = Limits {
            bytes: 2000,
            members: 100,
        };
        assert!(refusal(&archive(&many), small).contains("it unpacks to more than 2000 bytes"));
        // A head that claims three gigabytes.
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(3 << 30);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'x'));
        let limits = Limits {
            bytes: MOST_BYTES,
            members: 100,
        };
        let error = unpack_within(endless, &place().1, limits, None).unwrap_err();
        assert!(error.to_string().contains("names and attributes are longer"), "{error}");
        // A hole of eight exabytes.
        let mut header = tar::Header::new_gnu();
        header.set_path("hole").unwrap();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        let raw = header.as_gnu_mut().unwrap();
        raw.realsize = *b"777777777777";
        raw.sparse[0].offset = *b"777777777777";
        raw.sparse[0].numbytes = *b"000000000000";
        header.set_size(0);
        header.set_cksum();
        let hole = refusal(header.as_bytes(), limits);
        assert!(hole.contains("it unpacks to more than"), "{hole}");
    }
}
