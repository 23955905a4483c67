//! The program of this machine that makes file systems.

use std::path::{Path, PathBuf};

/// Where `mke2fs` is looked for: directories of administration are often missing in a user's `PATH`.
const DIRECTORIES: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

/// Finds `mke2fs`, which makes file systems.
pub(crate) fn find() -> Option<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join("mke2fs"))
        .find(|path| path.is_file())
}
