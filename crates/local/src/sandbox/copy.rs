//! Copying a layer, also one that an instance is writing to: the result is what a snapshot of a running disk would have
//! caught. What vanishes or becomes something else meanwhile was not there.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    copy_file_range, fchmod, fchown, fgetxattr, flistxattr, flistxattr_query, fsetxattr, fstat, ftruncate, futimens,
    ioctl_ficlone, linkat, mkdirat, mknodat, open, openat, readlinkat, seek, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::remove;
use super::tree::{
    AS_DIRECTORY, AS_HANDLE, Identity, OPEN_DIRECTORYS, Trouble, back, has_changed, names, own_path, place,
};

/// How many names may wait to be copied. They are read before anything of a directory is copied, so that an instance that
/// goes on making files cannot hold up the copy forever.
const MOST_WAITING: usize = 5_000_000;
/// Where, beside the copy, the first copies of files with several names wait for their other names.
const LINKS: &CStr = c"links";
/// The kernel's limit on the names and on the value of extended attributes.
const LONGEST_ATTRIBUTE: usize = 65536;

/// A directory on the way down, and its copy.
struct Level {
    /// Original and copy; closed while the walk is far below.
    directories: Option<Rc<(OwnedFd, OwnedFd)>>,
    identities: (Identity, Identity),
    status: Stat,
    /// Its name in the level above.
    name: CString,
    waiting: Vec<CString>,
}

struct Copy<'a> {
    levels: Vec<Level>,
    /// The directory in which `LINKS` lies.
    beside: BorrowedFd<'a>,
    links: Option<OwnedFd>,
    linked: HashSet<Identity>,
    waiting: usize,
    /// Whether the file system may be able to share the data of two files.
    clones: bool,
}

/// Copies a layer, with everything that makes it one: owners, modes, times, hard links, whiteouts and opaque directories. The
/// copy is called `name` in the directory `beside`.
pub(super) fn layer(from: OwnedFd, beside: BorrowedFd<'_>, name: &CStr) -> Result<(), Trouble> {
    let mut copy = Copy {
        levels: Vec::new(),
        beside,
        links: None,
        linked: HashSet::new(),
        waiting: 0,
        clones: true,
    };
    let outcome = copy.whole(from, name);
    outcome.map_err(|error| Trouble {
        place: place(copy.levels.iter().skip(1).map(|level| level.name.as_c_str())),
        error,
    })
}

impl Copy<'_> {
    fn whole(&mut self, from: OwnedFd, name: &CStr) -> io::Result<()> {
        let status = fstat(&from)?;
        self.descend(from, status, self.beside, name)?;
        while let Some(level) = self.levels.last_mut() {
            match level.waiting.pop() {
                Some(name) => {
                    self.waiting -= 1;
                    self.entry(&name)?;
                }
                None => self.ascend()?,
            }
        }
        if let Some(links) = self.links.take() {
            remove::empty(links).map_err(|trouble| trouble.error)?;
            rustix::fs::unlinkat(self.beside, LINKS, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    /// Makes the copy of a directory and goes on in it.
    fn descend(&mut self, from: OwnedFd, status: Stat, above: impl AsFd, name: &CStr) -> io::Result<()> {
        mkdirat(&above, name, Mode::RWXU)?;
        let to = openat(&above, name, AS_DIRECTORY, Mode::empty())?;
        let room = MOST_WAITING - self.waiting;
        let mut listed = Dir::read_from(&from)?;
        let waiting = names(&mut listed, room + 1)?;
        if waiting.len() > room {
            return Err(io::Error::other(format!(
                "more than {MOST_WAITING} files in its directories"
            )));
        }
        self.waiting += waiting.len();
        self.levels.push(Level {
            identities: (Identity::of(&status), Identity::of(&fstat(&to)?)),
            directories: Some(Rc::new((from, to))),
            status,
            name: name.to_owned(),
            waiting,
        });
        if let Some(far) = self.levels.len().checked_sub(OPEN_DIRECTORYS + 1) {
            self.levels[far].directories = None;
        }
        Ok(())
    }

    /// Finishes the copy of a directory and goes on in the one above.
    fn ascend(&mut self) -> io::Result<()> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        let directories = level.directories.ok_or(Errno::BADF)?;
        let (from, to) = &*directories;
        if let Some(above) = self.levels.last_mut()
            && above.directories.is_none()
        {
            let moved = |_| {
                io::Error::new(
                    io::ErrorKind::StaleNetworkFileHandle,
                    "a directory was moved while it was copied",
                )
            };
            let from = back(from, above.identities.0).map_err(moved)?;
            above.directories = Some(Rc::new((from, back(to, above.identities.1)?)));
        }
        copy_attributes(to.as_fd(), from.as_fd(), &level.status)
    }

    /// Copies what lies under a name of the current directory, if anything (still) does.
    fn entry(&mut self, name: &CStr) -> io::Result<()> {
        let level = self.levels.last().ok_or(Errno::BADF)?;
        let directories = Rc::clone(level.directories.as_ref().ok_or(Errno::BADF)?);
        let (from, to) = &*directories;
        let handle = match openat(from, name, AS_HANDLE, Mode::empty()) {
            Ok(handle) => handle,
            Err(error) if has_changed(error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let status = fstat(&handle)?;
        if !Identity::of(&status).is_beside(level.identities.0) {
            return Err(io::Error::new(
                io::ErrorKind::CrossesDevices,
                "a file system is mounted there",
            ));
        }
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let from = openat(&handle, c".", AS_DIRECTORY, Mode::empty())?;
                self.descend(from, status, to, name)
            }
            FileType::RegularFile => self.file(&handle, &status, to.as_fd(), name),
            FileType::Symlink => {
                symlinkat(readlinkat(&handle, c"", Vec::new())?, to, name)?;
                copy_attributes_by_name(to.as_fd(), name, &status)
            }
            FileType::Fifo => {
                mknodat(to, name, FileType::Fifo, Mode::empty(), 0)?;
                copy_attributes_by_name(to.as_fd(), name, &status)?;
                // Nobody but us works in the copy, so the name still is the FIFO's.
                Ok(chmodat(to, name, permissions(&status), AtFlags::empty())?)
            }
            // The overlay's sign that something was removed. No other device is ever made: a machine gets its devices from
            // the kernel, none from a layer.
            FileType::CharacterDevice if status.st_rdev == 0 => {
                Ok(mknodat(to, name, FileType::CharacterDevice, Mode::empty(), 0)?)
            }
            _ => Ok(()),
        }
    }

    /// Copies a regular file, or links it to the copy that it has under another name.
    fn file(&mut self, handle: &OwnedFd, status: &Stat, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let identity = Identity::of(status);
        let link = CString::new(status.st_ino.to_string())?;
        if let Some(links) = self.links.as_ref().filter(|_| self.linked.contains(&identity)) {
            match linkat(links, &link, to, name, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::MLINK) => {} // the file system takes no more names: a copy of its own
                Err(error) => return Err(error.into()),
            }
        }
        // The handle is known to be a regular file, and this opens what the handle is.
        let from = open(
            own_path(handle.as_fd()),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copied = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
        self.data(&from, &copied, status)?;
        copy_attributes(copied.as_fd(), from.as_fd(), status)?;
        if status.st_nlink > 1 && self.linked.insert(identity) {
            if self.links.is_none() {
                mkdirat(self.beside, LINKS, Mode::RWXU)?;
                self.links = Some(openat(self.beside, LINKS, AS_DIRECTORY, Mode::empty())?);
            }
            let links = self.links.as_ref().ok_or(Errno::BADF)?;
            linkat(to, name, links, &link, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Copies what a file holds, holes as holes. It may be growing: not more than it had when we came.
    fn data(&mut self, from: &OwnedFd, to: &OwnedFd, status: &Stat) -> io::Result<()> {
        let size = u64::try_from(status.st_size).unwrap_or_default();
        if size == 0 {
            return Ok(());
        }
        if self.clones {
            if ioctl_ficlone(to, from).is_ok() {
                return Ok(ftruncate(to, size)?);
            }
            self.clones = false;
        }
        if u64::try_from(status.st_blocks).unwrap_or_default().saturating_mul(512) >= size {
            return copy_range(from, to, 0, size);
        }
        ftruncate(to, size)?;
        let mut position = 0;
        while position < size {
            let start = match seek(from, SeekFrom::Data(position)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let end = match seek(from, SeekFrom::Hole(start)) {
                Ok(end) => end.min(size),
                Err(Errno::NXIO) => break, // it shrank
                Err(error) => return Err(error.into()),
            };
            if start < end {
                copy_range(from, to, start, end)?;
            }
            position = end.max(position + 1);
        }
        Ok(())
    }
}

/// Copies a part of a file within the kernel where that can be.
fn copy_range(from: &OwnedFd, to: &OwnedFd, mut position: u64, end: u64) -> io::Result<()> {
    /// As much as one call may take, so that signals get through.
    const AT_ONCE: u64 = 1 << 30;
    while position < end {
        let length = usize::try_from((end - position).min(AT_ONCE)).unwrap_or(usize::MAX);
        let (mut read, mut written) = (position, position);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            Ok(0) => return Ok(()), // it shrank
            Ok(copied) => position += copied as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM) => {
                return copy_range_by_hand(from, to, position, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_range_by_hand(from: &OwnedFd, to: &OwnedFd, mut position: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0_u8; 128 * 1024];
    while position < end {
        let length = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let length = rustix::io::retry_on_intr(|| rustix::io::pread(from, &mut buffer[..length], position))?;
        if length == 0 {
            return Ok(());
        }
        let mut done = 0;
        while done < length {
            let place = position + done as u64;
            done += rustix::io::retry_on_intr(|| rustix::io::pwrite(to, &buffer[done..length], place))?;
        }
        position += length as u64;
    }
    Ok(())
}

/// The mode without the kind of file.
fn permissions(status: &Stat) -> Mode {
    Mode::from_raw_mode(status.st_mode & 0o7777)
}

fn owner(status: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))
}

fn times(status: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: status.st_atime,
            tv_nsec: nanoseconds(status.st_atime_nsec),
        },
        last_modification: Timespec {
            tv_sec: status.st_mtime,
            tv_nsec: nanoseconds(status.st_mtime_nsec),
        },
    }
}

fn nanoseconds(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or_default()
}

/// An owner that has no id here stays behind; the copy is ours then.
pub(super) fn unless_unmapped(outcome: rustix::io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

fn copy_attributes(to: BorrowedFd<'_>, from: BorrowedFd<'_>, status: &Stat) -> io::Result<()> {
    let (user, group) = owner(status);
    unless_unmapped(fchown(to, user, group))?;
    copy_extended(to, from)?;
    // Last, since a new owner and new data take the set-id bits.
    fchmod(to, permissions(status))?;
    Ok(futimens(to, &times(status))?)
}

/// For what is not to be opened.
fn copy_attributes_by_name(directory: BorrowedFd<'_>, name: &CStr, status: &Stat) -> io::Result<()> {
    let (user, group) = owner(status);
    unless_unmapped(chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW))?;
    Ok(utimensat(directory, name, &times(status), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies the extended attributes that a user of a namespace may set: his own, file capabilities, and of the overlay's
/// only the one that makes a directory opaque (the others speak of the original's place).
fn copy_extended(to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> io::Result<()> {
    if matches!(flistxattr_query(from), Ok(0) | Err(Errno::NOTSUP)) {
        return Ok(());
    }
    let mut buffer = vec![0_u8; LONGEST_ATTRIBUTE];
    let length = flistxattr(from, buffer.as_mut_slice())?;
    let wanted = |name: &&[u8]| {
        *name == b"user.overlay.opaque"
            || *name == b"security.capability"
            || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
    };
    let listed = buffer[..length].to_vec();
    for name in listed.split(|byte| *byte == 0).filter(wanted) {
        match fgetxattr(from, name, buffer.as_mut_slice()) {
            Ok(length) => fsetxattr(to, name, &buffer[..length], XattrFlags::empty())?,
            Err(Errno::NODATA) => {} // removed meanwhile
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn directory(path: &Path) -> OwnedFd {
        open(path, AS_DIRECTORY, Mode::empty()).unwrap()
    }

    /// In memory where that can be: a disk takes minutes to remove so many directories.
    fn fast_directory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
    }

    #[test]
    fn a_hundred_thousand_directories_deep_is_copied_and_removed() {
        let place = fast_directory();
        let top = directory(place.path());
        mkdirat(&top, c"fs", Mode::RWXU).unwrap();
        let mut deepest = directory(&place.path().join("fs"));
        for _ in 0..100_000 {
            mkdirat(&deepest, c"d", Mode::RWXU).unwrap();
            deepest = openat(&deepest, c"d", AS_DIRECTORY, Mode::empty()).unwrap();
        }
        symlinkat(c"bottom", &deepest, c"link").unwrap();
        layer(directory(&place.path().join("fs")), top.as_fd(), c"copy").unwrap();
        let mut copied = directory(&place.path().join("copy"));
        while let Ok(deeper) = openat(&copied, c"d", AS_DIRECTORY, Mode::empty()) {
            copied = deeper;
        }
        assert_eq!(readlinkat(&copied, c"link", Vec::new()).unwrap().as_c_str(), c"bottom");
        remove::empty(top).unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_growing_file_is_copied_as_far_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("fs")).unwrap();
        let path = place.path().join("fs/file");
        std::fs::write(&path, "begun").unwrap();
        let from = OwnedFd::from(std::fs::File::open(&path).unwrap());
        let status = fstat(&from).unwrap();
        std::fs::write(&path, "begun and gone on").unwrap();
        let to = OwnedFd::from(std::fs::File::create(place.path().join("copy")).unwrap());
        let beside = directory(place.path());
        let mut copy = Copy {
            levels: Vec::new(),
            beside: beside.as_fd(),
            links: None,
            linked: HashSet::new(),
            waiting: 0,
            clones: true,
        };
        copy.data(&from, &to, &status).unwrap();
        assert_eq!(std::fs::read(place.path().join("copy")).unwrap(), b"begun");
    }

    #[test]
    fn many_names_of_one_file_stay_one_file() {
        use std::os::unix::fs::MetadataExt as _;
        let place = tempfile::tempdir().unwrap();
        let from = place.path().join("fs");
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::write(from.join("one"), "content").unwrap();
        std::fs::hard_link(from.join("one"), from.join("sub/two")).unwrap();
        std::fs::hard_link(from.join("one"), from.join("three")).unwrap();
        layer(directory(&from), directory(place.path()).as_fd(), c"copy").unwrap();
        let look = |name: &str| std::fs::metadata(place.path().join("copy").join(name)).unwrap();
        assert_eq!(look("one").nlink(), 3);
        assert_eq!(look("one").ino(), look("sub/two").ino());
        assert!(!place.path().join("links").exists());
    }

    #[test]
    fn errors_name_the_place() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("fs/a\nb/c")).unwrap();
        std::fs::create_dir_all(place.path().join("copy")).unwrap();
        let trouble = layer(
            directory(&place.path().join("fs")),
            directory(place.path()).as_fd(),
            c"copy",
        )
        .unwrap_err();
        assert_eq!(
            (trouble.place.as_str(), trouble.error.kind()),
            (".", io::ErrorKind::AlreadyExists)
        );
        let names = [c"", c"a\nb", c"\x1b[2J"];
        assert_eq!(place_of(&names), "a\\nb/\\x1b[2J");
    }

    fn place_of(names: &[&CStr]) -> String {
        place(names.iter().copied())
    }
}
