//! Where journals are kept, and on which machine a run keeps one: a directory of this machine alone, or one that machines share.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, Stat, fstat, open};
use serde::{Deserialize, Serialize};

use crate::private_directory::{self, is_ours, permissions};

/// Longer than any bake is silent: `gc -sweep` leaves what is younger alone too.
const SILENCE: Duration = Duration::from_hours(24);

/// A directory of journals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journals {
    directory: PathBuf,
    /// How long a journal must have been silent whose run may live where its lock is not seen; absent where only this machine has journals.
    silence: Option<Duration>,
}

/// Why a directory that was named for journals is not used.
#[derive(Debug, thiserror::Error)]
enum Unsafe {
    #[error("directory `{}` belongs to another user (uid {owner}): name one of your own", path.display())]
    OtherUser { path: PathBuf, owner: u32 },
    #[error("others may replace files in directory `{}` (mode {mode:03o}): `chmod go-w` it, or name another", path.display())]
    Writable { path: PathBuf, mode: u32 },
}

impl Journals {
    /// A directory that only this program on this machine uses. Permissions of others on it are removed.
    pub fn own(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            silence: None,
        }
    }

    /// A directory that the user named, which other machines may use too. It is made for this user alone; one that is there keeps its
    /// permissions, and is refused where others could replace what is in it.
    pub fn shared(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            silence: Some(SILENCE),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same with another limit for runs whose locks are not seen here: their journals are silent for as long when they are dead.
    #[must_use]
    pub fn silent_for(mut self, silence: Duration) -> Self {
        self.silence = self.silence.and(Some(silence));
        self
    }

    /// How long a journal of another machine is silent when its run is dead; absent where there are none of other machines.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// Opens the directory, after making it if there is none.
    pub(crate) fn make(&self) -> io::Result<OwnedFd> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.open()
    }

    /// Opens the directory, which must be there.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        if self.silence.is_none() {
            return private_directory::existing(&self.directory);
        }
        let directory = open(&self.directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        self.check(&fstat(&directory)?).map_err(io::Error::other)?;
        Ok(directory)
    }

    /// In a sticky directory everybody replaces only files of their own.
    fn check(&self, stat: &Stat) -> Result<(), Unsafe> {
        let path = self.directory.clone();
        let is_sticky = Mode::from_raw_mode(stat.st_mode).contains(Mode::SVTX);
        let mode = permissions(stat) & 0o777;
        if !is_ours(stat) && stat.st_uid != 0 {
            return Err(Unsafe::OtherUser {
                path,
                owner: stat.st_uid,
            });
        }
        if mode & 0o022 != 0 && !is_sticky {
            return Err(Unsafe::Writable { path, mode });
        }
        Ok(())
    }
}

/// Which process of which machine writes a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The name of the machine or container.
    pub(crate) host: String,
    /// Which start of which kernel; absent where the system has no name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// The device that the journal is on, as this kernel numbers it.
    device: u64,
    /// The process's id, for people.
    process: u32,
}

impl Origin {
    /// This process, with this journal.
    pub(crate) fn this(journal: &File) -> io::Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Ok(Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot: boot.ok().map(|boot| boot.trim().to_owned()),
            device: journal.metadata()?.dev(),
            process: std::process::id(),
        })
    }

    /// Would a lock of that process be seen here? One kernel holds the locks of one mount for all its processes; between machines, not
    /// every file system does, and nor do two mounts of one bucket.
    pub(crate) fn shares_locks_with(&self, this: &Origin) -> bool {
        self.boot.is_some() && (&self.host, &self.boot, self.device) == (&this.host, &this.boot, this.device)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_shared_directory_keeps_its_permissions() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let journals = Journals::shared(&path);
        journals.make().unwrap();
        assert_eq!(mode(&path), 0o700);
        for kept in [0o755, 0o1777] {
            std::fs::set_permissions(&path, Permissions::from_mode(kept)).unwrap();
            journals.make().unwrap();
            assert_eq!(mode(&path), kept);
        }
    }

    #[test]
    fn a_shared_directory_in_which_others_replace_files_is_refused() {
        let place = tempfile::tempdir().unwrap();
        for open in [0o777, 0o770] {
            std::fs::set_permissions(place.path(), Permissions::from_mode(open)).unwrap();
            let error = Journals::shared(place.path()).make().unwrap_err().to_string();
            assert!(error.contains(&format!("mode {open:03o}")), "{error}");
        }
    }

    #[test]
    fn locks_are_seen_by_the_same_kernel_on_the_same_mount_alone() {
        let this = Origin::this(&tempfile::tempfile().unwrap()).unwrap();
        let boot = Some("a".to_owned());
        let this = Origin { boot, ..this };
        let others = [
            Origin {
                boot: Some("b".into()),
                ..this.clone()
            },
            Origin {
                boot: None,
                ..this.clone()
            },
            Origin {
                device: this.device + 1,
                ..this.clone()
            },
            Origin {
                host: "other".into(),
                ..this.clone()
            },
        ];
        assert!(
            Origin {
                process: 1,
                ..this.clone()
            }
            .shares_locks_with(&this)
        );
        assert!(others.iter().all(|other| !other.shares_locks_with(&this)));
        let unknown = Origin { boot: None, ..this };
        assert!(!unknown.shares_locks_with(&unknown));
    }
}
