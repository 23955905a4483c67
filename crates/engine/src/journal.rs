//! The file that survives a kill: what a run is about to make, what it made, what is gone. Append-only JSON lines, one file per run,
//! mode 0600, in the state folder; a lock on the file tells a live run from a dead one. It holds no secret.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::undo::Resource;

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
#[error("{operation} journal `{}`", path.display())]
pub struct JournalError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

impl Journal {
    /// The journal of a run, in this folder.
    pub fn new(folder: &Path, run: &str) -> Self {
        let path = folder.join(format!("{run}.jsonl"));
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
        self.write(
            &mut open,
            &Line::Intent {
                entry,
                resource: resource.clone(),
            },
        )?;
        open.next += 1;
        open.remaining.insert(entry, resource.clone());
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
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| self.error("create the folder of", cause))?;
        }
        let options = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&self.path);
        let mut file = options.map_err(|cause| self.error("create", cause))?;
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

/// The journals of dead runs in a folder. Those of live runs are locked and left alone.
pub fn abandoned(folder: &Path) -> Result<Vec<Abandoned>, JournalError> {
    let error = |operation, path: &Path, cause| JournalError {
        operation,
        path: path.to_owned(),
        cause,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(error("list", folder, cause)),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(|cause| error("open", &path, cause))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let text = std::fs::read(&path).map_err(|cause| error("read", &path, cause))?;
        let (run, remaining) = replay(&text);
        let run = run.unwrap_or_else(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        found.push(Abandoned {
            run,
            remaining,
            path,
            file,
        });
    }
    Ok(found)
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
    fn killed(folder: &Path) -> PathBuf {
        let journal = Journal::new(folder, "run-1");
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
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path());
        let left = abandoned(folder.path()).unwrap();
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
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path(), "run-1");
        journal.intend(&resource("instance")).unwrap();
        assert!(abandoned(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn a_journal_with_nothing_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path(), "run-1");
        let entry = journal.intend(&resource("instance")).unwrap();
        journal.gone(entry).unwrap();
        assert_eq!(journal.close().unwrap(), vec![]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Whatever a kill cut off, nothing that exists is forgotten: at every byte, what is recovered includes everything that was
    /// intended in full lines before and is not gone or kept in full lines before.
    #[test]
    fn a_journal_cut_at_every_byte_forgets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read(killed(folder.path())).unwrap();
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
