//! What evaluation makes of secrets, noted where it is made: afterwards nothing tells what `Uv3r5` was.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakelite_hcl::value::Value;

use crate::plan::BuildData;

use super::{SHORTEST_DERIVED, Secrets, each_secret, is_telling, tells_nothing};

/// The `build.KEY`s that let somebody in.
pub(crate) const SECRET_BUILD_KEYS: &[&str] = &["Password", "SSHPrivateKey", "WinRMPassword"];

/// Texts that evaluation makes of sensitive values, while planning and again while baking. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Derived {
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    /// What is declared sensitive: texts carry no marks, so that only this tells what a function in `{{ }}` was given.
    declared: BTreeSet<String>,
    derived: BTreeSet<String>,
    /// Names of variables that are declared sensitive.
    variables: BTreeSet<String>,
}

impl Derived {
    /// Notes the texts in a value of which only the marks tell that they are secret.
    pub(crate) fn note(&self, value: &Value) {
        each_secret(value, false, &mut |text| {
            if text.chars().count() >= SHORTEST_DERIVED {
                self.hide(text);
            }
        });
    }

    /// Notes a secret that a template puts into a longer text: one that the template made itself is known by its parts. Answers whether
    /// it will be known again; what is too short will not.
    pub(crate) fn place(&self, value: &Value) -> bool {
        let Some(text) = value.as_str() else {
            self.note(value);
            return true;
        };
        self.hide_unless_within(text);
        text.is_empty() || text.chars().count() >= SHORTEST_DERIVED
    }

    /// Notes a text that was made of secrets.
    pub(crate) fn hide(&self, text: &str) {
        let mut noted = self.noted();
        if !tells_nothing(text) && !noted.derived.contains(text) {
            noted.derived.insert(text.to_owned());
        }
    }

    /// Notes a text of which it is not known how it was made: what holds a secret already needs nothing more.
    pub(crate) fn hide_unless_within(&self, text: &str) {
        let told = self
            .noted()
            .known()
            .any(|secret| is_telling(secret) && text.contains(secret));
        if !told && text.chars().count() >= SHORTEST_DERIVED {
            self.hide(text);
        }
    }

    /// Notes a secret that came up while baking: the password of an instance, a private key.
    pub(crate) fn declare_text(&self, text: &str) {
        if text.chars().count() >= SHORTEST_DERIVED {
            self.noted().declared.insert(text.to_owned());
        }
    }

    /// Notes what is secret in `build.*`.
    pub(crate) fn declare_build_data(&self, data: &BuildData) {
        let secret = SECRET_BUILD_KEYS.iter().filter_map(|key| data.get(*key)?.as_str());
        // What a builder does not have is said by a text that starts so.
        let had = secret.filter(|text| !text.starts_with("ERR_"));
        had.for_each(|text| self.declare_text(text));
    }

    /// From now on, what functions in `{{ }}` make of these is noted.
    pub(crate) fn declare(&self, secrets: &Secrets) {
        let long = secrets.texts().filter(|text| text.chars().count() >= SHORTEST_DERIVED);
        self.noted().declared.extend(long.map(str::to_owned));
    }

    /// Notes which variables are sensitive.
    pub(crate) fn declare_variables<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.noted().variables.extend(names.into_iter().map(str::to_owned));
    }

    /// Is the variable of this name sensitive? For what records variables by name, wherever their values come from.
    pub fn is_sensitive_variable(&self, name: &str) -> bool {
        self.noted().variables.contains(name)
    }

    /// Does a text hold a secret, declared or derived, in any of its forms? Those of one or two characters are not looked for.
    pub fn is_in(&self, text: &str) -> bool {
        let mut secrets = Secrets::default();
        secrets.include(self);
        secrets.mask(text) != text
    }

    /// Notes what a function in `{{ }}` made, if it was given a secret.
    pub(crate) fn made<'a>(&self, given: impl IntoIterator<Item = &'a str>, made: &str) {
        if made.chars().count() < SHORTEST_DERIVED {
            return;
        }
        let noted = self.noted();
        let holds_secret = |text: &str| noted.known().any(|secret| text.contains(secret));
        let is_secret = given.into_iter().any(holds_secret);
        drop(noted);
        if is_secret {
            self.hide(made);
        }
    }

    /// How many there are: it only grows.
    pub fn count(&self) -> usize {
        let noted = self.noted();
        noted.declared.len() + noted.derived.len()
    }

    pub(super) fn declared(&self) -> BTreeSet<String> {
        self.noted().declared.clone()
    }

    pub(super) fn derived(&self) -> BTreeSet<String> {
        self.noted().derived.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn known(&self) -> impl Iterator<Item = &str> {
        self.declared.iter().chain(&self.derived).map(String::as_str)
    }
}
