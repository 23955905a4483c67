//! The store: roots, their layers and the machines' own layers, as folders below one folder.
//!
//! ```text
//! store.json               says that this folder is a store, so that nothing else is ever emptied
//! ids.json                 which ids on the host the machines' files belong to
//! layers/<root>/fs         a layer;  layers/<root>/layer.json  what lies below it
//! machines/<id>/fs         a machine's writable layer;  work, root, tools: what mounting it needs
//! machines/<id>/machine.json, host_key
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::machine::RootId;
use crate::sandbox::IdMap;

/// The file that names the ids.
const IDS: &str = "ids.json";

/// A store on disk.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// User and group that own what root of the machines owns, where that is not who we are.
    owner: Option<(u32, u32)>,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing one of its files.
    #[error("store `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The folder is in use for something else.
    #[error("folder `{}` is not empty and not a store of machines", .0.display())]
    Foreign(PathBuf),
    /// Its files belong to ids that the machines would not have now.
    #[error(
        "store `{}`: its files belong to other user ids than machines get now (the ranges in `/etc/subuid` or the user have changed, or an \
         older version made it); `bakelite local reset` empties it", .0.display()
    )]
    OtherIds(PathBuf),
    /// There is no such root.
    #[error("root `{0}` does not exist")]
    UnknownRoot(String),
    /// There is no such machine.
    #[error("machine `{0}` does not exist")]
    UnknownMachine(String),
    /// The machine exists already.
    #[error("machine `{0}` exists already")]
    MachineExists(String),
}

/// What lies below a layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// The layer that it was made on.
    pub(crate) parent: Option<RootId>,
    /// Where it comes from, if it is the lowest one.
    pub(crate) base: Option<Base>,
    /// Whether it was deregistered and stays only for those based on it.
    #[serde(default)]
    pub(crate) removed: bool,
}

/// The origin of a lowest layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Base {
    /// The host's own system folders, by name, above the layer.
    Host {
        /// Their paths without the leading slash.
        folders: Vec<String>,
    },
    /// A folder outside of the store, below the layer.
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// An unpacked tarball: the layer itself.
    Tarball,
}

/// What is known of a machine while it is stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    /// The root below its writable layer.
    pub(crate) root: RootId,
    /// Whether it has run its user data.
    #[serde(default)]
    pub(crate) booted: bool,
}

impl Store {
    /// Opens a store, or makes one of a missing or empty folder.
    pub(crate) fn open(folder: &Path) -> Result<Store, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| StoreError::File { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(at(folder))?;
        let folder = fs::canonicalize(folder).map_err(at(folder))?;
        let marker = folder.join("store.json");
        if !marker.exists() {
            let mut entries = fs::read_dir(&folder).map_err(at(&folder))?;
            if entries.next().is_some() {
                return Err(StoreError::Foreign(folder));
            }
            fs::write(&marker, "{\"version\":1}\n").map_err(at(&marker))?;
        }
        for name in ["layers", "machines"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(at(&path))?;
        }
        Ok(Store { folder, owner: None })
    }

    /// Hands the store to machines with these ids; an error if it has machines or roots of others.
    pub(crate) fn belong_to(&mut self, ids: IdMap) -> Result<(), StoreError> {
        match self.ids()? {
            Some(before) if before == ids => {}
            Some(_) => return Err(StoreError::OtherIds(self.folder.clone())),
            None if ids.root().is_some() && !self.names("layers").is_empty() => {
                return Err(StoreError::OtherIds(self.folder.clone()));
            }
            None => self.write(Path::new(IDS), &ids)?,
        }
        self.owner = ids.root();
        for name in ["", "layers", "machines"] {
            self.give(&self.folder.join(name))?;
        }
        Ok(())
    }

    /// The ids of the machines that this store was made for.
    pub(crate) fn ids(&self) -> Result<Option<IdMap>, StoreError> {
        self.read(Path::new(IDS))
    }

    /// Removes what is left when machines and layers are gone.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.folder).map_err(|source| StoreError::File {
            path: self.folder,
            source,
        })
    }

    /// Gives a directory that no machine has seen yet to root of the machines.
    fn give(&self, path: &Path) -> Result<(), StoreError> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        lchown(path, Some(user), Some(group)).map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// Creates a directory of a machine or a layer, relative to the store; everybody may pass, whatever our own umask is.
    pub(crate) fn create_folder(&self, path: &Path) -> Result<(), StoreError> {
        let path = self.folder.join(path);
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|source| StoreError::File {
                path: path.clone(),
                source,
            })?;
        self.give(&path)
    }

    /// Whether a folder is a store.
    pub(crate) fn is_store(folder: &Path) -> bool {
        folder.join("store.json").is_file()
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a root, relative to the store.
    pub(crate) fn layer_folder(root: &RootId) -> PathBuf {
        Path::new("layers").join(&root.0)
    }

    /// The folder of a machine, relative to the store.
    pub(crate) fn machine_folder(id: &str) -> PathBuf {
        Path::new("machines").join(id)
    }

    /// Reads what lies below a root's layer.
    pub(crate) fn layer(&self, root: &RootId) -> Result<Layer, StoreError> {
        if !is_name(&root.0) {
            return Err(StoreError::UnknownRoot(root.0.clone()));
        }
        self.read(&Self::layer_folder(root).join("layer.json"))?
            .ok_or_else(|| StoreError::UnknownRoot(root.0.clone()))
    }

    /// Writes what lies below a root's layer; the root exists from then on.
    pub(crate) fn write_layer(&self, root: &RootId, layer: &Layer) -> Result<(), StoreError> {
        self.write(&Self::layer_folder(root).join("layer.json"), layer)
    }

    /// Reads what is known of a machine.
    pub(crate) fn machine(&self, id: &str) -> Result<MachineRecord, StoreError> {
        if !is_name(id) {
            return Err(StoreError::UnknownMachine(id.to_owned()));
        }
        self.read(&Self::machine_folder(id).join("machine.json"))?
            .ok_or_else(|| StoreError::UnknownMachine(id.to_owned()))
    }

    /// Writes what is known of a machine.
    pub(crate) fn write_machine(&self, id: &str, record: &MachineRecord) -> Result<(), StoreError> {
        self.write(&Self::machine_folder(id).join("machine.json"), record)
    }

    /// Makes the folders of a new machine.
    pub(crate) fn create_machine(&self, id: &str, root: &RootId) -> Result<(), StoreError> {
        if !is_name(id) {
            return Err(StoreError::UnknownMachine(id.to_owned()));
        }
        self.layer(root)?;
        let folder = Self::machine_folder(id);
        if self.folder.join(&folder).exists() {
            return Err(StoreError::MachineExists(id.to_owned()));
        }
        self.create_folder(&folder)?;
        for name in ["fs", "work", "root"] {
            self.create_folder(&folder.join(name))?;
        }
        self.write_machine(
            id,
            &MachineRecord {
                root: root.clone(),
                booted: false,
            },
        )
    }

    /// Names of all roots, or of all machines.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join(kind)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// A machine's host key in OpenSSH's format, made by `make` the first time.
    pub(crate) fn host_key(&self, id: &str, make: impl FnOnce() -> io::Result<String>) -> Result<String, StoreError> {
        let path = self.folder.join(Self::machine_folder(id)).join("host_key");
        let at = |source| StoreError::File {
            path: path.clone(),
            source,
        };
        match fs::read_to_string(&path) {
            Ok(key) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = make().map_err(at)?;
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(at)?;
                io::Write::write_all(&mut file, key.as_bytes()).map_err(at)?;
                Ok(key)
            }
            Err(error) => Err(at(error)),
        }
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, StoreError> {
        let path = self.folder.join(path);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::File { path, source }),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| StoreError::File {
                path,
                source: io::Error::other(error),
            })
    }

    /// Writes beside the file and renames, so that a reader sees the old or the new one.
    fn write<T: Serialize>(&self, path: &Path, content: &T) -> Result<(), StoreError> {
        let path = self.folder.join(path);
        let written = serde_json::to_vec(content)
            .map_err(io::Error::other)
            .and_then(|text| fs::write(path.with_extension("new"), text))
            .and_then(|()| fs::rename(path.with_extension("new"), &path));
        written.map_err(|source| StoreError::File { path, source })
    }
}

/// Whether a name can stand as one folder's name, and in mount options.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'-')
}

/// A root id that says what it was made of.
pub(crate) fn root_id(prefix: &str, content: &[&[u8]]) -> RootId {
    let mut hash = Sha256::new();
    for part in content {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    RootId(format!("{prefix}-{}", &hex::encode(hash.finalize())[..12]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_files_is_never_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign(_))));
        assert!(!Store::is_store(folder.path()));
    }

    #[test]
    fn names_cannot_leave_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        for name in ["", ".", "..", "a/b", "a:b", "a,b"] {
            assert!(
                matches!(store.layer(&RootId(name.into())), Err(StoreError::UnknownRoot(_))),
                "{name}"
            );
            assert!(
                matches!(store.machine(name), Err(StoreError::UnknownMachine(_))),
                "{name}"
            );
        }
    }
}
