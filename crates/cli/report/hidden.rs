//! What must not be shown: what is known to be secret, and what evaluation makes of it as it goes on.

use std::collections::BTreeMap;

use bakelite_template::secrets::{Derived, Secrets};

/// Secrets that grow while the program runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden {
    secrets: Secrets,
    derived: Option<Derived>,
}

impl Hidden {
    /// Hides these texts.
    pub(crate) fn extend(&mut self, texts: impl IntoIterator<Item = String>) {
        self.secrets.extend(texts);
    }

    /// Hides what variables of the environment let the program in with.
    pub(crate) fn extend_by_environment(&mut self, environment: &BTreeMap<String, String>) {
        self.secrets.hide_environment(environment);
    }

    /// Hides what will be derived, too.
    pub(crate) fn follow(&mut self, derived: Derived) {
        self.derived = Some(derived);
    }

    /// All secrets that are known by now.
    pub(crate) fn now(&mut self) -> &Secrets {
        if let Some(derived) = &self.derived {
            self.secrets.include(derived);
        }
        &self.secrets
    }
}
