//! What provisioners learn of the instance, for whatever works on the artifact later: an SBOM, say, that a provenance statement is
//! to carry. The notes of a bake become part of its artifact's state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// The notes of one bake. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    by_key: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Notes {
    /// Writes a note; one of the same key, as of an earlier try, is replaced.
    pub fn put(&self, key: impl Into<String>, value: Value) {
        let mut notes = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(key.into(), value);
    }

    /// All notes so far, by key.
    pub fn all(&self) -> BTreeMap<String, Value> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
