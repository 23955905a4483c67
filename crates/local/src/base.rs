//! Base roots: the lowest layers, from this machine's own directories, a directory, a tarball or the layers of a pulled image.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::machine_error::MachineError;
use crate::sandbox::{IdMap, Job, SandboxError, do_job};
use crate::store::{Base, Layer, RootId, Store, Unfinished, root_id};

/// Where a base root comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseRoot {
    /// This machine's own system directories, read-only below an overlay.
    Host,
    /// A directory given by the user (`--local-image NAME=ROOT`).
    Directory(PathBuf),
    /// A tarball (`.tar`, `.tar.gz`, `.tar.zst`).
    Tarball(PathBuf),
    /// A container image, with its whiteouts applied.
    Image {
        /// The digest of its manifest, which is what it is known by.
        digest: String,
        /// Its layers, the lowest first, compressed or not. They are read while the root is made.
        layers: Vec<PathBuf>,
    },
}

/// System directories of the host that a machine gets to see: programs, libraries, and what is installed.
const HOST_DIRECTORIES: [&str; 10] = [
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "var/lib/dpkg",
    "var/lib/rpm",
    "var/lib/pacman",
];

/// Registers a base root, unless it is there.
pub(crate) async fn register(store: &Store, base: &BaseRoot, ids: IdMap) -> Result<RootId, MachineError> {
    let (root, origin) = identify(base)?;
    if store.layer(&root).is_ok() {
        return Ok(root);
    }
    let draft = store.draft()?;
    let made = make(store, &draft, base, &origin, ids).await;
    let published = match made {
        Ok(()) => publish(store, &draft, &root, origin, ids).await,
        Err(error) => Err(error),
    };
    // A base that another process has registered meanwhile is the same one.
    if !matches!(published, Ok(true)) {
        let removed = remove(draft, ids).await;
        published?; // the first error is the one that matters
        removed?;
    }
    Ok(root)
}

/// Puts a base into the store; `false` when it is there already.
async fn publish(
    store: &Store,
    draft: &Unfinished,
    root: &RootId,
    origin: Base,
    ids: IdMap,
) -> Result<bool, MachineError> {
    let layer = Layer {
        parent: None,
        base: Some(origin),
        removed: false,
    };
    if store.publish_layer(draft, root, &layer)? {
        return Ok(true);
    }
    if store.layer(root).is_ok() {
        return Ok(false);
    }
    // What is there without being a layer was left by an interrupted registration of earlier versions.
    if let Some(aside) = store.set_aside(&Store::layer_directory(root))? {
        remove(aside, ids).await?;
    }
    Ok(store.publish_layer(draft, root, &layer)?)
}

/// Makes the lowest layer.
async fn make(
    store: &Store,
    draft: &Unfinished,
    base: &BaseRoot,
    origin: &Base,
    ids: IdMap,
) -> Result<(), MachineError> {
    let to = draft.path().to_owned();
    let job = match (base, origin) {
        (BaseRoot::Tarball(tarball), _) => Job::Unpack {
            tarball: absolute(tarball)?,
            to,
        },
        (BaseRoot::Image { layers, .. }, _) => Job::UnpackLayers {
            layers: layers.clone(),
            to,
        },
        (BaseRoot::Host, Base::Host { directories }) => Job::Host {
            to,
            directories: directories.clone(),
        },
        _ => return Ok(store.make_directory(&to.join("fs"), 0o755)?),
    };
    do_job(job, ids).await.map_err(|error| match (base, error) {
        // It is the content that is at fault, not the sandbox.
        (
            BaseRoot::Tarball(_) | BaseRoot::Image { .. },
            SandboxError::Inside {
                step,
                error,
                errno: None,
            },
        ) => MachineError::Content(format!("failed to {step}: {error}")),
        (_, error) => error.into(),
    })
}

/// The root of a pulled image.
pub(crate) fn image_root(digest: &str) -> RootId {
    root_id("image", &[digest.as_bytes()])
}

/// Removes what is no longer needed, with the ids of those who made it: a draft that was not given to the machines yet is our own.
pub(crate) async fn remove(unfinished: Unfinished, ids: IdMap) -> Result<(), MachineError> {
    let directory = unfinished.path().to_owned();
    let is_ours =
        fs::symlink_metadata(&directory).is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw());
    let ids = if is_ours && ids.root().is_some() {
        IdMap::Own
    } else {
        ids
    };
    do_job(Job::Empty { directory }, ids).await?;
    Ok(unfinished.remove()?)
}

fn identify(base: &BaseRoot) -> Result<(RootId, Base), MachineError> {
    match base {
        BaseRoot::Host => {
            let directories = host_directories();
            Ok((
                root_id("host", &[directories.join(":").as_bytes()]),
                Base::Host { directories },
            ))
        }
        BaseRoot::Directory(path) => {
            let path = absolute(path)?;
            if !path.is_dir() {
                let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
                return Err(MachineError::Base { path, source });
            }
            Ok((
                root_id("directory", &[path.as_os_str().as_bytes()]),
                Base::Directory { path },
            ))
        }
        BaseRoot::Image { digest, .. } => Ok((image_root(digest), Base::Tarball)),
        BaseRoot::Tarball(path) => {
            let path = absolute(path)?;
            let found = fs::metadata(&path).map_err(|source| MachineError::Base {
                path: path.clone(),
                source,
            })?;
            // A tarball that was replaced under the same name is another base.
            let version = [
                found.len().to_le_bytes(),
                found.mtime().to_le_bytes(),
                found.mtime_nsec().to_le_bytes(),
            ]
            .concat();
            Ok((
                root_id("tarball", &[path.as_os_str().as_bytes(), &version]),
                Base::Tarball,
            ))
        }
    }
}

/// Those of the host's directories that exist as directories of their own.
fn host_directories() -> Vec<String> {
    HOST_DIRECTORIES
        .iter()
        .filter(|directory| fs::symlink_metadata(Path::new("/").join(directory)).is_ok_and(|found| found.is_dir()))
        .map(|directory| (*directory).to_owned())
        .collect()
}

fn absolute(path: &Path) -> Result<PathBuf, MachineError> {
    fs::canonicalize(path).map_err(|source| MachineError::Base {
        path: path.to_owned(),
        source,
    })
}
