//! The context of one build while it is made: its voice, its cancellation, the list of what it has to undo. A builder creates
//! nothing except through [`Bake::create`], so that nothing is lost when its future is dropped.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::cancel::{Cancel, Urgency};
use crate::communicator::Communicator;
use crate::event::{StepEvent, What};
use crate::events::Ui;
use crate::journal::{Journal, JournalError};
use crate::notes::Notes;
use crate::provision::{Failed, Provisioners};
use crate::provisioner::RunContext;
use crate::undo::{Resource, Undo};
use crate::unwind::UndoStack;

pub use crate::unwind::Handle;

/// The context of one build.
pub struct Bake {
    /// Full name: `[BUILD.]TYPE.NAME`.
    pub name: String,
    /// The source's name: `web`.
    pub source_name: String,
    /// The builder's name: `amazon-ebs`.
    pub builder: String,
    /// The run that it belongs to.
    pub run: RunContext,
    /// Where its words go.
    pub ui: Ui,
    /// The run's cancellation.
    pub cancel: Cancel,
    /// What `{{ }}` texts can refer to; builders add fields (`SourceAMI`) to a clone.
    pub rendering: Rendering,
    /// What provisioners note for post-processors.
    pub(crate) notes: Notes,
    pub(crate) journal: Arc<Journal>,
    pub(crate) stack: UndoStack,
    pub(crate) calls: Calls,
    pub(crate) provisioners: Provisioners,
}

/// Create calls that are under way.
pub(crate) type Calls = Arc<Mutex<JoinSet<()>>>;

/// The right to create: what is made through it is undone at the end of the bake. It is for what lives as long as the bake and makes
/// things again when they are lost, as a way to the instance does. Clones are the same right.
#[derive(Clone)]
pub struct Creation {
    journal: Arc<Journal>,
    stack: UndoStack,
    calls: Calls,
    cancel: Cancel,
}

/// Why a bake made no artifact.
#[derive(Debug, thiserror::Error)]
pub enum BakeError {
    /// Something failed; the cause tells what was being done.
    #[error(transparent)]
    Failed(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A provisioner failed.
    #[error(transparent)]
    Provision(#[from] Failed),
    /// The journal cannot be written: without it nothing is created.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl BakeError {
    /// A failure with this cause.
    pub fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }
}

/// Something that was created and will be undone, unless it is kept.
#[must_use = "what was created is undone at the end of the bake, unless it is kept"]
pub struct Made<T> {
    /// What the call answered.
    pub value: T,
    /// Its place in the list of what has to be undone.
    pub handle: Handle,
}

impl Bake {
    /// Runs a named part of the bake: its start, its end and how long it took become events. Cancellation stops it at its next await.
    pub fn step<'a, T>(
        &'a self,
        name: &'a str,
        work: impl Future<Output = Result<T, BakeError>> + Send + 'a,
    ) -> impl Future<Output = Result<T, BakeError>> + 'a {
        // Steps are large (one holds a whole connection), and a bake is the sum of its steps: each goes to the heap once.
        let work = Box::pin(work);
        async move {
            let started = Instant::now();
            self.ui
                .events()
                .emit(What::Step(StepEvent::Started { step: name.into() }));
            let result = tokio::select! {
                biased;
                () = self.cancel.token().cancelled() => Err(BakeError::Cancelled),
                result = work => result,
            };
            let ended = StepEvent::Finished {
                step: name.into(),
                took: started.elapsed(),
                ok: result.is_ok(),
            };
            self.ui.events().emit(What::Step(ended));
            if result.is_ok() {
                self.provisioners.step_done(name);
            }
            result
        }
    }

    /// Creates a resource: its intent is in the journal before `call` is made, its id after. `call` answers the id and whatever else
    /// the caller wants of it. It runs in the bake's own scope to its end, even if the caller is dropped: then its resource is undone.
    pub fn create<T, E>(
        &self,
        undo: Arc<dyn Undo>,
        resource: Resource,
        call: impl Future<Output = Result<(String, T), E>> + Send + 'static,
    ) -> impl Future<Output = Result<Made<T>, BakeError>> + Send
    where
        T: Send + 'static,
        E: Into<BakeError> + Send + 'static,
    {
        // Calls are large: they go to the heap once.
        let (creation, call) = (self.creation(), Box::pin(call));
        async move { creation.create(undo, resource, call).await }
    }

    /// The right to create, for what outlives this borrow of the bake.
    pub fn creation(&self) -> Creation {
        Creation {
            journal: Arc::clone(&self.journal),
            stack: self.stack.clone(),
            calls: Arc::clone(&self.calls),
            cancel: self.cancel.clone(),
        }
    }

    /// Runs the provisioners on the instance. When the bake fails from here on, the error-cleanup-provisioner runs there too.
    pub async fn provision(&self, communicator: Arc<dyn Communicator>, data: BuildData) -> Result<(), BakeError> {
        self.provisioners.keep_for_clean_up(&communicator, &data);
        Ok(self.provisioners.run(self, &communicator, &data).await?)
    }

    /// The same for a builder that has no instance: nothing is left to be cleaned up on it.
    pub async fn provision_without_clean_up(
        &self,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> Result<(), BakeError> {
        Ok(self.provisioners.run(self, &communicator, &data).await?)
    }

    /// The `build.*` that every builder has: `ID`, `PackerRunUUID`, and the places that no builder of ours fills.
    pub fn data(&self, id: &str) -> BuildData {
        use bakelite_hcl::value::Value;
        let mut data = BuildData::new();
        for part in ["IP", "Port", "Addr"] {
            let text = format!("ERR_HTTP_{}_NOT_IMPLEMENTED_BY_BUILDER", part.to_uppercase());
            data.insert(format!("PackerHTTP{part}"), Value::string(text));
        }
        let id = if id.is_empty() {
            "ERR_ID_NOT_IMPLEMENTED_BY_BUILDER"
        } else {
            id
        };
        data.insert("ID".into(), Value::string(id));
        data.insert("PackerRunUUID".into(), Value::string(&self.run.id));
        data
    }

    /// Waits for the create calls that are still under way, so that the list of what has to be undone is complete.
    pub(crate) async fn settle(&self) {
        let mut calls = std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner));
        let limit = if self.cancel.urgency() >= Urgency::Hurry {
            Duration::from_secs(5)
        } else {
            Duration::from_secs(90)
        };
        let all = async { while calls.join_next().await.is_some() {} };
        // A call without an answer by then stays in the list as an intent: undo looks for it by its token.
        let _ = tokio::time::timeout(limit, all).await;
    }
}

impl Creation {
    /// Creates a resource, as [`Bake::create`] does.
    pub async fn create<T, E>(
        &self,
        undo: Arc<dyn Undo>,
        resource: Resource,
        call: impl Future<Output = Result<(String, T), E>> + Send + 'static,
    ) -> Result<Made<T>, BakeError>
    where
        T: Send + 'static,
        E: Into<BakeError> + Send + 'static,
    {
        if self.cancel.is_cancelled() {
            return Err(BakeError::Cancelled);
        }
        let entry = self.journal.intend(&resource)?;
        let handle = self.stack.push(Arc::clone(&self.journal), entry, undo, resource);
        let (sender, answer) = oneshot::channel();
        let noted = handle.clone();
        let work = async move {
            let result = match call.await {
                Ok((id, value)) => noted.made(&id).map(|()| value).map_err(BakeError::from),
                Err(error) => Err(error.into()),
            };
            // Nobody listens any more when the body was dropped: the unwinding then finds the resource in the list.
            let _ = sender.send(result);
        };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
        match answer.await {
            Ok(Ok(value)) => Ok(Made { value, handle }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(BakeError::Cancelled),
        }
    }
}
