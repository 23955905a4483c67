//! Temporary resources as data, and the one way each of them goes. A bake's stack, `gc` after a kill, and the tests share it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

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

    /// `kind id`, as people are told of it; what has a path is known by that.
    pub fn describe(&self) -> String {
        let path = self.details.get("path");
        let known = path
            .or(self.id.as_ref())
            .or(self.token.as_ref())
            .map_or("that was never named", String::as_str);
        format!("{} {known}", self.kind)
    }
}

/// How patient an undo is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// Wait for each thing to be really gone.
    Thorough,
    /// The user insisted: ask for the deletion, wait only where the next deletion needs it.
    Hasty,
}

/// Makes the resources of one owner go. Doing it twice is no error: what is gone already counts as done.
#[async_trait]
pub trait Undo: Send + Sync {
    /// The owner's name in [`Resource::owner`].
    fn owner(&self) -> &'static str;

    /// Makes a resource go, after finding it by its token when it has no id. `Ok` means that it is certainly not there.
    async fn undo(&self, resource: &Resource, patience: Patience) -> Result<(), UndoError>;
}

/// Why a resource could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("remove {what}")]
pub struct UndoError {
    /// The resource.
    pub what: String,
    /// The cause.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
    /// Trying again soon may help (it is still in use, the service throttles).
    pub again: bool,
}
