//! Logs of services: a file for each, which `journalctl` shows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where the logs are.
pub(super) const DIRECTORY: &str = "/var/log/bakelite";
/// How much of the end of a log is read, in bytes.
const LONGEST_TAIL: u64 = 256 * 1024;

/// The log of a unit.
pub(super) fn path(unit: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{unit}.log"))
}

/// Opens the log of a unit, to add to it. What is there and is no file stays as it is.
pub(super) fn open(unit: &str) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(DIRECTORY)?;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY);
    let file = options.open(path(unit))?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("the log is not a file"))
    }
}

/// Adds a line of the manager's own.
pub(super) fn write(unit: &str, line: &str) {
    let now = jiff::Timestamp::now().strftime("%b %d %H:%M:%S");
    // A service runs as well where its log cannot be written.
    if let Ok(mut file) = open(unit) {
        file.write_all(format!("{now} systemd[1]: {unit}: {line}\n").as_bytes())
            .ok();
    }
}

/// The last lines of a unit's log; all of them that are within what is read, without a number.
pub(super) fn tail(unit: &str, lines: Option<usize>) -> String {
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path(unit));
    let read = opened.and_then(|mut file| {
        let length = file
            .metadata()
            .map(|found| if found.is_file() { found.len() } else { 0 })?;
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(LONGEST_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    let text = read.unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let first = lines.map_or(0, |lines| all.len().saturating_sub(lines));
    all.get(first..)
        .unwrap_or_default()
        .iter()
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The units that have a log.
pub(super) fn units() -> Vec<String> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Removes all logs.
pub(super) fn clear() {
    for unit in units() {
        fs::remove_file(path(&unit)).ok(); // it is gone, or it stays
    }
}
