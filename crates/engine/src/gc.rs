//! What killed runs left behind, and removing it: the journals of dead runs are read, and each resource goes as its owner makes it go.

use std::path::Path;
use std::sync::Arc;

use crate::cancel::Cancel;
use crate::error::{Error, Explain};
use crate::journal::{JournalError, Refused, abandoned};
use crate::undo::{Resource, Spent, Undo, undo_with_retries};

/// What became of one resource of a dead run.
#[derive(Debug)]
pub struct Collected {
    /// The run that made it.
    pub run: String,
    /// The resource.
    pub resource: Resource,
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
}

/// What dead runs left, last made first; nothing is removed.
pub fn list(directory: &Path) -> Result<Collection, JournalError> {
    let found = abandoned(directory)?;
    let collected = found.abandoned.into_iter().flat_map(|journal| {
        let run = journal.run;
        journal.remaining.into_iter().rev().map(move |(_, resource)| Collected {
            run: run.clone(),
            resource,
            error: None,
        })
    });
    Ok(Collection {
        collected: collected.collect(),
        refused: found.refused,
    })
}

/// Removes what dead runs left, last made first, and reports each when it is known whether it is gone. What a cancellation leaves undone
/// stays in its journal. Returns the journals that are not obeyed.
pub async fn collect(
    directory: &Path,
    owners: &[Arc<dyn Undo>],
    cancel: &Cancel,
    mut report: impl FnMut(Collected),
) -> Result<Vec<Refused>, JournalError> {
    let found = abandoned(directory)?;
    for mut journal in found.abandoned {
        let run = journal.run.clone();
        for (entry, resource) in journal.remaining.clone().into_iter().rev() {
            let error = remove(&resource, owners, cancel).await.err();
            if error.is_none() {
                journal.gone(entry)?;
            }
            report(Collected {
                run: run.clone(),
                resource,
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
