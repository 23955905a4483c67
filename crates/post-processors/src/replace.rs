//! Writing a file as a whole: readers see the old one or the new one, never half of one.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Writes a new file beside the old one and puts it in its place. Its mode is 0664, less what the umask takes.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".new")
        .permissions(std::fs::Permissions::from_mode(0o664))
        .tempfile_in(directory_of(path))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The file that a path leads to by links of this user, or of the owner of the directory that they are in. A link of somebody else's is
/// not followed: in a directory that everybody may write, it may lead anywhere.
pub(crate) fn destination(path: &Path) -> std::io::Result<PathBuf> {
    /// As many as the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let link = match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => found,
            Ok(_) => return Ok(path),
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        };
        let directory = directory_of(&path).to_owned();
        let is_trusted =
            link.uid() == rustix::process::geteuid().as_raw() || link.uid() == std::fs::metadata(&directory)?.uid();
        if !is_trusted {
            return Ok(path);
        }
        path = directory.join(std::fs::read_link(&path)?);
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
