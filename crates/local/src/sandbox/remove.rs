//! Emptying a folder of the store, whatever an instance has made of it or is still making of it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, chmod, fchmod, fstat, openat, unlinkat};
use rustix::io::Errno;

use super::tree::{AS_FOLDER, AS_HANDLE, Identity, OPEN_FOLDERS, Trouble, back, has_changed, names, own_path, place};

/// How many names of a folder are taken at once.
const NAMES_AT_ONCE: usize = 500_000;
/// How often a folder that does not get empty is looked at again: whoever keeps filling it does not keep us for ever.
const MOST_PASSES: u32 = 1000;

/// A folder on the way down.
struct Level {
    /// Closed while the walk is far below it.
    folder: Option<Dir>,
    identity: Identity,
    /// Its name in the level above.
    name: CString,
    /// What is left of the names that were found in it.
    waiting: Vec<CString>,
    passes: u32,
}

impl Level {
    fn of(folder: OwnedFd, name: CString) -> io::Result<Level> {
        let status = fstat(&folder)?;
        if status.st_mode & 0o700 != 0o700 {
            fchmod(&folder, Mode::RWXU).ok(); // if it was needed, removing says so
        }
        let mut level = Level {
            folder: Some(Dir::new(folder)?),
            identity: Identity::of(&status),
            name,
            waiting: Vec::new(),
            passes: 0,
        };
        level.look()?;
        Ok(level)
    }

    /// Looks what is in it; whether there is anything.
    fn look(&mut self) -> io::Result<bool> {
        self.passes += 1;
        if self.passes > MOST_PASSES {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "something keeps writing to it: end what runs on it and try again",
            ));
        }
        let folder = self.folder.as_mut().ok_or(Errno::BADF)?;
        self.waiting = names(folder, NAMES_AT_ONCE)?;
        Ok(!self.waiting.is_empty())
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.folder.as_ref().ok_or(Errno::BADF)?.fd()?)
    }
}

/// Removes everything in a folder, also in folders that are closed to their owner (the overlay's own work folders are).
/// What somebody else removes meanwhile is removed.
pub(super) fn empty(folder: OwnedFd) -> Result<(), Trouble> {
    let mut levels = Vec::new();
    let outcome = Level::of(folder, CString::default()).and_then(|top| {
        levels.push(top);
        while step(&mut levels)? {}
        Ok(())
    });
    outcome.map_err(|error| Trouble {
        place: place(levels.iter().map(|level| level.name.as_c_str())),
        error,
    })
}

/// Removes one thing or goes one level down or up; whether there is more to do.
fn step(levels: &mut Vec<Level>) -> io::Result<bool> {
    let depth = levels.len();
    let Some(level) = levels.last_mut() else {
        return Ok(false);
    };
    let Some(name) = level.waiting.pop() else {
        return if depth == 1 { level.look() } else { leave(levels) };
    };
    match unlinkat(level.descriptor()?, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => {
            if let Some(folder) = enter(level.descriptor()?, &name, level.identity)? {
                levels.push(Level::of(folder, name)?);
                if depth > OPEN_FOLDERS {
                    levels[depth - OPEN_FOLDERS].folder = None; // never the top: a walk that got lost starts there again
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// Opens a folder, if that is what it still is.
fn enter(above: BorrowedFd<'_>, name: &CStr, parent: Identity) -> io::Result<Option<OwnedFd>> {
    let opened = match openat(above, name, AS_FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => openat(above, name, AS_HANDLE, Mode::empty()).and_then(|handle| {
            chmod(own_path(rustix::fd::AsFd::as_fd(&handle)), Mode::RWXU)?;
            openat(&handle, c".", AS_FOLDER, Mode::empty())
        }),
        other => other,
    };
    match opened {
        Ok(folder) if !Identity::of(&fstat(&folder)?).is_beside(parent) => Err(io::Error::new(
            io::ErrorKind::CrossesDevices,
            "a file system is mounted there",
        )),
        Ok(folder) => Ok(Some(folder)),
        Err(error) if has_changed(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the emptied folder that the walk is in, and goes on in the one above.
fn leave(levels: &mut Vec<Level>) -> io::Result<bool> {
    let Some(mut level) = levels.pop() else {
        return Ok(false);
    };
    let Some(above) = levels.last_mut() else {
        return Ok(false);
    };
    if above.folder.is_none() {
        match back(level.descriptor()?, above.identity) {
            Ok(folder) => above.folder = Some(Dir::new(folder)?),
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {
                // It was moved elsewhere below the top, and will be found there.
                levels.truncate(1);
                return levels[0].look();
            }
            Err(error) => return Err(error),
        }
    }
    match unlinkat(above.descriptor()?, &level.name, AtFlags::REMOVEDIR) {
        Ok(()) => {}
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            level.look()?;
            levels.push(level);
        }
        Err(error) if has_changed(error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}
