//! Walking trees that an instance may be changing at the same moment: from descriptor to descriptor, one name at a time.
//! Nothing is ever joined to a path, so no link and no exchange of names leads out of the tree. A tree may be deeper than a
//! stack or a limit on open files allows.

use std::ffi::CStr;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// How many directories of a walk stay open; those above are found again by `..` when the walk comes back to them.
pub(super) const OPEN_DIRECTORYS: usize = 64;
/// How a directory is opened: as itself, never what a link leads to.
pub(super) const AS_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// A handle of whatever lies under a name: it can be looked at, but nothing happens to a device or a FIFO.
pub(super) const AS_HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What went wrong in a tree, and where.
#[derive(Debug)]
pub(super) struct Trouble {
    /// The place below the top of the tree, fit to be printed.
    pub(super) place: String,
    /// The system's error.
    pub(super) error: io::Error,
}

/// Which file a file is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// That of a file that was looked at.
    pub(super) fn of(status: &Stat) -> Identity {
        Identity {
            device: status.st_dev,
            inode: status.st_ino,
        }
    }

    /// Whether both lie in the same file system.
    pub(super) fn is_beside(self, other: Identity) -> bool {
        self.device == other.device
    }
}

/// What lies under a name is not what was asked for, or no longer: it was replaced meanwhile.
pub(super) fn has_changed(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE)
}

/// Goes from a directory to the one that it was entered from; `STALE` when it has been moved elsewhere since.
pub(super) fn back(directory: impl AsFd, expected: Identity) -> io::Result<OwnedFd> {
    let above = openat(directory, c"..", AS_DIRECTORY, Mode::empty())?;
    if Identity::of(&fstat(&above)?) == expected {
        Ok(above)
    } else {
        Err(Errno::STALE.into())
    }
}

/// At most this many names in a directory, without `.` and `..`, in the order in which `pop` should take them.
pub(super) fn names(directory: &mut Dir, most: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    directory.rewind();
    while names.len() < most {
        match directory.read() {
            Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Some(Ok(entry)) => names.push(entry.file_name().to_owned()),
            Some(Err(Errno::NOENT)) | None => break, // a removed directory has no entries
            Some(Err(error)) => return Err(error.into()),
        }
    }
    names.reverse();
    Ok(names)
}

/// The path of an open file for calls that know paths only. It stands for that very file, whatever its name is by now.
pub(super) fn own_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A place in a tree for an error: the end of it, nothing in it that a terminal would obey.
pub(super) fn place<'a>(names: impl DoubleEndedIterator<Item = &'a CStr>) -> String {
    /// How many of the last names are shown.
    const SHOWN: usize = 8;
    let mut last: Vec<_> = names.rev().filter(|name| !name.is_empty()).take(SHOWN + 1).collect();
    last.reverse();
    let shown: Vec<_> = last
        .iter()
        .map(|name| name.to_bytes().escape_ascii().to_string())
        .collect();
    match shown.len() {
        0 => ".".to_owned(),
        1..=SHOWN => shown.join("/"),
        _ => format!("…/{}", shown[1..].join("/")),
    }
}
