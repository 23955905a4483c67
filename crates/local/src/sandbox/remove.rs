//! Emptying a directory of the store, whatever an instance has made of it or is still making of it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, RenameFlags, chmod, fchmod, fstat, openat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::tree::{AS_DIRECTORY, AS_HANDLE, Identity, Trouble, has_changed, names, own_path, place};

/// How deep the walk goes. What lies deeper is moved up to the top first: so no tree takes more open files than that, and
/// the kernel, to which a directory's removal is the dearer the deeper it lies, finds them all near the top.
const DEEPEST: usize = 64;
/// How many names of a directory are taken at once.
const NAMES_AT_ONCE: usize = 500_000;
/// How often a directory that does not get empty is read again: a process that keeps filling it cannot hold up the removal forever.
const MOST_PASSES: u32 = 1000;

/// A directory on the way down.
struct Level {
    directory: Dir,
    identity: Identity,
    /// Its name in the level above.
    name: CString,
    /// What is left of the names that were found in it.
    waiting: Vec<CString>,
    passes: u32,
}

impl Level {
    fn of(directory: OwnedFd, name: CString) -> io::Result<Level> {
        let status = fstat(&directory)?;
        if status.st_mode & 0o700 != 0o700 {
            fchmod(&directory, Mode::RWXU).ok(); // if it was needed, the removal fails
        }
        let mut level = Level {
            directory: Dir::new(directory)?,
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
        self.waiting = names(&mut self.directory, NAMES_AT_ONCE)?;
        Ok(!self.waiting.is_empty())
    }
}

/// Removes everything in a directory, also in directories that are closed to their owner (the overlay's own work directories are).
/// What another process removes meanwhile counts as removed.
pub(super) fn empty(directory: OwnedFd) -> Result<(), Trouble> {
    let mut levels = Vec::new();
    let mut moved = 0;
    let outcome = Level::of(directory, CString::default()).and_then(|top| {
        levels.push(top);
        while step(&mut levels, &mut moved)? {}
        Ok(())
    });
    outcome.map_err(|error| Trouble {
        place: place(levels.iter().map(|level| level.name.as_c_str())),
        error,
    })
}

/// Removes one thing or goes one level down or up; whether there is more to do.
fn step(levels: &mut Vec<Level>, moved: &mut u64) -> io::Result<bool> {
    let depth = levels.len();
    let Some(level) = levels.last_mut() else {
        return Ok(false);
    };
    let Some(name) = level.waiting.pop() else {
        return if depth == 1 { level.look() } else { leave(levels) };
    };
    match unlinkat(level.directory.fd()?, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) if depth >= DEEPEST => move_to_top(levels, &name, moved)?,
        Err(Errno::ISDIR) => {
            if let Some(directory) = enter(level.directory.fd()?, &name, level.identity)? {
                levels.push(Level::of(directory, name)?);
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// Moves a directory of the deepest level to the top, where it waits for its turn.
fn move_to_top(levels: &mut [Level], name: &CStr, moved: &mut u64) -> io::Result<()> {
    let [top, .., deepest] = levels else { return Ok(()) };
    loop {
        *moved += 1;
        let at_top = CString::new(format!("deep-{moved}"))?;
        let (from, to) = (deepest.directory.fd()?, top.directory.fd()?);
        match renameat_with(from, name, to, &at_top, RenameFlags::NOREPLACE) {
            Ok(()) => {
                top.waiting.push(at_top);
                return Ok(());
            }
            Err(Errno::EXIST) => {} // somebody has a directory of this name
            Err(error) if has_changed(error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a directory, if that is what it still is.
fn enter(above: BorrowedFd<'_>, name: &CStr, parent: Identity) -> io::Result<Option<OwnedFd>> {
    let opened = match openat(above, name, AS_DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => openat(above, name, AS_HANDLE, Mode::empty()).and_then(|handle| {
            chmod(own_path(handle.as_fd()), Mode::RWXU)?;
            openat(&handle, c".", AS_DIRECTORY, Mode::empty())
        }),
        other => other,
    };
    match opened {
        Ok(directory) if !Identity::of(&fstat(&directory)?).is_beside(parent) => Err(io::Error::new(
            io::ErrorKind::CrossesDevices,
            "a file system is mounted there",
        )),
        Ok(directory) => Ok(Some(directory)),
        Err(error) if has_changed(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the emptied directory that the walk is in, and goes on in the one above.
fn leave(levels: &mut Vec<Level>) -> io::Result<bool> {
    let [.., above, level] = levels.as_mut_slice() else {
        return Ok(false);
    };
    match unlinkat(above.directory.fd()?, &level.name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            level.look()?;
        }
        Err(error) if !has_changed(error) => return Err(error.into()),
        _ => drop(levels.pop()),
    }
    Ok(true)
}
