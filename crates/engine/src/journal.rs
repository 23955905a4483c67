//! The file that survives a kill: what a run is about to make, what it made, what is gone. Append-only JSON lines, one file per run,
//! mode 0600; a lock on the file tells a live run from a dead one, where machines see each other's locks. It holds no secret.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};
use serde::{Deserialize, Serialize};

use crate::error::Explain;
use crate::journals::{Journals, Origin};
use crate::private_directory::permissions;
use crate::undo::{CREATED, Resource};

/// One line of the file. Lines that a newer program wrote and this one does not know are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first line.
    Run {
        format: u32,
        run: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
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
    journals: Journals,
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
    /// The journal of a run, in this directory. Runs of all machines have different ids.
    pub fn new(journals: Journals, run: &str) -> Self {
        let path = journals.directory().join(format!("{run}.jsonl"));
        Self {
            journals,
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
        let made = self.journals.make();
        made.map_err(|cause| self.error("create the directory of", cause))?;
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
            origin: Some(Origin::this(&file).map_err(|cause| self.error("create", cause))?),
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
    /// The machine that the run was on, if it is another than this.
    pub elsewhere: Option<String>,
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
        if !self.remaining.is_empty() {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            // Another machine, which does not see the lock, was first.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|cause| JournalError {
                operation: "remove",
                path: self.path.clone(),
                cause,
            }),
        }
    }
}

/// What is in a directory of journals.
#[derive(Debug, Default)]
pub struct Found {
    /// The journals of dead runs.
    pub abandoned: Vec<Abandoned>,
    /// What is not obeyed, because somebody else may have written it.
    pub refused: Vec<Refused>,
    /// Those of other machines' runs that may be alive.
    pub unsure: Vec<Unsure>,
}

/// The journal of a run that may be alive on another machine, whose locks are perhaps not seen here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsure {
    /// The run's id.
    pub run: String,
    /// The machine's name, if the journal has it.
    pub host: Option<String>,
    /// How long ago something was written to it.
    pub silent_for: Duration,
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

/// The journals of dead runs in a directory. Those of live runs are locked and left alone, and so are those of other machines that were
/// written to not long ago. A journal says what is to be removed, so only what this user alone can have written is obeyed.
pub fn abandoned(journals: &Journals) -> Result<Found, JournalError> {
    let directory = journals.directory();
    let error = |operation, path: &Path, cause| JournalError {
        operation,
        path: path.to_owned(),
        cause,
    };
    let opened = match journals.open() {
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
            Ok(Some(file)) => {
                let read = read(file, path.clone(), journals.silence());
                match read.map_err(|cause| error("read", &path, cause))? {
                    Run::Alive => {}
                    Run::Unsure(unsure) => found.unsure.push(unsure),
                    Run::Dead(journal) => found.abandoned.push(journal),
                }
            }
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

/// What a journal tells of its run.
enum Run {
    Alive,
    Unsure(Unsure),
    Dead(Abandoned),
}

/// A run is alive as long as its journal is locked. That it is not locked shows its death only where the lock would be seen; elsewhere
/// the journal must have been silent too, where there are journals of other machines.
fn read(mut file: File, path: PathBuf, silence: Option<Duration>) -> std::io::Result<Run> {
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(Run::Alive);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let replayed = replay(&text);
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let run = replayed.run.unwrap_or_else(stem);
    let mut elsewhere = None;
    if let Some(silence) = silence {
        let this = Origin::this(&file)?;
        let origin = replayed.origin;
        let is_seen = origin.as_ref().is_some_and(|origin| origin.shares_locks_with(&this));
        // A clock that is ahead makes nothing older than it is.
        let silent_for = file.metadata()?.modified()?.elapsed().unwrap_or_default();
        let host = origin.map(|origin| origin.host);
        if !is_seen && silent_for < silence {
            return Ok(Run::Unsure(Unsure { run, host, silent_for }));
        }
        let host = host.unwrap_or_else(|| "unknown".to_owned());
        elsewhere = (host != this.host).then_some(host);
    }
    Ok(Run::Dead(Abandoned {
        run,
        remaining: replayed.remaining,
        elsewhere,
        path,
        file,
    }))
}

/// What the lines of a journal leave.
#[derive(Default)]
struct Replayed {
    run: Option<String>,
    origin: Option<Origin>,
    remaining: Vec<(Entry, Resource)>,
}

/// A torn or unknown line is skipped: what was intended before it still counts.
fn replay(text: &[u8]) -> Replayed {
    let mut replayed = Replayed::default();
    let mut remaining = BTreeMap::new();
    for line in text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
    {
        match line {
            Line::Run { run, origin, .. } => (replayed.run, replayed.origin) = (Some(run), origin),
            Line::Intent { entry, resource } => drop(remaining.insert(entry, resource)),
            Line::Made { entry, id } => {
                if let Some(resource) = remaining.get_mut(&entry) {
                    resource.id = Some(id);
                }
            }
            Line::Gone { entry } | Line::Kept { entry } => drop(remaining.remove(&entry)),
        }
    }
    let entries = remaining.into_iter();
    replayed.remaining = entries.map(|(entry, resource)| (Entry(entry), resource)).collect();
    replayed
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
        let journal = Journal::new(Journals::own(directory), "run-1");
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
        let left = abandoned(&Journals::own(directory.path())).unwrap().abandoned;
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
        let journal = Journal::new(Journals::own(directory.path()), "run-1");
        journal.intend(&resource("instance")).unwrap();
        assert!(
            abandoned(&Journals::own(directory.path()))
                .unwrap()
                .abandoned
                .is_empty()
        );
    }

    /// The run lines of a journal as another machine, another start of this one, another mount and an older program would write them.
    fn of_other_machines(line: &str) -> Vec<String> {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let with = |name: &str, value: serde_json::Value| {
            let mut line = line.clone();
            line["run"]["origin"][name] = value;
            line.to_string()
        };
        let mut old = line.clone();
        old["run"].as_object_mut().unwrap().remove("origin");
        vec![
            with("host", "build-7".into()),
            with("boot", "another".into()),
            with("device", 0.into()),
            old.to_string(),
        ]
    }

    #[test]
    fn an_unlocked_journal_of_another_machine_is_left_alone_until_it_has_been_silent() {
        let directory = tempfile::tempdir().unwrap();
        let path = killed(directory.path());
        let journals = Journals::shared(directory.path());
        assert_eq!(abandoned(&journals).unwrap().abandoned.len(), 1, "of this machine");
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        for first in of_other_machines(first) {
            std::fs::write(&path, format!("{first}\n{rest}")).unwrap();
            let found = abandoned(&journals).unwrap();
            let unsure: Vec<&str> = found.unsure.iter().map(|unsure| unsure.run.as_str()).collect();
            assert_eq!((found.abandoned.len(), unsure), (0, vec!["run-1"]), "{first}");
            let at_once = journals.clone().silent_for(Duration::ZERO);
            assert_eq!(abandoned(&at_once).unwrap().abandoned.len(), 1, "{first}");
            let day_ago = std::time::SystemTime::now() - Duration::from_hours(25);
            let file = OpenOptions::new().append(true).open(&path).unwrap();
            file.set_modified(day_ago).unwrap();
            assert_eq!(abandoned(&journals).unwrap().abandoned.len(), 1, "{first}");
        }
    }

    #[test]
    fn a_locked_journal_of_another_machine_is_left_alone_however_silent_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = killed(directory.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        std::fs::write(&path, format!("{}\n{rest}", of_other_machines(first)[0])).unwrap();
        let live = File::open(&path).unwrap();
        rustix::fs::flock(&live, FlockOperation::NonBlockingLockExclusive).unwrap();
        let found = abandoned(&Journals::shared(directory.path()).silent_for(Duration::ZERO)).unwrap();
        assert!(found.abandoned.is_empty() && found.unsure.is_empty(), "{found:?}");
    }

    fn refused(directory: &Path) -> Vec<String> {
        let found = abandoned(&Journals::own(directory)).unwrap();
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
        let opened = Journals::own(directory.path()).open().unwrap();
        let owner = geteuid().as_raw();
        let refused = open_own(&opened, path.file_name().unwrap(), Uid::from_raw(owner + 1));
        assert_eq!(refused.unwrap_err(), Untrusted::OtherUser { owner });
    }

    #[test]
    fn a_journal_with_nothing_left_goes() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(Journals::own(directory.path()), "run-1");
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
            let recovered = replay(&text[..cut]).remaining;
            let whole_lines = text[..cut]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            let expected = replay(&text[..whole_lines]).remaining;
            for (entry, _) in expected {
                let torn_end = replay(
                    &text[..text[cut..]
                        .iter()
                        .position(|byte| *byte == b'\n')
                        .map_or(text.len(), |end| cut + end + 1)],
                )
                .remaining;
                let still_there = torn_end.iter().any(|(left, _)| *left == entry);
                assert!(
                    !still_there || recovered.iter().any(|(left, _)| *left == entry),
                    "cut at {cut} forgets {entry:?}"
                );
            }
        }
    }
}
