//! Making a disk of a root: `mke2fs` of this machine fills a file system with a directory, with the ids that the job has.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, ftruncate, openat};
use rustix::process::fchdir;

/// The name of the disk in the job's directory, beside the root's `fs`.
const DISK: &str = "disk";

/// Makes `disk` in a directory, a sparse file of `size` bytes with a file system of what is in `fs`.
pub(super) fn make(directory: &OwnedFd, program: &Path, size: u64) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let disk = File::from(openat(directory, DISK, flags, Mode::RUSR | Mode::WUSR)?);
    ftruncate(&disk, size)?;
    fchdir(directory)?;
    let made = Command::new(program)
        .args(["-q", "-F", "-t", "ext4", "-L", "root", "-m", "0", "-d", "fs", DISK])
        .env_clear()
        .stdin(Stdio::null())
        .output()?;
    if made.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&made.stderr);
    let last = words.lines().last().unwrap_or_default().escape_debug().to_string();
    Err(io::Error::other(format!("{}: {last}", made.status)))
}
