//! The state directory: one file with everything that exists, shared safely by all processes that use it.
//!
//! A change is load, modify, save under one file lock, and the new file replaces the old one whole; a reader needs no
//! lock. So an image baked by one process can be launched by another, today or tomorrow. What time and the end of
//! processes do to instances is applied whenever the state is looked at ([`State::settle`]).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::full_disk;
use crate::moment::Moment;
use crate::owner::{self, Owner};
use crate::state::{FORMAT, State};

/// The state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory or a file in it cannot be used.
    #[error("state directory `{path}`: {source}")]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The state file is not one.
    #[error("failed to read state file `{path}`: {source}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The position and the reason.
        source: serde_json::Error,
    },
    /// The state file was written by another version of the program.
    #[error("state file `{path}` has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The directory was to be emptied while local clouds run on it.
    #[error("state directory `{}` is in use by {users}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The processes, each with its instances.
        users: String,
    },
    /// Processes that were asked to end still run.
    #[error("state directory `{}`: {users} did not end within {seconds} seconds", path.display())]
    NotEnded {
        /// The directory.
        path: PathBuf,
        /// The processes, each with its instances.
        users: String,
        /// How long they had.
        seconds: u64,
    },
}

impl StateError {
    /// Whether it comes of a full file system.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, StateError::Directory { source, .. } if full_disk::is_full(source))
    }
}

/// Room that is given up when the file system is full, so that the end of instances can still be recorded, in bytes.
const RESERVE: u64 = 1 << 20;

/// The file that marks a directory as being emptied. It comes first and goes last, so whoever finds it finishes the work of a
/// process that was killed at it.
#[derive(Debug)]
pub(crate) struct Resetting {
    path: PathBuf,
    _lock: File,
}

/// The directory, this process's mark in it, and the state as last seen.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    owner: Owner,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    state: State,
    /// Which file the state was read from: inode, modification time in nanoseconds, length.
    stamp: Option<(u64, i64, u64)>,
}

impl Resetting {
    /// Whether a directory is being emptied, or its emptying was interrupted.
    pub(crate) fn is_going_on(state_dir: &Path) -> bool {
        Self::mark(state_dir).exists()
    }

    /// Begins, or goes on; waits while another process is at it.
    pub(crate) fn begin(state_dir: &Path) -> Result<Resetting, StateError> {
        let path = Self::mark(state_dir);
        let begin = || -> io::Result<File> {
            loop {
                let lock = open_privately(&path, false)?;
                lock.lock()?;
                // Who had the lock before may have finished, and the mark with it.
                if fs::metadata(&path).is_ok_and(|found| found.ino() == lock.metadata().map_or(0, |own| own.ino())) {
                    return Ok(lock);
                }
            }
        };
        let lock = begin().map_err(|source| StateError::Directory {
            path: path.clone(),
            source,
        })?;
        Ok(Resetting { path, _lock: lock })
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<(), StateError> {
        fs::remove_file(&self.path).map_err(|source| StateError::Directory {
            path: self.path.clone(),
            source,
        })
    }

    fn mark(state_dir: &Path) -> PathBuf {
        state_dir.join("resetting")
    }
}

/// Opens a file for writing that only its owner reads, whatever our own umask is.
fn open_privately(path: &Path, truncate: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(truncate)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

impl StateDirectory {
    /// Opens the directory, creating it when it is not there.
    pub(crate) fn open(path: &Path) -> Result<StateDirectory, StateError> {
        let failed = |source| StateError::Directory {
            path: path.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        let owner = Owner::register(&path.join("owners")).map_err(failed)?;
        owner.remove_gone();
        reserve(path);
        let directory = StateDirectory {
            path: path.to_owned(),
            owner,
            cached: Mutex::default(),
        };
        directory.read(|_| ())?;
        Ok(directory)
    }

    /// Returns this process's name as the owner of instances.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Looks at the state as it is now.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, StateError> {
        let mut cached = self.cached();
        self.refresh(&mut cached)?;
        Ok(look(&cached.state))
    }

    /// Changes the state. When `change` fails nothing of it stays.
    pub(crate) fn change<T, E: From<StateError>>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut cached = self.cached();
        let _lock = self.lock()?;
        self.refresh(&mut cached)?;
        let mut state = cached.state.clone();
        let result = change(&mut state)?;
        if state != cached.state {
            cached.stamp = Some(self.save(&state)?);
            cached.state = state;
        }
        Ok(result)
    }

    fn cached(&self) -> MutexGuard<'_, Cached> {
        // A panic while the lock was held cannot have left a half-changed state: changes are made on a copy.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock between processes; dropping the file gives it back.
    fn lock(&self) -> Result<File, StateError> {
        let path = self.path.join("lock");
        let take = || -> io::Result<File> {
            let file = open_privately(&path, false)?;
            file.lock()?;
            Ok(file)
        };
        take().map_err(|source| StateError::Directory {
            path: path.clone(),
            source,
        })
    }

    fn refresh(&self, cached: &mut Cached) -> Result<(), StateError> {
        let path = self.state_file();
        match fs::metadata(&path) {
            Ok(metadata) if cached.stamp == Some(stamp(&metadata)) => {}
            Ok(metadata) => {
                cached.state = load(&path)?;
                cached.stamp = Some(stamp(&metadata));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => *cached = Cached::default(),
            Err(source) => return Err(StateError::Directory { path, source }),
        }
        cached.state.settle(Moment::now(), |owner| self.owner.is_gone(owner));
        Ok(())
    }

    fn save(&self, state: &State) -> Result<(u64, i64, u64), StateError> {
        let path = self.state_file();
        let new = self.path.join("state.json.new");
        let text = serde_json::to_vec(state).map_err(|source| StateError::Form {
            path: path.clone(),
            source,
        })?;
        let write = || -> io::Result<(u64, i64, u64)> {
            let mut file = open_privately(&new, true)?;
            file.write_all(&text)?;
            fs::rename(&new, &path)?;
            Ok(stamp(&file.metadata()?))
        };
        let written = write().or_else(|error| {
            let has_reserve = full_disk::is_full(&error) && fs::remove_file(self.path.join("reserve")).is_ok();
            if has_reserve { write() } else { Err(error) }
        });
        written.map_err(|source| StateError::Directory {
            path: path.clone(),
            source,
        })
    }

    fn state_file(&self) -> PathBuf {
        self.path.join("state.json")
    }
}

/// Sets room aside for the state file, unless that is done or there is none.
fn reserve(directory: &Path) {
    let path = directory.join("reserve");
    if path.exists() {
        return;
    }
    let allocate = || -> io::Result<()> {
        let file = open_privately(&path, false)?;
        Ok(rustix::fs::fallocate(
            &file,
            rustix::fs::FallocateFlags::empty(),
            0,
            RESERVE,
        )?)
    };
    if let Err(error) = allocate() {
        tracing::debug!(%error, "no room set aside for the state");
        let _ = fs::remove_file(&path);
    }
}

/// Where the store of machines is in a state directory.
pub(crate) fn machines_directory(state_dir: &Path) -> PathBuf {
    state_dir.join("machines")
}

/// Returns the state of a directory as it is now, without taking part in it; empty when there is none.
pub(crate) fn peek(path: &Path) -> Result<State, StateError> {
    let file = path.join("state.json");
    let mut state = if file.exists() { load(&file)? } else { State::default() };
    let owners = path.join("owners");
    state.settle(Moment::now(), |owner| owner::has_ended(&owners.join(owner)));
    Ok(state)
}

fn stamp(metadata: &fs::Metadata) -> (u64, i64, u64) {
    (
        metadata.ino(),
        metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
        metadata.len(),
    )
}

/// The part of the file that every version has.
#[derive(serde::Deserialize)]
struct Head {
    format: u32,
}

fn load(path: &Path) -> Result<State, StateError> {
    let text = fs::read(path).map_err(|source| StateError::Directory {
        path: path.to_owned(),
        source,
    })?;
    let form = |source| StateError::Form {
        path: path.to_owned(),
        source,
    };
    let head: Head = serde_json::from_slice(&text).map_err(form)?;
    if head.format != FORMAT {
        return Err(StateError::Format {
            path: path.to_owned(),
            found: head.format,
        });
    }
    serde_json::from_slice(&text).map_err(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_region(directory: &StateDirectory, name: &str) {
        directory
            .change(|state| {
                state.regions.entry(name.to_owned()).or_default();
                Ok::<_, StateError>(())
            })
            .unwrap();
    }

    fn regions(directory: &StateDirectory) -> Vec<String> {
        directory.read(|state| state.regions.keys().cloned().collect()).unwrap()
    }

    #[test]
    fn processes_see_each_others_changes() {
        let path = tempfile::tempdir().unwrap();
        let one = StateDirectory::open(path.path()).unwrap();
        let two = StateDirectory::open(path.path()).unwrap();
        add_region(&one, "a");
        add_region(&two, "b");
        assert_eq!(regions(&one), ["a", "b"]);
        assert_eq!(regions(&two), ["a", "b"]);
        drop((one, two));
        assert_eq!(regions(&StateDirectory::open(path.path()).unwrap()), ["a", "b"]);
    }

    #[test]
    fn a_failed_change_leaves_nothing() {
        let path = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(path.path()).unwrap();
        let result: Result<(), StateError> = directory.change(|state| {
            state.regions.entry("a".to_owned()).or_default();
            Err(StateError::Format {
                path: PathBuf::new(),
                found: 0,
            })
        });
        assert!(result.is_err());
        assert!(regions(&directory).is_empty());
    }

    #[test]
    fn concurrent_changes_are_all_kept() {
        let path = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = path.path();
                scope.spawn(move || {
                    let directory = StateDirectory::open(path).unwrap();
                    (0..25).for_each(|number| add_region(&directory, &format!("{thread}-{number}")));
                });
            }
        });
        assert_eq!(regions(&StateDirectory::open(path.path()).unwrap()).len(), 100);
    }

    #[test]
    fn refuses_files_that_it_cannot_read() {
        let path = tempfile::tempdir().unwrap();
        fs::write(path.path().join("state.json"), "{").unwrap();
        assert!(matches!(
            StateDirectory::open(path.path()),
            Err(StateError::Form { .. })
        ));
        fs::write(path.path().join("state.json"), "{\"format\":99}").unwrap();
        assert!(matches!(
            StateDirectory::open(path.path()),
            Err(StateError::Format { found: 99, .. })
        ));
    }
}
