//! The context of one build while it is made: its voice, its cancellation, the list of what it has to undo. A builder creates
//! nothing except through [`Bake::create`], so that nothing is lost when its future is dropped.

use std::sync::Arc;

use async_trait::async_trait;
use bakelite_hcl::value::Value;
use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;

use crate::cancel::Cancel;
use crate::communicator::Communicator;
use crate::error::Error;
use crate::events::Ui;
use crate::notes::Notes;
use crate::provisioner::RunContext;
use crate::step::Step;
use crate::undo::{Resource, Undo};

pub use crate::unwind::{Creation, Handle, Made};

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
    /// What it makes and has to undo.
    pub(crate) creation: Creation,
    /// Its provisioners.
    pub(crate) provisioning: Arc<dyn Provisions>,
}

/// The provisioners of a bake, as the bake knows them.
#[async_trait]
pub(crate) trait Provisions: Send + Sync {
    /// Runs all of them on the instance.
    async fn run(&self, bake: &Bake, communicator: &Arc<dyn Communicator>, data: &BuildData) -> Result<(), Error>;

    /// Remembers the instance for the error-cleanup-provisioner.
    fn keep_for_clean_up(&self, communicator: &Arc<dyn Communicator>, data: &BuildData);

    /// Remembers a step that was done.
    fn step_done(&self, name: &str);
}

/// Why a bake made no artifact.
pub type BakeError = Error;

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
            let step = Step::begin(self.ui.events(), name);
            let result = tokio::select! {
                biased;
                () = self.cancel.token().cancelled() => Err(BakeError::cancelled()),
                result = work => result,
            };
            step.end(result.is_ok());
            if result.is_ok() {
                self.provisioning.step_done(name);
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
        let call = Box::pin(call);
        self.creation.create(undo, resource, call)
    }

    /// The right to create, for what outlives this borrow of the bake.
    pub fn creation(&self) -> Creation {
        self.creation.clone()
    }

    /// Runs the provisioners on the instance. When the bake fails from here on, the error-cleanup-provisioner runs there too.
    pub async fn provision(&self, communicator: Arc<dyn Communicator>, data: BuildData) -> Result<(), BakeError> {
        self.provisioning.keep_for_clean_up(&communicator, &data);
        self.provisioning.run(self, &communicator, &data).await
    }

    /// The same for a builder that has no instance: nothing is left to be cleaned up on it.
    pub async fn provision_without_clean_up(
        &self,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> Result<(), BakeError> {
        self.provisioning.run(self, &communicator, &data).await
    }

    /// The `build.*` that every builder has: `ID`, `PackerRunUUID`, and the places that no builder of ours fills.
    pub fn data(&self, id: &str) -> BuildData {
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
}
