//! Counting what the files of a layer take, while its instance goes on writing.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, fstat, openat, statat};
use rustix::io::Errno;

use super::tree::{AS_DIRECTORY, Identity, OPEN_DIRECTORYS, Trouble, back, has_changed, place};

/// A directory on the way down, whose own files are counted.
struct Level {
    /// Closed while the walk is far below it.
    directory: Option<OwnedFd>,
    identity: Identity,
    /// Its name in the level above.
    name: CString,
    /// Directories in it that are not counted yet.
    waiting: Vec<CString>,
}

/// Fails with `EDQUOT` if layers take more than `limit` bytes together.
pub(super) fn check(layers: Vec<OwnedFd>, limit: u64) -> Result<(), Trouble> {
    let mut left = limit;
    for layer in layers {
        left -= taken(layer, left)?;
    }
    Ok(())
}

/// How many bytes the files below a directory take; `EDQUOT` if that is more than `limit`. What is moved meanwhile may be missed, or counted
/// twice.
pub(super) fn taken(directory: OwnedFd, limit: u64) -> Result<u64, Trouble> {
    let mut taken = 0;
    let mut levels = Vec::new();
    let outcome = enter(directory, CString::default(), &mut taken).and_then(|top| {
        levels.push(top);
        while taken <= limit && step(&mut levels, &mut taken)? {}
        if taken > limit {
            Err(Errno::DQUOT.into())
        } else {
            Ok(taken)
        }
    });
    outcome.map_err(|error| Trouble {
        place: place(levels.iter().map(|level| level.name.as_c_str())),
        error,
    })
}

/// Counts one directory or goes one level up; whether there is more to do.
fn step(levels: &mut Vec<Level>, taken: &mut u64) -> io::Result<bool> {
    let depth = levels.len();
    let Some(level) = levels.last_mut() else {
        return Ok(false);
    };
    let Some(name) = level.waiting.pop() else {
        return leave(levels);
    };
    let directory = level.directory.as_ref().ok_or(Errno::BADF)?;
    match openat(directory, &name, AS_DIRECTORY, Mode::empty()) {
        Ok(directory) => {
            levels.push(enter(directory, name, taken)?);
            if depth > OPEN_DIRECTORYS {
                levels[depth - OPEN_DIRECTORYS].directory = None;
            }
        }
        Err(error) if has_changed(error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// Counts the files of a directory and notes its directories.
fn enter(directory: OwnedFd, name: CString, taken: &mut u64) -> io::Result<Level> {
    let identity = Identity::of(&fstat(&directory)?);
    let mut waiting = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(found) = statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue; // gone by now
        };
        *taken = taken.saturating_add(u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(512));
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            waiting.push(entry.file_name().to_owned());
        }
    }
    Ok(Level {
        directory: Some(directory),
        identity,
        name,
        waiting,
    })
}

/// Goes back up; an error where a directory was moved away under the walk.
fn leave(levels: &mut Vec<Level>) -> io::Result<bool> {
    let Some(left) = levels.pop() else {
        return Ok(false);
    };
    let Some(above) = levels.last_mut() else {
        return Ok(false);
    };
    if above.directory.is_none() {
        let Some(directory) = left.directory else {
            return Err(Errno::BADF.into());
        };
        above.directory = Some(back(directory, above.identity)?);
    }
    Ok(true)
}
