//! Directories of this program's own: only their user may look into them, whatever the umask says, and nobody else may have made them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, Stat, fchmod, fstat, open};
use rustix::process::geteuid;

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
#[error("directory `{}` belongs to another user (uid {owner}): set XDG_STATE_HOME to a directory of your own", path.display())]
struct OtherUser {
    path: PathBuf,
    owner: u32,
}

/// Opens a directory of ours, after making it if there is none. One that others may look into is closed to them; one that belongs to
/// somebody else, or is a link, is refused.
pub fn make(path: &Path) -> io::Result<OwnedFd> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    existing(path)
}

/// The same for a directory that must be there.
pub fn existing(path: &Path) -> io::Result<OwnedFd> {
    let directory = open(
        path,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = fstat(&directory)?;
    if !is_ours(&stat) {
        return Err(io::Error::other(OtherUser {
            path: path.to_owned(),
            owner: stat.st_uid,
        }));
    }
    if permissions(&stat) != 0o700 {
        fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}

/// Does a file or directory belong to the user that this program runs as?
pub(crate) fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

pub(crate) fn permissions(stat: &Stat) -> u32 {
    Mode::from_raw_mode(stat.st_mode).as_raw_mode()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_directory_of_ours_is_closed_to_others() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        make(&path).unwrap();
        assert_eq!((mode(&path), mode(&place.path().join("a"))), (0o700, 0o700));
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        make(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_link_is_no_directory_of_ours() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal");
        symlink(place.path(), &path).unwrap();
        assert!(existing(&path).is_err());
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        // Root can make one; for everybody else the root directory is one.
        let (path, owner) = if geteuid().is_root() {
            let path = place.path().join("journal");
            std::fs::create_dir(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
            (path, 65534)
        } else {
            (PathBuf::from("/"), 0)
        };
        let error = existing(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("uid {owner}")) && error.contains("XDG_STATE_HOME"),
            "{error}"
        );
    }
}
