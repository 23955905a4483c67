//! The list of what a bake has to undo, and undoing it: in reverse order, with retries, everything that fails reported.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cancel::{Cancel, Urgency};
use crate::events::Ui;
use crate::journal::{Entry, Journal, JournalError};
use crate::undo::{Patience, Resource, Undo, UndoError};

/// What a bake has to undo, in the order of creation. Clones are the same list.
#[derive(Clone, Default)]
pub(crate) struct UndoStack {
    items: Arc<Mutex<Vec<Handle>>>,
}

/// A resource in the list. Clones are the same resource.
#[derive(Clone)]
pub struct Handle {
    item: Arc<Item>,
}

struct Item {
    journal: Arc<Journal>,
    entry: Entry,
    undo: Arc<dyn Undo>,
    resource: Mutex<Resource>,
    settled: tokio::sync::Mutex<bool>,
}

impl UndoStack {
    pub(crate) fn push(&self, journal: Arc<Journal>, entry: Entry, undo: Arc<dyn Undo>, resource: Resource) -> Handle {
        let item = Item {
            journal,
            entry,
            undo,
            resource: Mutex::new(resource),
            settled: tokio::sync::Mutex::new(false),
        };
        let handle = Handle { item: Arc::new(item) };
        self.lock().push(handle.clone());
        handle
    }

    /// Undoes everything that is neither kept nor gone, last first. Returns a line for each thing that is left.
    pub(crate) async fn unwind(&self, ui: &Ui, cancel: &Cancel) -> Vec<String> {
        let handles = std::mem::take(&mut *self.lock());
        let mut left = Vec::new();
        for handle in handles.iter().rev() {
            if let Err(error) = handle.remove(cancel).await {
                let what = handle.resource().describe();
                ui.error(format!("{what} could not be removed: {}", crate::chain_of(&error)));
                left.push(what);
            }
        }
        left
    }

    /// Leaves everything as it is, in the journal. Returns a line for each thing that is left.
    pub(crate) fn abandon(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
            .iter()
            .filter(|handle| !handle.is_settled())
            .map(|handle| handle.resource().describe())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    /// The resource as it is known now.
    pub fn resource(&self) -> Resource {
        self.lock().clone()
    }

    /// Strikes it out: it is a product of the bake and stays.
    pub async fn keep(&self) -> Result<(), JournalError> {
        let mut settled = self.item.settled.lock().await;
        if !*settled {
            self.item.journal.kept(self.item.entry)?;
            *settled = true;
        }
        Ok(())
    }

    /// Undoes it now instead of at the end of the bake. Doing it twice is no error.
    pub async fn destroy(&self) -> Result<(), UndoError> {
        self.settle(Patience::Thorough).await
    }

    /// Undoes it by [`Undo::undo`] with retries, as impatient as the user is.
    async fn remove(&self, cancel: &Cancel) -> Result<(), UndoError> {
        let mut pause = Duration::from_millis(250);
        let mut tries = 0;
        loop {
            let hasty = cancel.urgency() >= Urgency::Hurry;
            let attempt = self.settle(if hasty { Patience::Hasty } else { Patience::Thorough });
            let result = if hasty {
                attempt.await
            } else {
                tokio::select! {
                    result = attempt => result,
                    () = cancel.at_least(Urgency::Hurry) => continue,
                }
            };
            tries += 1;
            match result {
                Err(error) if error.again && tries < 12 => {
                    // The pause ends early when the user insists.
                    let _ = tokio::time::timeout(pause, cancel.at_least(Urgency::Hurry)).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
                result => return result,
            }
        }
    }

    async fn settle(&self, patience: Patience) -> Result<(), UndoError> {
        let mut settled = self.item.settled.lock().await;
        if *settled {
            return Ok(());
        }
        let resource = self.resource();
        self.item.undo.undo(&resource, patience).await?;
        let noted = self.item.journal.gone(self.item.entry);
        noted.map_err(|cause| UndoError {
            what: resource.describe(),
            cause: Box::new(cause),
            again: false,
        })?;
        *settled = true;
        Ok(())
    }

    /// Is it kept or gone? One that is being removed right now counts as not.
    fn is_settled(&self) -> bool {
        self.item.settled.try_lock().is_ok_and(|settled| *settled)
    }

    /// Notes the id that the create call answered.
    pub(crate) fn made(&self, id: &str) -> Result<(), JournalError> {
        self.lock().id = Some(id.to_owned());
        self.item.journal.made(self.item.entry, id)
    }

    fn lock(&self) -> MutexGuard<'_, Resource> {
        self.item.resource.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
