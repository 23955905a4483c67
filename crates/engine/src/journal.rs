//! The file that survives a kill: what a run is about to make, what it made, what is gone. Append-only JSON lines, one file per run,
//! mode 0600, in the state directory; a lock on the file tells a live run from a dead one. It holds no secret.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};
use serde::{Deserialize, Serialize};

use crate::error::Explain;
use crate::private_directory::{self, permissions};
use crate::undo::{CREATED, Resource};

/// One line of the file. Lines that a newer program wrote and this one does not know are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first line.
    Run { format: u32, run: String },
    /// A resource is about to be made.
    Intent { entry: u64, resource: Resource },
    /// It was made and has this id.
    Made { entry: u64, id: String },
    /// It is certainly not there.
    Gone { entry: u64 },
    /// It stays, on purpose: the product of the bake.
    Kept { entry: u64 },
}

/// The format of the file that this program writes.
const FORMAT: u32 = 1;

/// A line's resource within its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry(u64);

/// The journal of the run that is going on. The file is made with the first entry, so that a run that makes nothing leaves nothing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    run: String,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<File>,
    remaining: BTreeMap<u64, Resource>,
    next: u64,
}

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} journal `{}`", path.display())]
pub struct JournalError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

impl Explain for JournalError {}

impl Journal {
    /// The journal of a run, in this directory.
    pub fn new(directory: &Path, run: &str) -> Self {
        let path = directory.join(format!("{run}.jsonl"));
        Self {
            path,
            run: run.to_owned(),
            open: Mutex::default(),
        }
    }

    /// Notes that a resource is about to be made; on the disk when this returns.
    pub fn intend(&self, resource: &Resource) -> Result<Entry, JournalError> {
        let mut open = self.lock();
        if open.file.is_none() {
            open.file = Some(self.create()?);
        }
        let entry = open.next;
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let resource = resource.clone().detail(CREATED, now);
        let line = Line::Intent {
            entry,
            resource: resource.clone(),
        };
        self.write(&mut open, &line)?;
        open.next += 1;
        open.remaining.insert(entry, resource);
        Ok(Entry(entry))
    }

    /// Notes the id of a resource that was made.
    pub fn made(&self, entry: Entry, id: &str) -> Result<(), JournalError> {
        let mut open = self.lock();
        if let Some(resource) = open.remaining.get_mut(&entry.0) {
            resource.id = Some(id.to_owned());
        }
        self.write(
            &mut open,
            &Line::Made {
                entry: entry.0,
                id: id.to_owned(),
            },
        )
    }

    /// Notes that a resource is certainly not there.
    pub fn gone(&self, entry: Entry) -> Result<(), JournalError> {
        let mut open = self.lock();
        open.remaining.remove(&entry.0);
        self.write(&mut open, &Line::Gone { entry: entry.0 })
    }

    /// Notes that a resource stays on purpose.
    pub fn kept(&self, entry: Entry) -> Result<(), JournalError> {
        let mut open = self.lock();
        open.remaining.remove(&entry.0);
        self.write(&mut open, &Line::Kept { entry: entry.0 })
    }

    /// Ends the journal: the file goes when nothing is left in it. Returns what is left.
    pub fn close(&self) -> Result<Vec<Resource>, JournalError> {
        let mut open = self.lock();
        if open.file.take().is_some() && open.remaining.is_empty() {
            std::fs::remove_file(&self.path).map_err(|cause| self.error("remove", cause))?;
        }
        Ok(std::mem::take(&mut open.remaining).into_values().collect())
    }

    fn create(&self) -> Result<File, JournalError> {
        if let Some(directory) = self.path.parent() {
            private_directory::make(directory).map_err(|cause| self.error("create the directory of", cause))?;
        }
        let options = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&self.path);
        let mut file = options.map_err(|cause| self.error("create", cause))?;
        // The umask may have taken what `gc` needs.
        let mode = std::fs::Permissions::from_mode(0o600);
        file.set_permissions(mode)
            .map_err(|cause| self.error("create", cause))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|cause| self.error("lock", cause.into()))?;
        let line = Line::Run {
            format: FORMAT,
            run: self.run.clone(),
        };
        append(&mut file, &line).map_err(|cause| self.error("write", cause))?;
        Ok(file)
    }

    fn write(&self, open: &mut Open, line: &Line) -> Result<(), JournalError> {
        let Some(file) = open.file.as_mut() else { return Ok(()) };
        append(file, line).map_err(|cause| self.error("write", cause))
    }

    fn error(&self, operation: &'static str, cause: std::io::Error) -> JournalError {
        JournalError {
            operation,
            path: self.path.clone(),
            cause,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        // A panic elsewhere must not keep the clean-up from its list.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One write per line, so that a kill leaves at most one torn line, the last.
fn append(file: &mut File, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line).map_err(std::io::Error::other)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}

/// The journal of a run that is dead and left something. Holds the file's lock, so that nobody else cleans up at the same time.
#[derive(Debug)]
pub struct Abandoned {
    /// The run's id.
    pub run: String,
    /// What may still be there.
    pub remaining: Vec<(Entry, Resource)>,
    path: PathBuf,
    file: File,
}

impl Abandoned {
    /// Notes that a resource is certainly not there.
    pub fn gone(&mut self, entry: Entry) -> Result<(), JournalError> {
        self.remaining.retain(|(left, _)| *left != entry);
        let line = Line::Gone { entry: entry.0 };
        append(&mut self.file, &line).map_err(|cause| JournalError {
            operation: "write",
            path: self.path.clone(),
            cause,
        })
    }

    /// Ends it: the file goes when nothing is left in it.
    pub fn close(self) -> Result<(), JournalError> {
        if self.remaining.is_empty() {
            std::fs::remove_file(&self.path).map_err(|cause| JournalError {
                operation: "remove",
                path: self.path.clone(),
                cause,
            })?;
        }
        Ok(())
    }
}

/// What is in a directory of journals.
#[derive(Debug, Default)]
pub struct Found {
    /// The journals of dead runs.
    pub abandoned: Vec<Abandoned>,
    /// What is not obeyed, because somebody else may have written it.
    pub refused: Vec<Refused>,
}

/// A journal that is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub reason: Untrusted,
}

/// Why a journal is not obeyed: somebody else may have written it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A link, a pipe, a directory.
    #[error("it is no regular file")]
    NotRegular,
    /// The file of another user.
    #[error("it belongs to another user (uid {owner})")]
    OtherUser {
        /// The user's id.
        owner: u32,
    },
    /// Group or others may write it.
    #[error("others may write it (mode {mode:03o})")]
    Writable {
        /// Its permission bits.
        mode: u32,
    },
    /// Another name elsewhere leads to it.
    #[error("it has another name elsewhere (a hard link)")]
    HardLink,
    /// It cannot be opened.
    #[error(transparent)]
    Unreadable(#[from] Errno),
}

/// The journals of dead runs in a directory. Those of live runs are locked and left alone. A journal says what is to be removed, so only
/// what this user alone can have written is obeyed.
pub fn abandoned(directory: &Path) -> Result<Found, JournalError> {
    let error = |operation, path: &Path, cause| JournalError {
        operation,
        path: path.to_owned(),
        cause,
    };
    let opened = match private_directory::existing(directory) {
        Ok(opened) => opened,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Found::default()),
        Err(cause) => return Err(error("open the directory of", directory, cause)),
    };
    let entries = Dir::read_from(&opened).map_err(|cause| error("list", directory, cause.into()))?;
    let names = entries.filter_map(Result::ok);
    let names = names.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    let mut names: Vec<OsString> = names
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    names.sort();
    let mut found = Found::default();
    for name in names {
        let path = directory.join(&name);
        match open_own(&opened, &name, geteuid()) {
            Ok(None) => {}
            Ok(Some(file)) => found
                .abandoned
                .extend(read(file, path.clone()).map_err(|cause| error("read", &path, cause))?),
            Err(reason) => found.refused.push(Refused { path, reason }),
        }
    }
    Ok(found)
}

/// Opens a journal if this user alone can have written it; otherwise why not. `None`: it has gone in the meantime.
fn open_own(directory: &OwnedFd, name: &OsStr, user: Uid) -> Result<Option<File>, Untrusted> {
    // A pipe must not make anybody wait.
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        stat => stat?,
    };
    check_own(&stat, user)?;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        file => file?,
    };
    check_own(&fstat(&file)?, user)?;
    Ok(Some(File::from(file)))
}

fn check_own(stat: &Stat, user: Uid) -> Result<(), Untrusted> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Untrusted::NotRegular);
    }
    if stat.st_uid != user.as_raw() {
        return Err(Untrusted::OtherUser { owner: stat.st_uid });
    }
    let mode = permissions(stat);
    if mode & 0o022 != 0 {
        return Err(Untrusted::Writable { mode });
    }
    if stat.st_nlink != 1 {
        return Err(Untrusted::HardLink);
    }
    Ok(())
}

/// `None` for the journal of a live run.
fn read(mut file: File, path: PathBuf) -> std::io::Result<Option<Abandoned>> {
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let (run, remaining) = replay(&text);
    let run = run.unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    Ok(Some(Abandoned {
        run,
        remaining,
        path,
        file,
    }))
}

/// What the lines of a journal leave. A torn or unknown line is skipped: what was intended before it still counts.
fn replay(text: &[u8]) -> (Option<String>, Vec<(Entry, Resource)>) {
    let mut run = None;
    let mut remaining = BTreeMap::new();
    for line in text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
    {
        match line {
            Line::Run { run: id, .. } => run = Some(id),
            Line::Intent { entry, resource } => drop(remaining.insert(entry, resource)),
            Line::Made { entry, id } => {
                if let Some(resource) = remaining.get_mut(&entry) {
                    resource.id = Some(id);
                }
            }
            Line::Gone { entry } | Line::Kept { entry } => drop(remaining.remove(&entry)),
        }
    }
    (
        run,
        remaining
            .into_iter()
            .map(|(entry, resource)| (Entry(entry), resource))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: &str) -> Resource {
        Resource::new("test", kind)
            .token(format!("token-{kind}"))
            .detail("region", "us-east-1")
    }

    /// A journal of a run that was killed after it made two things, undid one and began a third.
    fn killed(directory: &Path) -> PathBuf {
        let journal = Journal::new(directory, "run-1");
        let first = journal.intend(&resource("key-pair")).unwrap();
        journal.made(first, "key-1").unwrap();
        let second = journal.intend(&resource("instance")).unwrap();
        journal.made(second, "i-1").unwrap();
        journal.gone(first).unwrap();
        journal.intend(&resource("volume")).unwrap();
        journal.path.clone()
    }

    #[test]
    fn a_dead_runs_journal_tells_what_is_left() {
        let directory = tempfile::tempdir().unwrap();
        killed(directory.path());
        let left = abandoned(directory.path()).unwrap().abandoned;
        let [run] = left.as_slice() else {
            panic!("one journal expected")
        };
        let what: Vec<String> = run.remaining.iter().map(|(_, resource)| resource.describe()).collect();
        assert_eq!(
            (run.run.as_str(), what),
            (
                "run-1",
                vec!["instance i-1".to_owned(), "volume token-volume".to_owned()]
            )
        );
    }

    #[test]
    fn a_live_runs_journal_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path(), "run-1");
        journal.intend(&resource("instance")).unwrap();
        assert!(abandoned(directory.path()).unwrap().abandoned.is_empty());
    }

    fn refused(directory: &Path) -> Vec<String> {
        let found = abandoned(directory).unwrap();
        assert!(found.abandoned.is_empty(), "{found:?}");
        found
            .refused
            .into_iter()
            .map(|refused| refused.reason.to_string())
            .collect()
    }

    #[test]
    fn a_journal_is_for_its_user_alone_whatever_was_there() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("journal");
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        let path = killed(&directory);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
    }

    #[test]
    fn a_journal_that_others_may_write_is_not_obeyed() {
        let directory = tempfile::tempdir().unwrap();
        let path = killed(directory.path());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(refused(directory.path()), ["others may write it (mode 620)"]);
    }

    #[test]
    fn a_journal_that_is_no_file_of_its_own_is_not_obeyed() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = killed(elsewhere.path());
        std::os::unix::fs::symlink(&path, directory.path().join("a.jsonl")).unwrap();
        std::fs::hard_link(&path, directory.path().join("b.jsonl")).unwrap();
        std::fs::create_dir(directory.path().join("c.jsonl")).unwrap();
        let pipe = rustix::fs::CWD;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(pipe, directory.path().join("d.jsonl"), FileType::Fifo, mode, 0).unwrap();
        assert_eq!(
            refused(directory.path()),
            [
                "it is no regular file",
                "it has another name elsewhere (a hard link)",
                "it is no regular file",
                "it is no regular file"
            ]
        );
    }

    #[test]
    fn a_journal_of_another_user_is_not_obeyed() {
        let directory = tempfile::tempdir().unwrap();
        let path = killed(directory.path());
        let opened = private_directory::existing(directory.path()).unwrap();
        let owner = geteuid().as_raw();
        let refused = open_own(&opened, path.file_name().unwrap(), Uid::from_raw(owner + 1));
        assert_eq!(refused.unwrap_err(), Untrusted::OtherUser { owner });
    }

    #[test]
    fn a_journal_with_nothing_left_goes() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path(), "run-1");
        let entry = journal.intend(&resource("instance")).unwrap();
        journal.gone(entry).unwrap();
        assert_eq!(journal.close().unwrap(), vec![]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    /// Whatever a kill cut off, nothing that exists is forgotten: at every byte, what is recovered includes everything that was
    /// intended in full lines before and is not gone or kept in full lines before.
    #[test]
    fn a_journal_cut_at_every_byte_forgets_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let text = std::fs::read(killed(directory.path())).unwrap();
        for cut in 0..=text.len() {
            let (_, recovered) = replay(&text[..cut]);
            let whole_lines = text[..cut]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            let (_, expected) = replay(&text[..whole_lines]);
            for (entry, _) in expected {
                let torn_end = replay(
                    &text[..text[cut..]
                        .iter()
                        .position(|byte| *byte == b'\n')
                        .map_or(text.len(), |end| cut + end + 1)],
                )
                .1;
                let still_there = torn_end.iter().any(|(left, _)| *left == entry);
                assert!(
                    !still_there || recovered.iter().any(|(left, _)| *left == entry),
                    "cut at {cut} forgets {entry:?}"
                );
            }
        }
    }
}
