//! Files of this machine that hold secrets while something needs them: a script with a password in it, a key for Ansible. Each is in the
//! journal before it holds anything, so that `gc` finds it after a kill, and it is removed only if it is the one that was made.

use std::borrow::Cow;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, Explain};
use crate::journal::{Entry, Journal};
use crate::private_directory::is_ours;
use crate::undo::{Resource, THIS_MACHINE, Undo, UndoError, UndoMode};
use crate::unwind::Creation;

/// The detail that says where it is.
const PATH: &str = "path";

/// A number for a name that must not exist yet, neither here nor on an instance.
pub fn random_number() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Directory => "directory",
        }
    }

    fn is_that_of(self, stat: &Stat) -> bool {
        let found = FileType::from_raw_mode(stat.st_mode);
        match self {
            Kind::File => found == FileType::RegularFile,
            Kind::Directory => found == FileType::Directory,
        }
    }
}

/// Makes private files, and notes them where a run notes what it makes. The default notes them nowhere.
#[derive(Debug, Clone, Default)]
pub struct PrivateFiles {
    journal: Option<Arc<Journal>>,
}

/// How a private file is to be named, and its mode.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// How the name begins; a random number follows.
    pub prefix: &'a str,
    /// How it ends.
    pub suffix: &'a str,
    /// The permissions.
    pub mode: u32,
}

/// A file or directory that goes with this value.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    kind: Kind,
    /// Where it is, without links on the way.
    real: PathBuf,
    identity: Identity,
    noted: Option<(Arc<Journal>, Entry)>,
}

impl PrivateFiles {
    /// Notes what it makes in this journal.
    pub fn noted_in(journal: Arc<Journal>) -> Self {
        Self { journal: Some(journal) }
    }

    /// Writes a file with a new name into a directory.
    pub fn write(&self, directory: &Path, naming: Naming<'_>, content: &[u8]) -> io::Result<PrivateFile> {
        let (made, mut file) = self.make(directory, naming, Kind::File, |path| new_file(path, naming.mode))?;
        file.write_all(content)?;
        Ok(made)
    }

    /// Makes a directory with a new name within another.
    pub fn directory(&self, within: &Path, prefix: &str) -> io::Result<PrivateFile> {
        let naming = Naming {
            prefix,
            suffix: "",
            mode: 0o700,
        };
        let (made, _) = self.make(within, naming, Kind::Directory, new_directory)?;
        Ok(made)
    }

    fn make(
        &self,
        directory: &Path,
        naming: Naming<'_>,
        kind: Kind,
        create: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<(PrivateFile, File)> {
        let real_directory = directory.canonicalize()?;
        for _ in 0..100 {
            let name = format!("{}{}{}", naming.prefix, random_number(), naming.suffix);
            let real = real_directory.join(&name);
            let noted = match &self.journal {
                Some(journal) => {
                    let entry = journal.intend(&resource(kind, &real)?).map_err(unnoted)?;
                    Some((Arc::clone(journal), entry))
                }
                None => None,
            };
            let created = create(&real);
            if let (Err(_), Some((journal, entry))) = (&created, &noted) {
                journal.gone(*entry).map_err(unnoted)?;
            }
            if created
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
            {
                continue;
            }
            let file = created?;
            let identity = Identity::of(&file)?;
            let made = PrivateFile {
                path: directory.join(&name),
                made: Some(Made {
                    kind,
                    real,
                    identity,
                    noted: noted.clone(),
                }),
            };
            if let Some((journal, entry)) = noted {
                journal.made(entry, &identity.to_string()).map_err(unnoted)?;
            }
            return Ok((made, file));
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl PrivateFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is, for good.
    pub fn keep(mut self) -> io::Result<PathBuf> {
        if let Some((journal, entry)) = self.made.take().and_then(|made| made.noted) {
            journal.kept(entry).map_err(unnoted)?;
        }
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        let Some(made) = self.made.take() else { return };
        // What cannot be removed or struck out now stays in the journal, where `gc` finds it.
        if remove(made.kind, &made.real, Some(made.identity)).is_ok()
            && let Some((journal, entry)) = made.noted
        {
            let _ = journal.gone(entry);
        }
    }
}

/// Saves a secret under a name of the user's for as long as the bake lives, in place of what an earlier run may have left there.
pub async fn save(creation: &Creation, path: &Path, content: &[u8]) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("/")).canonicalize()?;
    let real = directory.join(path.file_name().unwrap_or_default());
    // It may have other permissions.
    let _ = std::fs::remove_file(&real);
    let new = real.clone();
    let call = async move {
        let file = new_file(&new, 0o600)?;
        let identity = Identity::of(&file)?;
        Ok::<_, Error>((identity.to_string(), file))
    };
    let resource = resource(Kind::File, &real)?;
    let made = creation.create(Arc::new(ThisMachine), resource, call).await?;
    let mut file = made.value;
    Ok(file.write_all(content)?)
}

/// The journal is text: what it could not name again is not made.
fn resource(kind: Kind, path: &Path) -> io::Result<Resource> {
    let text = path.to_str().ok_or_else(|| {
        let message = format!("the path `{}` is no text (UTF-8)", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    Ok(Resource::new(THIS_MACHINE, kind.name()).detail(PATH, text))
}

/// An empty file: it gets its content once its identity is in the journal.
fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask may have taken what the owner needs.
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

fn new_directory(path: &Path) -> io::Result<File> {
    DirBuilder::new().mode(0o700).create(path)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

fn unnoted(error: crate::journal::JournalError) -> io::Error {
    io::Error::other(error)
}

/// Which file of a device it is: a name can come to stand for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    fn of_stat(stat: &Stat) -> Self {
        Self {
            #[expect(clippy::useless_conversion, reason = "its type is another on other systems")]
            device: u64::try_from(stat.st_dev).unwrap_or_default(),
            inode: stat.st_ino,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (device, inode) = text.split_once('-')?;
        Some(Self {
            device: u64::from_str_radix(device, 16).ok()?,
            inode: u64::from_str_radix(inode, 16).ok()?,
        })
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}", self.device, self.inode)
    }
}

/// Removes private files of this machine.
pub struct ThisMachine;

#[async_trait]
impl Undo for ThisMachine {
    fn owner(&self) -> &'static str {
        THIS_MACHINE
    }

    async fn undo(&self, resource: &Resource, _mode: UndoMode) -> Result<(), UndoError> {
        remove_noted(resource).map_err(|cause| UndoError {
            what: resource.describe(),
            cause: cause.into(),
            again: None,
        })
    }
}

/// Why a private file was left where it is.
#[derive(Debug, thiserror::Error)]
enum RemoveError {
    #[error("kind `{0}` is not known to this version")]
    Kind(String),
    #[error("the journal does not contain its path")]
    Nowhere,
    #[error("a directory of its path is a link, and was none when it was made")]
    Link,
    #[error("the device that it is on has another number now")]
    Device,
    #[error("the directory is nested too deeply")]
    TooDeep,
    #[error(transparent)]
    System(#[from] Errno),
}

impl Explain for RemoveError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            RemoveError::Link | RemoveError::Device => Some("remove it yourself if it is yours".into()),
            RemoveError::TooDeep => Some("remove it yourself".into()),
            RemoveError::Kind(_) => Some("run `bakelite gc` of the version that made it".into()),
            RemoveError::Nowhere | RemoveError::System(_) => None,
        }
    }
}

fn remove_noted(resource: &Resource) -> Result<(), RemoveError> {
    let kind = [Kind::File, Kind::Directory]
        .into_iter()
        .find(|kind| kind.name() == resource.kind);
    let kind = kind.ok_or_else(|| RemoveError::Kind(resource.kind.clone()))?;
    let path = resource.details.get(PATH).ok_or(RemoveError::Nowhere)?;
    remove(kind, Path::new(path), resource.id.as_deref().and_then(Identity::parse))
}

/// Removes it if it is still the one that was made; anything else of that name is left alone, for ours is gone then. Without an
/// identity it was given no content: then only what is empty is ours.
fn remove(kind: Kind, path: &Path, identity: Option<Identity>) -> Result<(), RemoveError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(RemoveError::Nowhere);
    };
    let Some(directory) = straight_to(directory)? else {
        return Ok(());
    };
    let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !kind.is_that_of(&stat) || !is_ours(&stat) {
        return Ok(());
    }
    let found = Identity::of_stat(&stat);
    match identity {
        Some(made) if made.inode != found.inode => return Ok(()),
        Some(made) if made.device != found.device => return Err(RemoveError::Device),
        None if kind == Kind::File && stat.st_size != 0 => return Ok(()),
        _ => {}
    }
    let removed = match (kind, identity) {
        (Kind::File, _) => unlinkat(&directory, name, AtFlags::empty()),
        (Kind::Directory, None) => match unlinkat(&directory, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            removed => removed,
        },
        (Kind::Directory, Some(_)) => {
            let own = openat(
                &directory,
                name,
                OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            if Identity::of_stat(&fstat(&own)?) != found {
                return Ok(());
            }
            empty(&own, 64)?;
            unlinkat(&directory, name, AtFlags::REMOVEDIR)
        }
    };
    match removed {
        Err(Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A directory on the way may be one that can be passed and not be listed.
#[cfg(target_os = "linux")]
const WAY: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const WAY: OFlags = OFlags::empty();

/// Opens a directory step by step, over no link; `None` when it is not there.
fn straight_to(path: &Path) -> Result<Option<OwnedFd>, RemoveError> {
    let flags = WAY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = open("/", flags, Mode::empty())?;
    for component in path.components() {
        let name = match component {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            _ => return Err(RemoveError::Nowhere),
        };
        directory = match openat(&directory, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(RemoveError::Link),
            Err(error) => return Err(error.into()),
        };
    }
    Ok(Some(directory))
}

/// Removes everything in a directory, over no link.
fn empty(directory: &impl AsFd, depth: u32) -> Result<(), RemoveError> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            unlinkat(directory, name, AtFlags::empty())?;
            continue;
        }
        let inner = openat(
            directory,
            name,
            OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        empty(&inner, depth.checked_sub(1).ok_or(RemoveError::TooDeep)?)?;
        unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const NAMING: Naming<'_> = Naming {
        prefix: "key",
        suffix: ".pem",
        mode: 0o600,
    };

    /// A place of a test, its path without links.
    struct Place {
        _directory: tempfile::TempDir,
        path: PathBuf,
        journal: Arc<Journal>,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().canonicalize().unwrap();
            let journal = Arc::new(Journal::new(
                crate::journals::Journals::own(path.join("journal")),
                "run",
            ));
            std::fs::create_dir(path.join("tmp")).unwrap();
            Self {
                _directory: directory,
                path,
                journal,
            }
        }

        fn write(&self) -> PrivateFile {
            let files = PrivateFiles::noted_in(self.journal.clone());
            files.write(&self.path.join("tmp"), NAMING, b"secret").unwrap()
        }

        /// What a killed run would have left in the journal.
        fn noted(&self) -> Resource {
            self.journal.close().unwrap().remove(0)
        }
    }

    #[test]
    fn a_file_goes_with_its_value_and_out_of_the_journal() {
        let place = Place::new();
        let file = place.write();
        let metadata = std::fs::metadata(file.path()).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let path = file.path().to_owned();
        drop(file);
        assert!(!path.exists());
        assert_eq!(place.journal.close().unwrap(), []);
    }

    #[test]
    fn a_file_that_is_kept_stays_and_is_nobodys_business() {
        let place = Place::new();
        let path = place.write().keep().unwrap();
        assert!(path.exists());
        assert_eq!(place.journal.close().unwrap(), []);
    }

    #[test]
    fn a_file_that_a_kill_left_is_removed_by_what_the_journal_says() {
        let place = Place::new();
        let file = place.write();
        let noted = place.noted();
        assert_eq!(noted.describe(), format!("file {}", file.path().display()));
        assert!(!format!("{noted:?}").contains("secret"));
        remove_noted(&noted).unwrap();
        assert!(!file.path().exists());
        remove_noted(&noted).unwrap();
    }

    #[test]
    fn a_directory_goes_with_all_that_is_in_it_and_nothing_else() {
        let place = Place::new();
        std::fs::write(place.path.join("mine"), "").unwrap();
        let files = PrivateFiles::noted_in(place.journal.clone());
        let directory = files.directory(&place.path.join("tmp"), "ansible").unwrap();
        std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
        std::fs::write(directory.path().join("a/b/c"), "").unwrap();
        symlink(&place.path, directory.path().join("a/out")).unwrap();
        remove_noted(&place.noted()).unwrap();
        assert!(!directory.path().exists() && place.path.join("mine").exists());
    }

    /// Otherwise a journal would be a way to have any file removed.
    #[test]
    fn only_what_was_made_is_removed() {
        let place = Place::new();
        let file = place.write();
        let noted = place.noted();
        let victim = place.path.join("victim");
        std::fs::write(&victim, "x").unwrap();
        let named = |path: &Path, id: Option<String>| {
            let mut resource = resource(Kind::File, path).unwrap();
            resource.id = id;
            resource
        };
        remove_noted(&named(&victim, noted.id.clone())).unwrap();
        remove_noted(&named(&victim, None)).unwrap();
        remove_noted(&named(&place.path, noted.id.clone())).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "x");
        // Its name stands for another by now.
        std::fs::rename(&victim, file.path()).unwrap();
        remove_noted(&noted).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "x");
        std::fs::remove_file(file.path()).unwrap();
        symlink(place.path.join("journal"), file.path()).unwrap();
        remove_noted(&noted).unwrap();
        assert!(file.path().is_symlink());
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let place = Place::new();
        let file = place.write();
        let noted = place.noted();
        let (tmp, moved) = (place.path.join("tmp"), place.path.join("moved"));
        std::fs::rename(&tmp, &moved).unwrap();
        symlink(&moved, &tmp).unwrap();
        let error = remove_noted(&noted).unwrap_err();
        assert!(matches!(error, RemoveError::Link), "{error}");
        assert!(file.path().exists());
    }

    #[test]
    fn what_was_only_intended_is_removed_while_it_is_empty() {
        let place = Place::new();
        let path = place.path.join("tmp/key1");
        new_file(&path, 0o600).unwrap();
        remove_noted(&resource(Kind::File, &path).unwrap()).unwrap();
        assert!(!path.exists());
    }
}
