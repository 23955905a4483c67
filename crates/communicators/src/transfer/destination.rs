//! Where the directories of a download are written: the only way in which names, links and modes of a server become files of this machine.
//!
//! Nothing is reached by a path. The directory that the user has named is opened once, links in its own path included; below it every
//! step is one `openat` of one plain name that follows no link, which holds on every kernel what `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS` of `openat2` hold on newer ones. So neither a link that an earlier entry has left nor one of the user's own
//! is ever written through, in whatever order and however often a name comes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bakelite_engine::untrusted::quoted;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, Timespec, Timestamps, UTIME_OMIT, fchmod, fstat, futimens, linkat,
    mkdirat, openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::tree::resolved_inside;

/// Longest path below the destination, as the system has it for paths.
const LONGEST_PATH: usize = 4095;

/// The first so many directories on the way to the present one stay open, and of deeper ones each of this number: from there the others are
/// walked to.
const KEPT_OPEN: usize = 32;

/// Mode of a directory that no entry describes; the umask takes from it.
const USUAL_MODE: u32 = 0o777;

/// Why something of a download was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DestinationError {
    /// The server sends what does not belong below the destination.
    #[error("{0}")]
    Refused(String),
    /// This machine cannot write it.
    #[error(transparent)]
    Local(#[from] io::Error),
}

type Result<T> = std::result::Result<T, DestinationError>;

/// The path of an entry below the destination, as a server writes it; `.` stands for the destination itself.
pub(crate) fn place(name: &[u8]) -> Result<PathBuf> {
    if name.is_empty() {
        return Err(refused(name, "that is no name"));
    }
    if name.starts_with(b"/") {
        return Err(refused(name, "the path leads out of the directory"));
    }
    let mut place = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused(name, "the path leads out of the directory")),
            part => place.push(OsStr::from_bytes(part)),
        }
    }
    checked(&place)?;
    Ok(place)
}

/// The name of one entry of a directory: nothing else than a name.
pub(crate) fn plain(name: &str) -> Result<&Path> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(refused(name.as_bytes(), "that is not the name of a file"));
    }
    Ok(Path::new(name))
}

/// The names of a path, which are all plain.
fn checked(place: &Path) -> Result<Vec<&OsStr>> {
    let bytes = place.as_os_str().as_bytes();
    if bytes.len() > LONGEST_PATH {
        return Err(refused(bytes, "the path is too long"));
    }
    if bytes.contains(&0) {
        return Err(refused(bytes, "that is no name"));
    }
    let names = place.components().map(|component| match component {
        Component::Normal(name) => Ok(name),
        _ => Err(refused(bytes, "the path leads out of the directory")),
    });
    names.collect()
}

/// The directory that an entry is in, and its name there.
fn split(place: &Path) -> Result<(&Path, &OsStr)> {
    match (place.parent(), place.file_name()) {
        (Some(above), Some(name)) => Ok((above, name)),
        _ => Err(refused(place.as_os_str().as_bytes(), "it is not a directory")),
    }
}

fn refused(name: &[u8], why: &str) -> DestinationError {
    let shown = quoted(&String::from_utf8_lossy(name));
    DestinationError::Refused(format!("the server sends `{shown}`: {why}"))
}

/// An error of the system at a place.
fn at(place: &Path, error: Errno) -> DestinationError {
    let error = io::Error::from(error);
    let shown = quoted(&place.to_string_lossy());
    io::Error::new(error.kind(), format!("`{shown}`: {error}")).into()
}

/// The error where something else exists, which may be the user's.
fn in_the_way(place: &Path, what: &str) -> DestinationError {
    let shown = quoted(&place.to_string_lossy());
    DestinationError::Refused(format!(
        "the server sends `{shown}` as {what}, and something else is there already, of an earlier entry or before the download: \
         it is not written through or removed"
    ))
}

/// A directory that a download is written into.
#[derive(Debug)]
pub(crate) struct Destination {
    root: Arc<OwnedFd>,
    /// The way from there to the directory that was written to last.
    open: Vec<Level>,
}

/// A directory on the way.
#[derive(Debug)]
struct Level {
    name: OsString,
    directory: Option<Arc<OwnedFd>>,
    /// The mode that it was made with, unless it was there.
    made: Option<u32>,
    /// What it is to have when all is in it: one without write permission could not be filled.
    described: Option<(u32, Option<u64>)>,
}

impl Destination {
    /// The directory at a path of the user's, made where it is missing. Links on the way there are the user's and are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            root: Arc::new(root),
            open: Vec::new(),
        })
    }

    /// Makes a directory, and those above it. One that is there stays as it is.
    pub(crate) fn directory(&mut self, place: &Path, mode: u32, modified: Option<u64>) -> Result<()> {
        self.enter(place, mode)?;
        if let Some(level) = self.open.last_mut().filter(|level| level.made.is_some()) {
            level.described = Some((mode & 0o777, modified));
        }
        Ok(())
    }

    /// Makes a file with a mode, of which the umask takes and which never sets ids; a file or link in its place goes.
    pub(crate) fn file(&mut self, place: &Path, mode: u32) -> Result<NewFile> {
        let (above, name) = split(place)?;
        let directory = self.enter(above, USUAL_MODE)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = replacing(&directory, name, || openat(&*directory, name, flags, permissions(mode)));
        let file = file.map_err(|error| unless_in_the_way(place, "a file", error))?;
        Ok(NewFile {
            file: file.into(),
            directory,
            name: name.to_owned(),
            is_complete: false,
        })
    }

    /// Makes a link that leads to something below the destination; a file or link in its place goes.
    pub(crate) fn link(&mut self, place: &Path, target: &Path) -> Result<()> {
        let bytes = target.as_os_str().as_bytes();
        let (above, name) = split(place)?;
        let inside = resolved_inside(place, target).filter(|inside| checked(inside).is_ok());
        let is_name = !bytes.is_empty() && !bytes.contains(&0) && bytes.len() <= LONGEST_PATH;
        let Some(inside) = inside.filter(|_| is_name) else {
            return Err(refused(
                place.as_os_str().as_bytes(),
                "it is a link that leads out of the directory",
            ));
        };
        let directory = self.enter(above, USUAL_MODE)?;
        if self.leads_out(&inside) {
            let why = "it is a link that leads out of the directory, through one that was there";
            return Err(refused(place.as_os_str().as_bytes(), why));
        }
        let made = replacing(&directory, name, || symlinkat(target, &*directory, name));
        made.map_err(|error| unless_in_the_way(place, "a link", error))
    }

    /// Gives a file of the destination a second name; a file or link in its place goes.
    pub(crate) fn hard_link(&mut self, place: &Path, first: &Path) -> Result<()> {
        if place == first {
            return Ok(());
        }
        let (first_above, first_name) = split(first)?;
        let mut from = Arc::clone(&self.root);
        for name in checked(first_above)? {
            let next = step(&from, name).map_err(|error| at(first, error))?;
            from = Arc::new(next);
        }
        let found = statat(&*from, first_name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| at(first, error))?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => {
                let target = readlinkat(&*from, first_name, Vec::new()).map_err(|error| at(first, error))?;
                return self.link(place, Path::new(OsStr::from_bytes(target.to_bytes())));
            }
            _ => return Err(refused(place.as_os_str().as_bytes(), "it is a second name of no file")),
        }
        let (above, name) = split(place)?;
        let directory = self.enter(above, USUAL_MODE)?;
        let made = replacing(&directory, name, || {
            linkat(&*from, first_name, &*directory, name, AtFlags::empty())
        });
        made.map_err(|error| unless_in_the_way(place, "a file", error))
    }

    /// Leaves all directories, each with its mode and time.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.leave_down_to(0)
    }

    /// Goes into a directory, making what is missing on the way; the last one with this mode.
    fn enter(&mut self, place: &Path, mode: u32) -> Result<Arc<OwnedFd>> {
        let names = checked(place)?;
        let way = self.open.iter().zip(&names);
        let shared = way.take_while(|(level, name)| level.name == **name).count();
        self.leave_down_to(shared)?;
        for (index, name) in names.iter().enumerate().skip(shared) {
            let mode = if index + 1 == names.len() { mode } else { USUAL_MODE };
            self.go_into(name, mode)?;
        }
        self.directory_at(names.len())
    }

    fn go_into(&mut self, name: &OsStr, mode: u32) -> Result<()> {
        let depth = self.open.len();
        let above = self.directory_at(depth)?;
        // Its contents follow, so that we must be allowed to write into it.
        let mode = (mode & 0o777) | 0o700;
        let made = match mkdirat(&*above, name, permissions(mode)) {
            Ok(()) => Some(mode),
            Err(Errno::EXIST) => None,
            Err(error) => return Err(at(&self.way(depth).join(name), error)),
        };
        let directory = step(&above, name).map_err(|error| {
            let place = self.way(depth).join(name);
            match error {
                Errno::LOOP | Errno::NOTDIR | Errno::MLINK => in_the_way(&place, "a directory"),
                error => at(&place, error),
            }
        })?;
        self.open.push(Level {
            name: name.to_owned(),
            directory: (depth < KEPT_OPEN || depth.is_multiple_of(KEPT_OPEN)).then(|| Arc::new(directory)),
            made,
            described: None,
        });
        Ok(())
    }

    fn leave_down_to(&mut self, depth: usize) -> Result<()> {
        while self.open.len() > depth {
            let depth = self.open.len();
            let described = self.open.last().and_then(|level| Some((level.made?, level.described?)));
            if let Some((made, (mode, modified))) = described {
                let directory = self.directory_at(depth)?;
                describe(&directory, made, mode, modified).map_err(|error| at(&self.way(depth), error))?;
            }
            self.open.pop();
        }
        Ok(())
    }

    /// The open directory so many levels down.
    fn directory_at(&self, depth: usize) -> Result<Arc<OwnedFd>> {
        let levels = self.open.get(..depth).unwrap_or(&self.open);
        let nearest = levels.iter().rposition(|level| level.directory.is_some());
        let kept = nearest.and_then(|index| levels.get(index)?.directory.as_ref());
        let mut directory = Arc::clone(kept.unwrap_or(&self.root));
        for (index, level) in levels.iter().enumerate().skip(nearest.map_or(0, |index| index + 1)) {
            let next = step(&directory, &level.name).map_err(|error| at(&self.way(index + 1), error))?;
            directory = Arc::new(next);
        }
        Ok(directory)
    }

    /// The path so many levels down.
    fn way(&self, depth: usize) -> PathBuf {
        self.open.iter().take(depth).map(|level| &level.name).collect()
    }

    /// Does a path below the destination lead out of it? Links that we make never do, but those of the user may.
    #[cfg(target_os = "linux")]
    fn leads_out(&self, place: &Path) -> bool {
        use rustix::fs::{ResolveFlags, openat2};
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // A kernel older than 5.6 cannot tell; what is not there leads nowhere.
        matches!(
            openat2(&*self.root, place, flags, Mode::empty(), beneath),
            Err(Errno::XDEV)
        )
    }

    #[cfg(not(target_os = "linux"))]
    fn leads_out(&self, _place: &Path) -> bool {
        false
    }
}

/// Opens a directory of a directory; a link is none.
fn step(directory: &OwnedFd, name: &OsStr) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// Makes something in a directory, in the place of a file or link that is there.
fn replacing<T>(
    directory: &OwnedFd,
    name: &OsStr,
    make: impl Fn() -> std::result::Result<T, Errno>,
) -> std::result::Result<T, Errno> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(directory, name, AtFlags::empty())?;
            make()
        }
        made => made,
    }
}

fn unless_in_the_way(place: &Path, what: &str, error: Errno) -> DestinationError {
    match error {
        Errno::ISDIR | Errno::EXIST => in_the_way(place, what),
        error => at(place, error),
    }
}

/// Gives a directory of ours the mode and time that the server sends. What the umask took stays taken.
fn describe(directory: &OwnedFd, made: u32, mode: u32, modified: Option<u64>) -> std::result::Result<(), Errno> {
    set_time(directory, modified)?;
    if made == mode {
        return Ok(());
    }
    let own = fstat(directory)?.st_mode & 0o7777;
    // Bits beyond the permissions are those that the system itself has given.
    fchmod(
        directory,
        Mode::from_raw_mode(own & RawMode::try_from(mode | 0o7000).unwrap_or(0)),
    )
}

/// A time (seconds since 1970) that no clock can show is left out.
fn set_time(file: impl std::os::fd::AsFd, modified: Option<u64>) -> std::result::Result<(), Errno> {
    let Some(seconds) = modified.and_then(|seconds| i64::try_from(seconds).ok()) else {
        return Ok(());
    };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        },
    };
    match futimens(file, &times) {
        Err(Errno::INVAL | Errno::OVERFLOW) => Ok(()),
        set => set,
    }
}

/// Permission bits of the server's. Set-id bits of a foreign machine mean nothing here.
fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(RawMode::try_from(mode & 0o777).unwrap_or(0))
}

/// A file that is being written. Unless it becomes complete it is removed, whatever ends the download.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    directory: Arc<OwnedFd>,
    name: OsString,
    is_complete: bool,
}

impl NewFile {
    /// What its content goes into.
    pub(crate) fn content(&mut self) -> &mut File {
        &mut self.file
    }

    /// The same, for who writes beside the threads that everybody shares.
    pub(crate) fn stream(&self) -> io::Result<tokio::fs::File> {
        self.file.try_clone().map(tokio::fs::File::from_std)
    }

    /// All of it is written: it stays, with the time of the one that it was copied from.
    pub(crate) fn complete(mut self, modified: Option<u64>) -> io::Result<()> {
        set_time(&self.file, modified)?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_complete {
            // What went wrong is known already.
            let _ = unlinkat(&*self.directory, &self.name, AtFlags::empty());
        }
    }
}

/// A destination for those who must not wait for the disk: each step is done on a thread of its own.
#[derive(Debug, Clone)]
pub(crate) struct Beside(Arc<Mutex<Destination>>);

impl Beside {
    /// See [`Destination::open`].
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Destination::open(&path)).await;
        let destination = opened.map_err(io::Error::other)??;
        Ok(Self(Arc::new(Mutex::new(destination))))
    }

    /// Does a step.
    pub(crate) async fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Destination) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let destination = Arc::clone(&self.0);
        let done =
            tokio::task::spawn_blocking(move || step(&mut destination.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.map_err(io::Error::other)?
    }

    /// See [`Destination::file`].
    pub(crate) async fn file(&self, place: PathBuf, mode: u32) -> Result<NewFile> {
        self.step(move |destination| destination.file(&place, mode)).await
    }

    /// See [`Destination::directory`].
    pub(crate) async fn directory(&self, place: PathBuf, mode: u32, modified: Option<u64>) -> Result<()> {
        self.step(move |destination| destination.directory(&place, mode, modified))
            .await
    }

    /// See [`Destination::finish`].
    pub(crate) async fn finish(&self) -> Result<()> {
        self.step(Destination::finish).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use proptest::prelude::*;

    use super::*;

    /// Everything in a directory but what is below the destination: kind, mode, number of names, content.
    fn outside(directory: &Path, destination: &Path) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut left = vec![directory.to_owned()];
        while let Some(next) = left.pop() {
            for entry in std::fs::read_dir(&next).unwrap().flatten() {
                let (path, metadata) = (entry.path(), entry.metadata().unwrap());
                if path == destination {
                    continue;
                }
                let content = if metadata.is_dir() {
                    left.push(path.clone());
                    String::new()
                } else {
                    format!("{} {:?}", metadata.nlink(), std::fs::read(&path))
                };
                found.insert(path, format!("{:o} {content}", metadata.mode()));
            }
        }
        found
    }

    /// No link below the destination leads out of it, but for those of the user.
    fn no_links_out(destination: &Path, own: &[PathBuf]) {
        let root = destination.canonicalize().unwrap();
        let mut left = vec![root.clone()];
        while let Some(next) = left.pop() {
            for entry in std::fs::read_dir(&next).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    left.push(entry.path());
                } else if metadata.is_symlink() && !own.contains(&entry.path()) {
                    let to = entry.path().canonicalize();
                    assert!(to.is_err() || to.unwrap().starts_with(&root), "{:?}", entry.path());
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Entry {
        Directory(String, u32),
        File(String, u32),
        Half(String),
        Link(String, String),
        HardLink(String, String),
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        // Few names, so that they meet.
        let name = || "(\\./|/|\\.\\./)?[abu](/[abu]){0,3}(/|/\\.|/\\.\\.)?|\\.|\\.\\.|";
        let target = || "(/|\\./)?((\\.\\./){0,4})([abu]|\\.\\.)(/([abu]|\\.\\.)){0,3}|/|\\.|u/out|";
        let mode = || prop_oneof![Just(0o755), Just(0o777), Just(0o555), Just(0o6777), Just(0)];
        let entry = prop_oneof![
            (name(), mode()).prop_map(|(name, mode)| Entry::Directory(name, mode)),
            (name(), mode()).prop_map(|(name, mode)| Entry::File(name, mode)),
            name().prop_map(Entry::Half),
            (name(), target()).prop_map(|(name, target)| Entry::Link(name, target)),
            (name(), target()).prop_map(|(name, target)| Entry::HardLink(name, target)),
        ];
        proptest::collection::vec(entry, 0..24)
    }

    fn write(destination: &mut Destination, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Directory(name, mode) => destination.directory(&place(name.as_bytes())?, *mode, Some(1)),
            Entry::File(name, mode) => {
                let mut file = destination.file(&place(name.as_bytes())?, *mode)?;
                file.content().write_all(b"EVIL")?;
                Ok(file.complete(Some(1))?)
            }
            Entry::Half(name) => destination.file(&place(name.as_bytes())?, 0o644).map(drop),
            Entry::Link(name, target) => destination.link(&place(name.as_bytes())?, Path::new(target)),
            Entry::HardLink(name, first) => destination.hard_link(&place(name.as_bytes())?, &place(first.as_bytes())?),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn whatever_is_sent_nothing_outside_changes(entries in entries(), has_own in any::<bool>()) {
            let directory = tempfile::tempdir().unwrap();
            let at = directory.path().join("a/b/dst");
            std::fs::create_dir_all(&at).unwrap();
            std::fs::create_dir(directory.path().join("a/out")).unwrap();
            std::fs::write(directory.path().join("a/b/u"), "mine").unwrap();
            std::fs::write(directory.path().join("a/out/b"), "mine").unwrap();
            let mut own = Vec::new();
            if has_own {
                symlink("../..", at.join("u")).unwrap();
                own.push(at.canonicalize().unwrap().join("u"));
            }
            let before = outside(directory.path(), &at);
            let mut destination = Destination::open(&at).unwrap();
            for entry in &entries {
                // An error ends a download; here the next entry finds what was left.
                let _ = write(&mut destination, entry);
            }
            let _ = destination.finish();
            prop_assert_eq!(before, outside(directory.path(), &at));
            no_links_out(&at, &own);
        }

        #[test]
        fn a_place_has_only_plain_names(name in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..12)) {
            if let Ok(place) = place(&name) {
                prop_assert!(place.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }

    #[test]
    fn a_name_is_refused_unless_it_is_one() {
        for name in ["..", ".", "", "a/b", "../../etc/passwd", "/x", "a\0b"] {
            assert!(plain(name).is_err(), "{name:?}");
        }
        assert_eq!(plain("..a").unwrap(), Path::new("..a"));
        for name in ["", "/", "/x", "..", "a/..", "a\0", &"x/".repeat(3000)] {
            assert!(place(name.as_bytes()).is_err(), "{name:?}");
        }
        assert_eq!(place(b"./a//b/./").unwrap(), Path::new("a/b"));
        assert_eq!(place(b".").unwrap(), Path::new(""));
    }

    #[test]
    fn a_tree_that_is_deeper_than_directories_are_kept_open_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut destination = Destination::open(directory.path()).unwrap();
        let deep: PathBuf = (0..100).map(|depth| format!("d{depth}")).collect();
        destination.directory(&deep, 0o755, Some(1)).unwrap();
        for name in ["x", "y"] {
            let mut file = destination.file(&deep.join(name), 0o644).unwrap();
            file.content().write_all(name.as_bytes()).unwrap();
            file.complete(Some(86_400)).unwrap();
        }
        destination.hard_link(&deep.join("z"), &deep.join("x")).unwrap();
        destination.link(&deep.join("l"), Path::new("y")).unwrap();
        destination.finish().unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(&deep).join(name)).unwrap();
        assert_eq!((read("x"), read("l"), read("z")), ("x".into(), "y".into(), "x".into()));
        let metadata = std::fs::metadata(directory.path().join(&deep)).unwrap();
        assert_eq!(metadata.mtime(), 1);
        assert_eq!(
            std::fs::metadata(directory.path().join(deep).join("x"))
                .unwrap()
                .mtime(),
            86_400
        );
    }
}
