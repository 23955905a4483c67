//! Base roots: the lowest layers, from this machine's own folders, a folder or a tarball.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::machine::{BaseRoot, MachineError, RootId};
use crate::sandbox::{IdMap, Job, do_job};
use crate::store::{Base, Layer, Store, root_id};

/// System folders of the host that a machine gets to see: programs, libraries, and what is installed.
const HOST_FOLDERS: [&str; 10] = [
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
    let layer = Store::layer_folder(&root);
    let files = layer.join("fs");
    // What an interrupted registration left is not trusted.
    do_job(store.folder(), Job::Remove { path: layer.clone() }, ids).await?;
    store.create_folder(&layer)?;
    match (base, &origin) {
        (BaseRoot::Tarball(tarball), _) => {
            do_job(
                store.folder(),
                Job::Unpack {
                    tarball: absolute(tarball)?,
                    to: files,
                },
                ids,
            )
            .await?;
        }
        (BaseRoot::Host, Base::Host { folders }) => {
            do_job(
                store.folder(),
                Job::Host {
                    to: files,
                    folders: folders.clone(),
                },
                ids,
            )
            .await?;
        }
        _ => store.create_folder(&files)?,
    }
    store.write_layer(
        &root,
        &Layer {
            parent: None,
            base: Some(origin),
            removed: false,
        },
    )?;
    Ok(root)
}

fn identify(base: &BaseRoot) -> Result<(RootId, Base), MachineError> {
    match base {
        BaseRoot::Host => {
            let folders = host_folders();
            Ok((root_id("host", &[folders.join(":").as_bytes()]), Base::Host { folders }))
        }
        BaseRoot::Folder(path) => {
            let path = absolute(path)?;
            if !path.is_dir() {
                let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
                return Err(MachineError::Base { path, source });
            }
            Ok((root_id("folder", &[path.as_os_str().as_bytes()]), Base::Folder { path }))
        }
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

/// Those of the host's folders that exist as folders of their own.
fn host_folders() -> Vec<String> {
    HOST_FOLDERS
        .iter()
        .filter(|folder| fs::symlink_metadata(Path::new("/").join(folder)).is_ok_and(|found| found.is_dir()))
        .map(|folder| (*folder).to_owned())
        .collect()
}

fn absolute(path: &Path) -> Result<PathBuf, MachineError> {
    fs::canonicalize(path).map_err(|source| MachineError::Base {
        path: path.to_owned(),
        source,
    })
}
