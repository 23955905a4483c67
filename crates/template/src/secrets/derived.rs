//! What evaluation makes of secrets, noted where it is made: afterwards nothing tells what `Uv3r5` was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakelite_hcl::value::Value;

use super::known::Known;
use super::{SHORTEST_DERIVED, Secrets, TELLING, each_secret, tells_nothing};

/// The `build.KEY`s that let somebody in.
pub(crate) const SECRET_BUILD_KEYS: &[&str] = &["Password", "SSHPrivateKey", "WinRMPassword"];

/// Texts that evaluation makes of sensitive values, while planning and again while baking. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Derived {
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    /// In the order in which they were noted.
    all: Vec<Noted>,
    /// What is declared sensitive: texts carry no marks, so that only this tells what a function in `{{ }}` was given.
    declared: Known,
    derived: Known,
    /// Names of variables that are declared sensitive.
    variables: BTreeSet<String>,
}

/// A text that was noted.
#[derive(Debug, Clone)]
pub(super) enum Noted {
    /// It is a secret itself.
    Declared(String),
    /// It was made of secrets.
    Made(String),
}

impl Derived {
    /// Notes the texts in a value of which only the marks tell that they are secret.
    pub(crate) fn note(&self, value: &Value) {
        each_secret(value, false, &mut |text| {
            if is_long_enough(text) {
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
        text.is_empty() || is_long_enough(text)
    }

    /// Notes a text that was made of secrets.
    pub(crate) fn hide(&self, text: &str) {
        let mut notes = self.notes();
        if !tells_nothing(text) && notes.derived.insert(text) {
            notes.all.push(Noted::Made(text.to_owned()));
        }
    }

    /// Notes a text of which it is not known how it was made: what holds a secret already needs nothing more.
    pub(crate) fn hide_unless_within(&self, text: &str) {
        if is_long_enough(text) && !self.notes().holds(text, TELLING) {
            self.hide(text);
        }
    }

    /// Notes a secret that came up while baking: the password of an instance, a private key.
    pub(crate) fn declare_text(&self, text: &str) {
        if is_long_enough(text) {
            self.notes().declare(text);
        }
    }

    /// Notes what is secret in `build.*`.
    pub(crate) fn declare_build_data(&self, data: &BTreeMap<String, Value>) {
        let secret = SECRET_BUILD_KEYS.iter().filter_map(|key| data.get(*key)?.as_str());
        // What a builder does not have is said by a text that starts so.
        let had = secret.filter(|text| !text.starts_with("ERR_"));
        had.for_each(|text| self.declare_text(text));
    }

    /// From now on, what functions in `{{ }}` make of these is noted.
    pub(crate) fn declare(&self, secrets: &Secrets) {
        let mut notes = self.notes();
        let long = secrets.texts().filter(|text| is_long_enough(text));
        for text in long {
            notes.declared.insert(text);
        }
    }

    /// Notes which variables are sensitive.
    pub(crate) fn declare_variables<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.notes().variables.extend(names.into_iter().map(str::to_owned));
    }

    /// Is the variable of this name sensitive? For what records variables by name, wherever their values come from.
    pub fn is_sensitive_variable(&self, name: &str) -> bool {
        self.notes().variables.contains(name)
    }

    /// Does a text hold a secret, declared or derived, in any of its forms? Those of one or two characters are not looked for.
    pub fn is_in(&self, text: &str) -> bool {
        let mut secrets = Secrets::default();
        secrets.extend(self.notes().declared.iter().map(str::to_owned));
        secrets.include(self);
        secrets.mask(text) != text
    }

    /// Notes what a function in `{{ }}` made, if it was given a secret.
    pub(crate) fn made<'a>(&self, given: impl IntoIterator<Item = &'a str>, made: &str) {
        let notes = self.notes();
        let is_secret = given.into_iter().any(|text| notes.holds(text, SHORTEST_DERIVED));
        drop(notes);
        if is_secret && is_long_enough(made) {
            self.hide(made);
        }
    }

    /// What was noted after the first `count`.
    pub(super) fn since(&self, count: usize) -> Vec<Noted> {
        self.notes().all.get(count..).unwrap_or_default().to_vec()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn declare(&mut self, text: &str) {
        if self.declared.insert(text) {
            self.all.push(Noted::Declared(text.to_owned()));
        }
    }

    /// Does a secret of at least so many bytes stand in the text?
    fn holds(&self, text: &str, shortest: usize) -> bool {
        self.declared.is_within(text, shortest) || self.derived.is_within(text, shortest)
    }
}

fn is_long_enough(text: &str) -> bool {
    text.chars().count() >= SHORTEST_DERIVED
}
