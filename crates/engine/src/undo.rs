//! Temporary resources as data, and the one way each of them goes. A bake's stack, `gc` after a kill, and the tests share it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cancel::{Cancel, Urgency};
use crate::clock::{Backoff, pause_unless};
use crate::error::{Error, Explain, Kind};

/// The detail that names the build that made a resource.
pub const BUILD: &str = "build";
/// The detail that says when it was made (RFC 3339, UTC).
pub const CREATED: &str = "created";
/// The detail of a resource in a local cloud: the directory of that cloud's state.
pub const LOCAL: &str = "local";
/// The owner of files and directories of the machine that the run is on.
pub const THIS_MACHINE: &str = "this-machine";

/// A temporary thing that must go. It is written to the journal, so it holds no secret; fields may be added, never change meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Who makes it go: the [`Undo::owner`] of this name.
    pub owner: String,
    /// What it is, in the owner's words: `instance`, `key-pair`, `security-group`, `file`.
    pub kind: String,
    /// Its id, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What finds it when the answer with the id was lost: a client token, a unique name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where it lives and how to get there: `region`, `endpoint`, `profile`, … Never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl Resource {
    /// A resource that is about to be made.
    pub fn new(owner: &str, kind: &str) -> Self {
        Self {
            owner: owner.into(),
            kind: kind.into(),
            id: None,
            token: None,
            details: BTreeMap::new(),
        }
    }

    /// The same with what finds it when its id was lost.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same with one more detail.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// Can only the machine that it was made on remove it?
    pub(crate) fn is_on_its_machine(&self) -> bool {
        self.owner == THIS_MACHINE || self.details.contains_key(LOCAL)
    }

    /// `kind id`, as people are told of it; what has a path is known by that.
    pub fn describe(&self) -> String {
        let path = self.details.get("path");
        let known = path
            .or(self.id.as_ref())
            .or(self.token.as_ref())
            .map_or("that was never named", String::as_str);
        format!("{} {known}", self.kind)
    }

    /// The same as [`Resource::describe`] with the region that it is in: for whoever has to remove it.
    pub fn describe_with_place(&self) -> String {
        match self.details.get("region") {
            Some(region) => format!("{} in {region}", self.describe()),
            None => self.describe(),
        }
    }
}

/// Whether an undo waits until the resource is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UndoMode {
    /// Wait for each thing to be really gone.
    Wait,
    /// The user insisted: ask for the deletion, wait only where the next deletion needs it.
    NoWait,
}

/// Makes the resources of one owner go. Doing it twice is no error: what is gone already counts as done.
#[async_trait]
pub trait Undo: Send + Sync {
    /// The owner's name in [`Resource::owner`].
    fn owner(&self) -> &'static str;

    /// Makes a resource go, after finding it by its token when it has no id. `Ok` means that it is certainly not there.
    async fn undo(&self, resource: &Resource, mode: UndoMode) -> Result<(), UndoError>;

    /// What is said when the removal of a resource begins; nothing where that is of no interest, or where it is not known what there is.
    fn progress(&self, _resource: &Resource) -> Option<String> {
        None
    }

    /// What runs of this program have left in the owner's account and was made at least that long ago, found without a journal. It is in
    /// the order in which it can be removed; the details [`BUILD`], `run` and [`CREATED`] are known where the owner keeps them.
    async fn sweep(&self, _older_than: Duration) -> Result<Vec<Resource>, Error> {
        Ok(Vec::new())
    }
}

/// What removals that failed in the end have taken, all together: a service that is down is not waited for anew with each resource.
#[derive(Debug, Default)]
pub(crate) struct Spent(Duration);

/// Undoes until it is done or there is no use in trying again, as impatient as the user is: one who insists ends the patient try that is
/// under way, and pauses. What failed before counts.
pub(crate) async fn undo_with_retries(
    undo: &dyn Undo,
    resource: &Resource,
    cancel: &Cancel,
    spent: &mut Spent,
) -> Result<(), UndoError> {
    let started = Instant::now();
    let mut tries = 0;
    loop {
        let mode = if cancel.urgency() >= Urgency::Hurry {
            UndoMode::NoWait
        } else {
            UndoMode::Wait
        };
        let hurried = async || match mode {
            UndoMode::Wait => cancel.at_least(Urgency::Hurry).await,
            UndoMode::NoWait => std::future::pending().await,
        };
        let error = tokio::select! {
            result = undo.undo(resource, mode) => match result {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            () = hurried() => continue,
        };
        tries += 1;
        let pause = error.again.map(|backoff| (backoff.pause(tries), backoff.limit));
        match pause {
            Some((pause, limit)) if spent.0 + started.elapsed() + pause <= limit => {
                pause_unless(pause, hurried()).await
            }
            _ => {
                spent.0 += started.elapsed();
                return Err(error);
            }
        };
    }
}

/// Why a resource could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("failed to remove {what}")]
pub struct UndoError {
    /// The resource, as [`Resource::describe`] names it.
    pub what: String,
    /// What went wrong.
    #[source]
    pub cause: Error,
    /// When trying again may help (it is still in use, the service throttles); otherwise it does not.
    pub again: Option<Backoff>,
}

impl Explain for UndoError {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.cause.help().map(Cow::Borrowed)
    }

    fn kind(&self) -> Kind {
        self.cause.kind()
    }
}
