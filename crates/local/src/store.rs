//! The store: roots, their layers and the machines' own layers, as directories below one directory.
//!
//! ```text
//! store.json               marks this directory as a store, so that nothing else is ever emptied
//! ids.json                 which ids on the host the machines' files belong to
//! layers/<root>/fs         a layer;  layers/<root>/layer.json  what lies below it
//! machines/<id>/fs         a machine's writable layer;  work, root, tools: what mounting it needs
//! machines/<id>/machine.json, host_key
//! volumes/<id>/fs          a volume besides the root: disk, its bytes; files or filesystem, what is mounted in their place
//! unfinished/<any>         what is being made or removed; unless a process has it locked, it is left over
//! ```
//!
//! Everything comes into `layers`, `machines` and `volumes`, and leaves them, by one renaming. So whatever ends a process half-way
//! leaves nothing half: what it was at lies in `unfinished`, and the next one to open the store removes it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::random_hex;
use crate::sandbox::IdMap;

/// The file that marks a directory as a store.
const MARKER: &str = "store.json";
/// What names the ids.
const IDS: &str = "ids.json";
/// Where things are made and removed.
const UNFINISHED: &str = "unfinished";
/// Where finished things are.
const FINISHED: [&str; 3] = ["layers", "machines", "volumes"];
/// Machines must get through, whatever their ids; the directory around it is closed to others.
const PASSABLE: u32 = 0o711;

/// A stack of layers in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RootId(pub String);

/// A store on disk.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    /// User and group whom the directories of machines are given to: root of the machines, where that is not ourselves.
    owner: Option<(u32, u32)>,
}

/// A directory in `unfinished` that is ours for as long as this lives.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    _lock: File,
}

/// What lies under a name in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: what lies below shows through.
    Nothing,
    /// A directory.
    Directory,
    /// Something that hides what lies below.
    Other,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing one of its files.
    #[error("store `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory is in use for something else.
    #[error("directory `{}` is not empty and not a store of machines", .0.display())]
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
    /// A layer has something else where a system directory of this machine is to be mounted.
    #[error("layer `{}`: not a directory, so no machine can be made of it", .0.display())]
    NotADirectory(PathBuf),
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
    /// The host's own system directories, by name, above the layer.
    Host {
        /// Their paths without the leading slash.
        directories: Vec<String>,
    },
    /// A directory outside of the store, below the layer.
    Directory {
        /// Its path.
        path: PathBuf,
    },
    /// An unpacked tarball: the layer itself.
    Tarball,
    /// None: it is no root, but what a snapshot keeps of a volume besides the root.
    Volume,
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
    /// Opens a store, or makes one of a missing or empty directory.
    pub(crate) fn open(directory: &Path) -> Result<Store, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(PASSABLE)
            .create(directory)
            .map_err(at(directory))?;
        let directory = fs::canonicalize(directory).map_err(at(directory))?;
        if !Self::is_store(&directory)? {
            return Err(StoreError::Foreign(directory));
        }
        make_passable(&directory).map_err(at(&directory))?;
        for name in FINISHED.into_iter().chain([UNFINISHED]) {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(at(&path))?;
            make_passable(&path).map_err(at(&path))?;
        }
        let marker = directory.join(MARKER);
        if !marker.is_file() {
            write_privately(&marker, b"{\"version\":1}\n").map_err(at(&marker))?;
        }
        Ok(Store { directory, owner: None })
    }

    /// Hands the store to machines with these ids, to whose root their directories are given from now on; an error if it has roots of machines
    /// with others.
    pub(crate) fn belong_to(&mut self, ids: IdMap) -> Result<(), StoreError> {
        match self.ids()? {
            Some(before) if before == ids => {}
            None if ids.root().is_none() || self.names("layers").is_empty() => {
                write_json(&self.directory.join(IDS), &ids)?;
            }
            _ => return Err(StoreError::OtherIds(self.directory.clone())),
        }
        self.owner = ids.root();
        Ok(())
    }

    /// The ids of the machines that this store was made for.
    pub(crate) fn ids(&self) -> Result<Option<IdMap>, StoreError> {
        self.read(Path::new(IDS))
    }

    /// Whether a directory is a store, or may become one: also what an interrupted removal left of one.
    pub(crate) fn is_store(directory: &Path) -> Result<bool, StoreError> {
        if directory.join(MARKER).is_file() {
            return Ok(true);
        }
        let ours =
            |name: &str| FINISHED.contains(&name) || [UNFINISHED, IDS].contains(&name) || name.starts_with("probe-");
        let entries = fs::read_dir(directory).map_err(at(directory))?;
        Ok(entries
            .flatten()
            .all(|entry| entry.file_name().to_str().is_some_and(ours)))
    }

    /// Whether a removal was interrupted, by an earlier version of this program: it removed the marker first.
    pub(crate) fn is_half_removed(directory: &Path) -> bool {
        let has = |name: &&str| directory.join(name).exists();
        !directory.join(MARKER).exists() && FINISHED.iter().any(has) && Self::is_store(directory).unwrap_or(false)
    }

    /// Takes everything out of the store, to be removed; the store itself goes with [`remove`](Store::remove).
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        for kind in FINISHED {
            for name in self.names(kind) {
                self.set_aside(&Path::new(kind).join(name))?;
            }
        }
        for entry in fs::read_dir(&self.directory).map_err(at(&self.directory))?.flatten() {
            let name = entry.file_name();
            let is_known = [MARKER, IDS, UNFINISHED]
                .iter()
                .chain(&FINISHED)
                .any(|known| name == *known);
            if is_known {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.set_aside(Path::new(&name))?;
            } else {
                fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// Removes a store that has been cleared and emptied. The marker goes last.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        for name in FINISHED.into_iter().chain([UNFINISHED]) {
            let path = self.directory.join(name);
            fs::remove_dir(&path).map_err(at(&path))?;
        }
        for name in [IDS, MARKER] {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
                _ => {}
            }
        }
        fs::remove_dir(&self.directory).map_err(at(&self.directory))
    }

    /// A new directory for something that will be put into the store.
    pub(crate) fn draft(&self) -> Result<Unfinished, StoreError> {
        let path = self.unfinished();
        self.hold(&path, || {
            fs::DirBuilder::new().mode(0o700).create(&path)?;
            self.give(&path, 0o700)
        })
    }

    /// Takes something out of the store, to be removed; `None` when there is no such thing.
    pub(crate) fn set_aside(&self, name: &Path) -> Result<Option<Unfinished>, StoreError> {
        let path = self.unfinished();
        match self.hold(&path, || fs::rename(self.directory.join(name), &path)) {
            Ok(aside) => Ok(Some(aside)),
            Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What lies in `unfinished` and is left over; all of it when `everything` is to be removed.
    pub(crate) fn left_over(&self, everything: bool) -> Vec<Unfinished> {
        let Ok(_whole) = self.lock_unfinished() else {
            return Vec::new();
        };
        let left = self.names(UNFINISHED).into_iter().filter_map(|name| {
            let path = self.directory.join(UNFINISHED).join(name);
            let lock = File::open(&path).ok()?;
            (lock.try_lock().is_ok() || everything).then_some(Unfinished { path, _lock: lock })
        });
        left.collect()
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join(UNFINISHED).join(random_hex(16))
    }

    /// Nobody takes a directory of `unfinished` for forsaken between its making and its locking.
    fn lock_unfinished(&self) -> io::Result<File> {
        let whole = File::open(self.directory.join(UNFINISHED))?;
        whole.lock()?;
        Ok(whole)
    }

    fn hold(&self, path: &Path, make: impl FnOnce() -> io::Result<()>) -> Result<Unfinished, StoreError> {
        let held = || {
            let _whole = self.lock_unfinished()?;
            make()?;
            let lock = File::open(path)?;
            lock.lock()?;
            Ok(Unfinished {
                path: path.to_owned(),
                _lock: lock,
            })
        };
        held().map_err(at(path))
    }

    /// Makes a directory of a draft that will be a machine's, with exactly this mode.
    pub(crate) fn make_directory(&self, path: &Path, mode: u32) -> Result<(), StoreError> {
        fs::create_dir(path)
            .and_then(|()| self.give(path, mode))
            .map_err(at(path))
    }

    /// Gives a directory to the machines, with exactly this mode whatever our own umask is.
    fn give(&self, path: &Path, mode: u32) -> io::Result<()> {
        let directory = File::open(path)?;
        if let Some((user, group)) = self.owner {
            fchown(&directory, Some(user), Some(group))?;
        }
        directory.set_permissions(fs::Permissions::from_mode(mode))
    }

    /// Puts a draft into the store as a root's layer. `false` when another process was faster; the draft stays.
    pub(crate) fn publish_layer(&self, draft: &Unfinished, root: &RootId, layer: &Layer) -> Result<bool, StoreError> {
        write_json(&draft.path.join("layer.json"), layer)?;
        self.publish(draft, &Self::layer_directory(root))
    }

    /// Makes an empty volume of so many bytes in a directory of the store.
    pub(crate) fn make_volume(&self, directory: &Path, size: u64) -> Result<(), StoreError> {
        let files = directory.join("fs");
        self.make_directory(&files, 0o755)?;
        self.make_directory(&files.join("files"), 0o755)?;
        let path = files.join("disk");
        let make = || {
            let mut options = fs::OpenOptions::new();
            let disk = options.write(true).create_new(true).mode(0o660).open(&path)?;
            if let Some((user, group)) = self.owner {
                fchown(&disk, Some(user), Some(group))?;
            }
            disk.set_len(size)
        };
        make().map_err(at(&path))
    }

    /// Puts a draft into the store as a volume. `false` when it is there already; the draft stays.
    pub(crate) fn publish_volume(&self, draft: &Unfinished, id: &str) -> Result<bool, StoreError> {
        self.publish(draft, &Self::volume_directory(id))
    }

    fn publish(&self, draft: &Unfinished, name: &Path) -> Result<bool, StoreError> {
        let path = self.directory.join(name);
        match fs::rename(&draft.path, &path) {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Ok(false)
            }
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    /// What a layer (or any directory of the store) has under a name of its files; no link is followed on the way.
    pub(crate) fn look(&self, layer: &Path, name: &str) -> Result<Found, StoreError> {
        let path = self.directory.join(layer);
        let look = || -> io::Result<Found> {
            let mut directory = std::os::fd::OwnedFd::from(File::open(&path)?);
            for part in name.split('/') {
                match statat(&directory, part, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(rustix::io::Errno::NOENT) => return Ok(Found::Nothing),
                    Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {}
                    Ok(_) => return Ok(Found::Other),
                    Err(error) => return Err(error.into()),
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                directory = openat(&directory, part, flags, Mode::empty())?;
            }
            Ok(Found::Directory)
        };
        look().map_err(at(&path))
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of a root, relative to the store.
    pub(crate) fn layer_directory(root: &RootId) -> PathBuf {
        Path::new("layers").join(&root.0)
    }

    /// The directory of a machine, relative to the store.
    pub(crate) fn machine_directory(id: &str) -> PathBuf {
        Path::new("machines").join(id)
    }

    /// The directory of a volume, relative to the store.
    pub(crate) fn volume_directory(id: &str) -> PathBuf {
        Path::new("volumes").join(id)
    }

    /// Reads what lies below a root's layer.
    pub(crate) fn layer(&self, root: &RootId) -> Result<Layer, StoreError> {
        if !is_name(&root.0) {
            return Err(StoreError::UnknownRoot(root.0.clone()));
        }
        self.read(&Self::layer_directory(root).join("layer.json"))?
            .ok_or_else(|| StoreError::UnknownRoot(root.0.clone()))
    }

    /// Writes what lies below a root's layer; the root exists from then on.
    pub(crate) fn write_layer(&self, root: &RootId, layer: &Layer) -> Result<(), StoreError> {
        write_json(
            &self.directory.join(Self::layer_directory(root)).join("layer.json"),
            layer,
        )
    }

    /// Reads what is known of a machine.
    pub(crate) fn machine(&self, id: &str) -> Result<MachineRecord, StoreError> {
        if !is_name(id) {
            return Err(StoreError::UnknownMachine(id.to_owned()));
        }
        self.read(&Self::machine_directory(id).join("machine.json"))?
            .ok_or_else(|| StoreError::UnknownMachine(id.to_owned()))
    }

    /// Writes what is known of a machine.
    pub(crate) fn write_machine(&self, id: &str, record: &MachineRecord) -> Result<(), StoreError> {
        write_json(
            &self.directory.join(Self::machine_directory(id)).join("machine.json"),
            record,
        )
    }

    /// Makes the directories of a new machine.
    pub(crate) fn create_machine(&self, id: &str, root: &RootId) -> Result<(), StoreError> {
        if !is_name(id) {
            return Err(StoreError::UnknownMachine(id.to_owned()));
        }
        self.layer(root)?;
        let draft = self.draft()?;
        for name in ["fs", "work", "root"] {
            self.make_directory(&draft.path.join(name), 0o755)?;
        }
        let record = MachineRecord {
            root: root.clone(),
            booted: false,
        };
        write_json(&draft.path.join("machine.json"), &record)?;
        if self.publish(&draft, &Self::machine_directory(id))? {
            return Ok(());
        }
        fs::remove_dir_all(&draft.path).map_err(at(&draft.path))?;
        Err(StoreError::MachineExists(id.to_owned()))
    }

    /// Names of all roots, or of all machines.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(self.directory.join(kind)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// A machine's host key in OpenSSH's format, made by `make` the first time.
    pub(crate) fn host_key(&self, id: &str, make: impl FnOnce() -> io::Result<String>) -> Result<String, StoreError> {
        let path = self.directory.join(Self::machine_directory(id)).join("host_key");
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
        let path = self.directory.join(path);
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
}

impl Unfinished {
    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it after it has been emptied.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        match fs::remove_dir(&self.path) {
            // Another process may have been at it, too.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&self.path)(error)),
            _ => Ok(()),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::File { path, source }
}

/// Lets everybody through a directory, whatever our own umask is, if it is ours to say.
fn make_passable(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    if directory.metadata()?.permissions().mode() & 0o7777 == PASSABLE {
        return Ok(());
    }
    directory.set_permissions(fs::Permissions::from_mode(PASSABLE))
}

/// Writes a file that only its owner reads, whatever our own umask is.
fn write_privately(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)
}

/// Writes beside the file and renames, so that a reader sees the old or the new one.
fn write_json<T: Serialize>(path: &Path, content: &T) -> Result<(), StoreError> {
    let written = serde_json::to_vec(content)
        .map_err(io::Error::other)
        .and_then(|text| write_privately(&path.with_extension("new"), &text))
        .and_then(|()| fs::rename(path.with_extension("new"), path));
    written.map_err(at(path))
}

/// Whether a name can stand as one directory's name, and in mount options.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'-')
}

/// A root id derived from what the root was made of.
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
    fn a_directory_with_other_files_is_never_taken() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.txt"), "").unwrap();
        assert!(matches!(Store::open(directory.path()), Err(StoreError::Foreign(_))));
        assert!(!Store::is_store(directory.path()).unwrap());
    }

    #[test]
    fn names_cannot_leave_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
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
