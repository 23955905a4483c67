//! What killed runs left behind, and removing it: the journals of dead runs are read, and each resource goes as its owner makes it go.

use std::path::Path;
use std::sync::Arc;

use crate::journal::{JournalError, Refused, abandoned};
use crate::undo::{Patience, Resource, Undo};

/// What became of one resource of a dead run.
#[derive(Debug)]
pub struct Collected {
    /// The run that made it.
    pub run: String,
    /// The resource.
    pub resource: Resource,
    /// Why it is still there; absent when it is gone.
    pub error: Option<String>,
}

/// What `gc` came to.
#[derive(Debug, Default)]
pub struct Collection {
    /// The resources of dead runs.
    pub collected: Vec<Collected>,
    /// Journals that are not obeyed.
    pub refused: Vec<Refused>,
}

/// Removes what dead runs left, last made first. With `dry_run` it is only listed (each as an error-free entry).
pub async fn collect(folder: &Path, owners: &[Arc<dyn Undo>], dry_run: bool) -> Result<Collection, JournalError> {
    let found = abandoned(folder)?;
    let mut collected = Vec::new();
    for mut journal in found.abandoned {
        let run = journal.run.clone();
        for (entry, resource) in journal.remaining.clone().into_iter().rev() {
            let error = if dry_run {
                None
            } else {
                remove(&resource, owners).await.err()
            };
            if error.is_none() && !dry_run {
                journal.gone(entry)?;
            }
            collected.push(Collected {
                run: run.clone(),
                resource,
                error,
            });
        }
        if !dry_run {
            journal.close()?;
        }
    }
    Ok(Collection {
        collected,
        refused: found.refused,
    })
}

async fn remove(resource: &Resource, owners: &[Arc<dyn Undo>]) -> Result<(), String> {
    let Some(owner) = owners.iter().find(|owner| owner.owner() == resource.owner) else {
        return Err(format!("this program knows no owner `{}`", resource.owner));
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match owner.undo(resource, Patience::Thorough).await {
            Err(error) if error.again && tries < 8 => {
                let pause = std::time::Duration::from_millis(250 << tries);
                // Nothing to wait on: a service answers "still in use" until it is not.
                let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            }
            result => return result.map_err(|error| crate::chain_of(&error)),
        }
    }
}
