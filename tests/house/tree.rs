//! The files of the repository, as the checks read them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .unwrap()
    });
    &ROOT
}

/// The files below a directory whose names end in one of the extensions, as paths relative to the workspace; build output and hidden
/// directories are left out.
pub(crate) fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let root = root();
    let mut pending = vec![root.join(directory)];
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().filter_map(Result::ok) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory && name != "target" && !name.starts_with('.') {
                pending.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extensions.iter().any(|one| extension == *one))
            {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file of the repository.
pub(crate) fn text(file: &Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}
