//! Which process runs an instance, and whether that process still lives.
//!
//! Every cloud holds a lock on a file of its own below `owners/` for as long as it lives. The kernel drops the lock with
//! the process, however it ends, so a lock that is free belongs to no running process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::ids::random_hex;

/// This process's own mark, and the directory in which the others have theirs.
#[derive(Debug)]
pub(crate) struct Owner {
    directory: PathBuf,
    id: String,
    _lock: File,
}

impl Owner {
    /// Makes this process's mark.
    pub(crate) fn register(directory: &Path) -> io::Result<Owner> {
        if let Err(error) = fs::DirBuilder::new().mode(0o700).create(directory)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        let id = format!("{}-{}", std::process::id(), random_hex(8));
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(directory.join(&id))?;
        lock.lock()?;
        Ok(Owner {
            directory: directory.to_owned(),
            id,
            _lock: lock,
        })
    }

    /// Returns the name that this process's instances carry in the state.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns whether other processes have marks in the same directory and live.
    pub(crate) fn has_company(&self) -> bool {
        living(&self.directory).iter().any(|id| *id != self.id)
    }

    /// Returns whether its mark is still there: whoever removes the state directory takes it away.
    pub(crate) fn is_marked(&self) -> bool {
        self.directory.join(&self.id).exists()
    }

    /// Returns whether the process of that name has ended. When in doubt it lives.
    pub(crate) fn is_gone(&self, id: &str) -> bool {
        if id == self.id {
            return false;
        }
        has_ended(&self.directory.join(id))
    }

    /// Removes the marks of ended processes.
    pub(crate) fn remove_gone(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|name| self.is_gone(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Returns the names of the processes that have their marks in this directory and live.
pub(crate) fn living(directory: &Path) -> Vec<String> {
    let marks = fs::read_dir(directory).into_iter().flatten().flatten();
    let living = marks.filter(|mark| !has_ended(&mark.path()));
    living.filter_map(|mark| mark.file_name().into_string().ok()).collect()
}

/// How long processes that are asked to end may take: a bake cleans up first.
pub(crate) const END_TIMEOUT: Duration = Duration::from_mins(2);
/// How often it is looked whether they have ended.
const END_CHECK: Duration = Duration::from_millis(50);

/// Waits until processes that were asked to end have ended; false when they take too long.
pub(crate) async fn ended(have_ended: impl Fn() -> bool) -> bool {
    let (started, mut ticks) = (Instant::now(), interval(END_CHECK));
    while !have_ended() {
        if started.elapsed() > END_TIMEOUT {
            return false;
        }
        ticks.tick().await;
    }
    true
}

/// Returns the number of the process of that name.
pub(crate) fn process(id: &str) -> Option<u32> {
    id.split('-').next()?.parse().ok()
}

/// Returns whether the process of a mark has ended. When in doubt it lives.
pub(crate) fn has_ended(mark: &Path) -> bool {
    match File::open(mark) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.directory.join(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_gone_when_its_lock_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let ours = Owner::register(directory.path()).unwrap();
        let other = Owner::register(directory.path()).unwrap();
        let other_id = other.id().to_owned();
        assert!(!ours.is_gone(ours.id()));
        assert!(!ours.is_gone(&other_id));
        drop(other);
        assert!(ours.is_gone(&other_id));
        fs::write(directory.path().join("1-killed"), "").unwrap();
        assert!(ours.is_gone("1-killed"));
        assert_eq!(living(directory.path()), [ours.id()]);
        assert_eq!(process(ours.id()), Some(std::process::id()));
        ours.remove_gone();
        assert!(!directory.path().join("1-killed").exists());
        assert!(directory.path().join(ours.id()).exists());
        drop(ours);
        assert!(living(directory.path()).is_empty());
    }
}
