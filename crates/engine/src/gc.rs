//! What killed runs left behind, and removing it: the journals of dead runs are read, and each resource goes as its owner makes it go.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cancel::Cancel;
use crate::error::{Error, Explain};
use crate::journal::{JournalError, Refused, Unsure, abandoned};
use crate::journals::Journals;
use crate::undo::{Resource, Spent, Undo, undo_with_retries};

/// What became of one resource of a dead run.
#[derive(Debug)]
pub struct Collected {
    /// The run that made it.
    pub run: String,
    /// The resource.
    pub resource: Resource,
    /// The machine that it was made on, if it is another than this.
    pub elsewhere: Option<String>,
    /// Why it is still there; absent when it is gone.
    pub error: Option<Error>,
}

/// What is in the journals of dead runs.
#[derive(Debug, Default)]
pub struct Collection {
    /// The resources of dead runs.
    pub collected: Vec<Collected>,
    /// Journals that are not obeyed.
    pub refused: Vec<Refused>,
    /// Journals of runs that may be alive on other machines.
    pub unsure: Vec<Unsure>,
}

/// What dead runs left, last made first; nothing is removed.
pub fn list(journals: &Journals) -> Result<Collection, JournalError> {
    let found = abandoned(journals)?;
    let collected = found.abandoned.into_iter().flat_map(|journal| {
        let (run, elsewhere) = (journal.run, journal.elsewhere);
        journal.remaining.into_iter().rev().map(move |(_, resource)| Collected {
            run: run.clone(),
            resource,
            elsewhere: elsewhere.clone(),
            error: None,
        })
    });
    Ok(Collection {
        collected: collected.collect(),
        refused: found.refused,
        unsure: found.unsure,
    })
}

/// Removes what dead runs left, last made first, and reports each when it is known whether it is gone. What a cancellation leaves undone
/// stays in its journal. Returns the journals that are not obeyed.
pub async fn collect(
    journals: &Journals,
    owners: &[Arc<dyn Undo>],
    cancel: &Cancel,
    mut report: impl FnMut(Collected),
) -> Result<Vec<Refused>, JournalError> {
    let found = abandoned(journals)?;
    for mut journal in found.abandoned {
        let run = journal.run.clone();
        for (entry, resource) in journal.remaining.clone().into_iter().rev() {
            let removed = match &journal.elsewhere {
                // Here it would be taken for gone.
                Some(host) if resource.is_on_its_machine() => Err(Elsewhere(host.clone()).into()),
                _ => remove(&resource, owners, cancel).await,
            };
            let error = removed.err();
            if error.is_none() {
                journal.gone(entry)?;
            }
            report(Collected {
                run: run.clone(),
                resource,
                elsewhere: journal.elsewhere.clone(),
                error,
            });
        }
        journal.close()?;
    }
    Ok(found.refused)
}

/// A resource of an owner that is not built into this program.
#[derive(Debug, thiserror::Error)]
#[error("this program knows no owner `{0}`")]
struct Unowned(String);

impl Explain for Unowned {}

/// A file or an instance of the local cloud, which only its own machine can remove.
#[derive(Debug, thiserror::Error)]
#[error("it is on the machine `{0}`")]
struct Elsewhere(String);

impl Explain for Elsewhere {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some("run `bakelite gc` there; if that machine is no more, remove the journal".into())
    }
}

/// Removes one resource by its owner, with retries, until it is gone or the run is cancelled.
pub async fn remove(resource: &Resource, owners: &[Arc<dyn Undo>], cancel: &Cancel) -> Result<(), Error> {
    let owner = owners.iter().find(|owner| owner.owner() == resource.owner);
    let owner = owner.ok_or_else(|| Unowned(resource.owner.clone()))?;
    let mut spent = Spent::default();
    tokio::select! {
        biased;
        () = cancel.token().cancelled() => Err(Error::cancelled()),
        removed = undo_with_retries(&**owner, resource, cancel, &mut spent) => removed.map_err(Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::cancellation;
    use crate::journal::Journal;
    use crate::private_file::ThisMachine;
    use crate::undo::THIS_MACHINE;

    /// A file that is not here is gone; a file of another machine is not here either.
    #[tokio::test]
    async fn a_file_of_another_machine_is_not_taken_for_gone() {
        let directory = tempfile::tempdir().unwrap();
        let journals = Journals::shared(directory.path()).silent_for(std::time::Duration::ZERO);
        let file = Resource::new(THIS_MACHINE, "file").detail("path", "/nonexistent/key.pem");
        Journal::new(journals.clone(), "run-1").intend(&file).unwrap();
        let path = directory.path().join("run-1.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let of_another = text.replace(&format!("\"host\":\"{host}\""), "\"host\":\"build-7\"");
        assert_ne!(of_another, text);
        std::fs::write(&path, of_another).unwrap();
        let (_canceller, cancel) = cancellation();
        let owners: [Arc<dyn Undo>; 1] = [Arc::new(ThisMachine)];
        let mut errors = Vec::new();
        let report = |one: Collected| errors.push(one.error.map(|error| error.report().text));
        let refused = collect(&journals, &owners, &cancel, report).await.unwrap();
        assert_eq!(refused, []);
        assert_eq!(errors, [Some("it is on the machine `build-7`".to_owned())]);
        assert_eq!(list(&journals).unwrap().collected.len(), 1);
        std::fs::write(&path, text).unwrap();
        collect(&journals, &owners, &cancel, |_| {}).await.unwrap();
        assert!(!path.exists());
    }
}
