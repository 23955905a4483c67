//! What a bake makes and has to undo: nothing is made that is not in the journal and in this list before, and the list is undone in
//! reverse order, with retries, everything that fails reported.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cancel::{Cancel, Urgency};
use crate::error::Error;
use crate::events::Ui;
use crate::journal::{Entry, Journal, JournalError};
use crate::step::{Step, carried};
use crate::undo::{self, Resource, Spent, Undo, UndoError, UndoMode, undo_with_retries};

/// How long create calls that are under way may take when the bake is over.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// The same when the user insists.
const SETTLED_IN_A_HURRY: Duration = Duration::from_secs(5);

/// The step in which a bake undoes what it made.
const CLEAN_UP: &str = "clean up";

/// The right to create: what is made through it is undone at the end of the bake. It is for what lives as long as the bake and makes
/// things again when they are lost, as a way to the instance does. Clones are the same right.
#[derive(Clone)]
pub struct Creation {
    build: String,
    journal: Arc<Journal>,
    cancel: Cancel,
    /// What has to be undone, in the order of creation.
    made: Arc<Mutex<Vec<Handle>>>,
    /// Create calls that are under way.
    calls: Arc<Mutex<JoinSet<()>>>,
}

/// Something that was created and will be undone, unless it is kept.
#[must_use = "what was created is undone at the end of the bake, unless it is kept"]
pub struct Made<T> {
    /// What the call answered.
    pub value: T,
    /// Its place in the list of what has to be undone.
    pub handle: Handle,
}

impl Creation {
    /// For the bake of this build; what it makes is noted in this journal.
    pub(crate) fn new(build: &str, journal: Arc<Journal>, cancel: Cancel) -> Self {
        Self {
            build: build.to_owned(),
            journal,
            cancel,
            made: Arc::default(),
            calls: Arc::default(),
        }
    }

    /// Creates a resource, as [`crate::bake::Bake::create`] does.
    pub async fn create<T, E>(
        &self,
        undo: Arc<dyn Undo>,
        resource: Resource,
        call: impl Future<Output = Result<(String, T), E>> + Send + 'static,
    ) -> Result<Made<T>, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        if self.cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let handle = self.note(undo, resource)?;
        let (sender, answer) = oneshot::channel();
        let noted = handle.clone();
        let work = async move {
            let result = match call.await {
                Ok((id, value)) => noted.made(&id).map(|()| value).map_err(Error::from),
                Err(error) => Err(error.into()),
            };
            // Nobody listens any more when the body was dropped: the unwinding then finds the resource in the list.
            let _ = sender.send(result);
        };
        lock(&self.calls).spawn(carried(work));
        match answer.await {
            Ok(Ok(value)) => Ok(Made { value, handle }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::cancelled()),
        }
    }

    fn note(&self, undo: Arc<dyn Undo>, resource: Resource) -> Result<Handle, JournalError> {
        let resource = resource.detail(undo::BUILD, &self.build);
        let entry = self.journal.intend(&resource)?;
        let item = Item {
            journal: Arc::clone(&self.journal),
            entry,
            undo,
            resource: Mutex::new(resource),
            settled: tokio::sync::Mutex::new(false),
        };
        let handle = Handle { item: Arc::new(item) };
        lock(&self.made).push(handle.clone());
        Ok(handle)
    }

    /// Waits for the create calls that are still under way, so that the list of what has to be undone is complete. A call without an
    /// answer by then stays in the list as an intent: undo looks for it by its token.
    pub(crate) async fn settle(&self) {
        let mut calls = std::mem::take(&mut *lock(&self.calls));
        let mut all = pin!(async { while calls.join_next().await.is_some() {} });
        let is_hurried = tokio::select! {
            _ = timeout(SETTLED_WITHIN, &mut all) => false,
            () = self.cancel.at_least(Urgency::Hurry) => true,
        };
        if is_hurried {
            let _ = timeout(SETTLED_IN_A_HURRY, all).await;
        }
    }

    /// Undoes everything that is neither kept nor gone, last first. Returns a line for each thing that is left.
    pub(crate) async fn unwind(&self, ui: &Ui) -> Vec<String> {
        let handles = std::mem::take(&mut *lock(&self.made));
        if handles.iter().all(Handle::is_settled) {
            return Vec::new();
        }
        let step = Step::begin(ui.events(), CLEAN_UP);
        let (mut left, mut spent) = (Vec::new(), Spent::default());
        for handle in handles.iter().rev() {
            if let Some(progress) = handle.progress().filter(|_| !handle.is_settled()) {
                ui.say(progress);
            }
            if let Err(error) = handle.remove(&self.cancel, &mut spent).await {
                let what = handle.resource().describe_with_place();
                ui.fail(&Error::from(error));
                left.push(what);
            }
        }
        step.end(left.is_empty());
        left
    }

    /// Leaves everything as it is, in the journal. Returns a line for each thing that is left.
    pub(crate) fn abandon(&self) -> Vec<String> {
        let handles = std::mem::take(&mut *lock(&self.made));
        let left = handles.iter().filter(|handle| !handle.is_settled());
        left.map(|handle| handle.resource().describe_with_place()).collect()
    }
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
    /// It is kept or gone. Locked while it is being removed.
    settled: tokio::sync::Mutex<bool>,
}

impl Handle {
    /// The resource as it is known now.
    pub fn resource(&self) -> Resource {
        lock(&self.item.resource).clone()
    }

    /// What is said when its removal begins, if anything.
    pub fn progress(&self) -> Option<String> {
        self.item.undo.progress(&self.resource())
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
        let undo = async |resource: &Resource| self.item.undo.undo(resource, UndoMode::Wait).await;
        self.settle(undo).await
    }

    /// Undoes it with retries, as impatient as the user is.
    async fn remove(&self, cancel: &Cancel, spent: &mut Spent) -> Result<(), UndoError> {
        let undo = async |resource: &Resource| undo_with_retries(&*self.item.undo, resource, cancel, spent).await;
        self.settle(undo).await
    }

    async fn settle(&self, undo: impl AsyncFnOnce(&Resource) -> Result<(), UndoError>) -> Result<(), UndoError> {
        let mut settled = self.item.settled.lock().await;
        if *settled {
            return Ok(());
        }
        let resource = self.resource();
        undo(&resource).await?;
        let noted = self.item.journal.gone(self.item.entry);
        noted.map_err(|cause| UndoError {
            what: resource.describe(),
            cause: cause.into(),
            again: None,
        })?;
        *settled = true;
        Ok(())
    }

    /// Is it kept or gone? One that is being removed right now counts as not.
    fn is_settled(&self) -> bool {
        self.item.settled.try_lock().is_ok_and(|settled| *settled)
    }

    /// Notes the id that the create call answered.
    fn made(&self, id: &str) -> Result<(), JournalError> {
        lock(&self.item.resource).id = Some(id.to_owned());
        self.item.journal.made(self.item.entry, id)
    }
}

/// A panic elsewhere must not keep the clean-up from its list.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
