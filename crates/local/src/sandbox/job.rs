//! Work on the store's files that needs the ids of the machines: copying and removing layers, unpacking base roots.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, utimensat};

use super::enter::{Doing as _, Failure};
use super::wire::Job;
use super::{host_root, mounts};

/// Opens what the job reads outside of the store, as the user who wants it done.
pub(super) fn open(job: &Job) -> Result<Option<File>, Failure> {
    match job {
        Job::Unpack { tarball, .. } => {
            let opened = File::open(tarball).doing(format!("opening `{}`", tarball.display()))?;
            Ok(Some(opened))
        }
        _ => Ok(None),
    }
}

/// Does one job, in the store and with the ids of the machines.
pub(super) fn run(job: &Job, opened: Option<File>) -> Result<(), Failure> {
    match job {
        Job::Probe { folder } => mounts::probe(folder),
        Job::Copy { from, to } => copy_tree(from, to).doing(format!("copying layer `{}`", from.display())),
        Job::Count { path, limit } => count(path, *limit).doing(format!("counting layer `{}`", path.display())),
        Job::Remove { path } => remove_tree(path).doing(format!("removing `{}`", path.display())),
        Job::Unpack { tarball, to } => {
            let opened = opened.ok_or_else(|| io::Error::other("it was not opened"));
            opened
                .and_then(|file| unpack(file, to))
                .doing(format!("unpacking `{}`", tarball.display()))
        }
        Job::Host { to, folders } => host_root::build(to, folders).doing("building a root from this machine's folders"),
    }
}

/// Fails with `EDQUOT` if a layer takes more than `limit` bytes. What changes meanwhile is counted the next time.
fn count(layer: &Path, limit: u64) -> io::Result<()> {
    let mut taken = 0_u64;
    let mut waiting = vec![layer.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            taken = taken.saturating_add(found.blocks().saturating_mul(512));
            if found.is_dir() {
                waiting.push(entry.path());
            }
        }
        if taken > limit {
            return Err(io::Error::from_raw_os_error(libc::EDQUOT));
        }
    }
    Ok(())
}

/// Removes a tree, also folders that are closed to their owner (the overlay's own work folders are). What somebody else
/// removes meanwhile is removed.
fn remove_tree(path: &Path) -> io::Result<()> {
    let gone = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return gone(error),
    };
    if !found.is_dir() {
        return fs::remove_file(path).or_else(gone);
    }
    if found.mode() & 0o700 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).or_else(gone)?;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return gone(error),
    };
    for entry in entries {
        remove_tree(&entry?.path())?;
    }
    fs::remove_dir(path).or_else(gone)
}

/// Copies a layer with everything that makes it one: owners, modes, times, hard links, whiteouts and opaque folders.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut copied = std::collections::HashMap::new();
    copy_entry(from, to, &mut copied)
}

fn copy_entry(from: &Path, to: &Path, copied: &mut std::collections::HashMap<u64, PathBuf>) -> io::Result<()> {
    // A live layer changes while it is copied: what vanished in between was not there.
    let Ok(found) = fs::symlink_metadata(from) else {
        return Ok(());
    };
    let kind = found.file_type();
    if !kind.is_dir() && found.nlink() > 1 {
        if let Some(first) = copied.get(&found.ino()) {
            return fs::hard_link(first, to);
        }
        copied.insert(found.ino(), to.to_owned());
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_entry(&entry.path(), &to.join(entry.file_name()), copied)?;
        }
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        fs::copy(from, to)?;
    } else if FileType::from_raw_mode(found.mode()) == FileType::Socket {
        return Ok(());
    } else {
        mknodat(
            CWD,
            to,
            FileType::from_raw_mode(found.mode()),
            Mode::from_raw_mode(found.mode() & 0o7777),
            found.rdev(),
        )?;
    }
    copy_attributes(from, to, &found)
}

fn copy_attributes(from: &Path, to: &Path, found: &fs::Metadata) -> io::Result<()> {
    lchown(to, Some(found.uid()), Some(found.gid())).or_else(|error| {
        if error.raw_os_error() == Some(libc::EINVAL) {
            Ok(())
        } else {
            Err(error)
        }
    })?;
    copy_extended(from, to)?;
    if !found.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: found.atime(),
            tv_nsec: found.atime_nsec(),
        },
        last_modification: Timespec {
            tv_sec: found.mtime(),
            tv_nsec: found.mtime_nsec(),
        },
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies the extended attributes that a user of a namespace may set: his own, file capabilities, and of the overlay's
/// only the one that makes a folder opaque (the others speak of the original's place).
fn copy_extended(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0_u8; 4096];
    let length = match rustix::fs::llistxattr(from, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let wanted = name == b"user.overlay.opaque"
            || name == b"security.capability"
            || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if !wanted {
            continue;
        }
        let mut value = vec![0_u8; 65536];
        let length = rustix::fs::lgetxattr(from, name, value.as_mut_slice())?;
        rustix::fs::lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// Unpacks `.tar`, `.tar.gz` and `.tar.zst`, told apart by their first bytes.
fn unpack(mut file: File, to: &Path) -> io::Result<()> {
    let mut magic = [0_u8; 4];
    let length = file.read(&mut magic)?;
    file.rewind()?;
    let reader: Box<dyn Read> = match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    };
    fs::create_dir_all(to)?;
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(false);
    archive.set_unpack_xattrs(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_character_special() || kind.is_block_special() {
            continue; // a machine gets its devices from the kernel, none from a tarball
        }
        let (uid, gid) = (entry.header().uid()?, entry.header().gid()?);
        let mode = entry.header().mode()?;
        let path = to.join(Path::new(std::ffi::OsStr::from_bytes(&entry.path_bytes())));
        if !entry.unpack_in(to)? {
            continue; // a path that leads out of the root
        }
        let ids = u32::try_from(uid).ok().zip(u32::try_from(gid).ok());
        if let Some((uid, gid)) = ids
            && !kind.is_hard_link()
        {
            match lchown(&path, Some(uid), Some(gid)) {
                // Giving a file away takes its set-user-id bit: it comes back.
                Ok(()) if !kind.is_symlink() && mode & 0o6000 != 0 => {
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
                }
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
