//! The contract of a provisioner, and what it works with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;
use tokio_util::sync::CancellationToken;

use crate::communicator::Communicator;
use crate::error::Error;
use crate::events::Ui;
use crate::notes::Notes;
use crate::private_file::PrivateFiles;

/// Changes the instance (or this machine, for shell-local). One value is constructed for each try.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Does the work. The future is dropped on cancellation and on a timeout: what must be cleaned then belongs into guards of the
    /// future itself (temporary files, child processes with `kill_on_drop`).
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError>;

    /// Removes from the instance what a `provision` would have removed that was dropped because its time was over. The bake may go on.
    async fn clean_up_after_timeout(&self, _provisioning: &Provisioning) {}
}

/// What a provisioner works with.
#[derive(Clone)]
pub struct Provisioning {
    /// How to reach the instance.
    pub communicator: Arc<dyn Communicator>,
    /// Where its words go: `==> BUILD: …`
    pub ui: Ui,
    /// Cancelled when the run is; long steps may watch it to end in good order.
    pub cancel: CancellationToken,
    /// What `build.*` holds.
    pub data: BuildData,
    /// What `{{ }}` texts can refer to: the component adds its own fields (`Vars`, `Path`) to a clone.
    pub rendering: Rendering,
    /// What is to be known of the instance when the artifact is worked on.
    pub notes: Notes,
    /// Where this run's files are and how it is named.
    pub run: RunContext,
}

/// What is the same for everything in one run.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The run's id, `PACKER_RUN_UUID` to scripts.
    pub id: String,
    /// The process's working directory; relative paths in options are relative to it.
    pub working_directory: PathBuf,
    /// The directory for temporary files.
    pub temporary_directory: PathBuf,
    /// The user's home directory, for `~` in paths.
    pub home_directory: Option<PathBuf>,
    /// `-force`: existing artifacts may be replaced.
    pub force: bool,
    /// `-debug`: pause between steps, keep keys at hand.
    pub debug: bool,
    /// Environment variables as components see them: the process's, with what the command line puts in their place
    /// (`--local` sets `AWS_ENDPOINT_URL` and the credentials of the local cloud).
    pub environment: Arc<BTreeMap<String, String>>,
    /// Makes the files that hold secrets, and notes them for `gc`.
    pub private_files: PrivateFiles,
}

/// Why a provisioner failed.
pub type ProvisionError = Error;
