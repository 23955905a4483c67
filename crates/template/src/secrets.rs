//! Texts that must not be shown, and hiding them.

mod cut;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aho_corasick::AhoCorasick;
use bakelite_hcl::value::{Kind, Value};

/// What stands in a secret's place.
pub const MASK: &str = "<sensitive>";

/// What a function makes of a secret is hidden from this length on: hiding every `1` would leave nothing to read, and tells as much.
const SHORTEST_DERIVED: usize = 3;
/// A text that holds a declared secret at least this long is hidden enough by hiding that.
const TELLING: usize = 4;

/// Texts that must not be shown: those that are declared sensitive, and those derived from them in which the declared ones do not
/// occur any more.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
    /// Finds all of them in one pass; made when first asked for.
    finder: OnceLock<Option<AhoCorasick>>,
}

impl Secrets {
    /// Hides one text. Each line of a text of several lines is hidden by itself, too; the empty text is not.
    pub fn hide(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.finder = OnceLock::new();
        self.texts.insert(text.to_owned());
        self.texts.extend(quoted(text));
        if text.contains('\n') {
            self.texts.insert(text.replace("\r\n", "\n"));
            let lines = text
                .lines()
                .map(|line| line.trim_end_matches('\r'))
                .filter(|line| !line.is_empty());
            self.texts.extend(lines.map(str::to_owned));
        }
    }

    /// Hides the texts in a value that is declared sensitive, or in the parts of it that are.
    pub fn declare(&mut self, value: &Value) {
        each_secret(value, false, &mut |text| self.hide(text));
    }

    /// Hides the texts of a value derived from others: one in which a declared secret can be masked needs nothing more.
    pub fn derive(&mut self, value: &Value) {
        if value.marks_within().is_empty() {
            return;
        }
        let mut found = Vec::new();
        each_secret(value, false, &mut |text| {
            if self.texts.is_empty() || !self.texts.iter().any(|secret| text.contains(secret.as_str())) {
                found.push(text.to_owned());
            }
        });
        for text in found {
            self.hide(&text);
        }
    }

    /// Hides what was derived so far, where hiding the declared secrets is not enough.
    pub fn include(&mut self, derived: &Derived) {
        for text in derived.texts() {
            let is_hidden = |secret: &String| secret.len() >= TELLING && text.contains(secret.as_str());
            if !self.texts.contains(&text) && !self.texts.iter().any(is_hidden) {
                self.hide(&text);
            }
        }
    }

    /// The text with every secret replaced. Of secrets that overlap nothing is left.
    pub fn mask(&self, text: &str) -> String {
        let Some(finder) = self.finder() else {
            return text.to_owned();
        };
        let mut found: Vec<(usize, usize)> = finder
            .find_overlapping_iter(text)
            .map(|found| (found.start(), found.end()))
            .collect();
        found.sort_unstable();
        let mut masked = String::with_capacity(text.len());
        let mut shown = 0;
        let mut rest = found.into_iter().peekable();
        while let Some((start, mut end)) = rest.next() {
            while let Some((_, later)) = rest.next_if(|(next, _)| *next < end) {
                end = end.max(later);
            }
            masked.push_str(text.get(shown..start).unwrap_or_default());
            masked.push_str(MASK);
            shown = end;
        }
        masked.push_str(text.get(shown..).unwrap_or_default());
        masked
    }

    /// What finds all of them; nothing where there are none.
    fn finder(&self) -> Option<&AhoCorasick> {
        let made = self.finder.get_or_init(|| {
            let made = (!self.texts.is_empty()).then(|| AhoCorasick::new(&self.texts));
            made.and_then(Result::ok)
        });
        made.as_ref()
    }

    /// All of them.
    pub fn into_texts(self) -> Vec<String> {
        self.texts.into_iter().collect()
    }
}

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

    /// Notes a text.
    pub(crate) fn hide(&self, text: &str) {
        let mut noted = self.noted();
        if !noted.derived.contains(text) {
            noted.derived.insert(text.to_owned());
        }
    }

    /// From now on, what functions in `{{ }}` make of these is noted.
    pub(crate) fn declare(&self, secrets: &Secrets) {
        let long = secrets
            .texts
            .iter()
            .filter(|text| text.chars().count() >= SHORTEST_DERIVED);
        self.noted().declared.extend(long.cloned());
    }

    /// Notes which variables are sensitive.
    pub(crate) fn declare_variables<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.noted().variables.extend(names.into_iter().map(str::to_owned));
    }

    /// Is the variable of this name sensitive? For what records variables by name, wherever their values come from.
    pub fn is_sensitive_variable(&self, name: &str) -> bool {
        self.noted().variables.contains(name)
    }

    /// Does a text hold a secret, declared or derived? Those of one or two characters are not looked for.
    pub fn is_in(&self, text: &str) -> bool {
        let noted = self.noted();
        let mut known = noted.declared.iter().chain(&noted.derived);
        known.any(|secret| text.contains(secret.as_str()))
    }

    /// Notes what a function in `{{ }}` made, if it was given a secret and that does not show in it any more.
    pub(crate) fn made<'a>(&self, given: impl IntoIterator<Item = &'a str>, made: &str) {
        let noted = self.noted();
        let known = || noted.declared.iter().chain(&noted.derived);
        let holds_secret = |text: &str| known().any(|secret| text.contains(secret.as_str()));
        let is_new = made.chars().count() >= SHORTEST_DERIVED && !holds_secret(made);
        let is_secret = is_new && given.into_iter().any(holds_secret);
        drop(noted);
        if is_secret {
            self.hide(made);
        }
    }

    /// How many there are: it only grows.
    pub fn count(&self) -> usize {
        self.noted().derived.len()
    }

    fn texts(&self) -> BTreeSet<String> {
        self.noted().derived.clone()
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a text looks between quotes, where that is different.
fn quoted(text: &str) -> Option<String> {
    let quoted = serde_json::to_string(text).ok()?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (inner != text).then(|| inner.to_owned())
}

/// Every text in a value that is marked sensitive itself or by what holds it. Names of members are not secret.
fn each_secret(value: &Value, within: bool, found: &mut dyn FnMut(&str)) {
    let secret = within || value.marks.is_sensitive();
    match &value.kind {
        Kind::String(text) if secret => found(text),
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            for element in elements.iter() {
                each_secret(element, secret, found);
            }
        }
        Kind::Map(_, members) | Kind::Object(members) => {
            for member in members.values() {
                each_secret(member, secret, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use bakelite_hcl::marks::Marks;

    use super::*;

    #[test]
    fn what_functions_in_braces_make_of_secrets_is_hidden_once_it_hides_them() {
        let mut secrets = Secrets::default();
        secrets.hide("hunter2");
        let derived = Derived::default();
        derived.declare(&secrets);
        derived.made(["my hunter2"], "MY HUNTER2");
        derived.made(["my hunter2", "my"], "your hunter2");
        derived.made(["other"], "OTHER");
        derived.made(["MY HUNTER2"], "2RETNUH YM");
        secrets.include(&derived);
        assert_eq!(
            secrets.mask("MY HUNTER2, OTHER, 2RETNUH YM, your hunter2"),
            "<sensitive>, OTHER, <sensitive>, your <sensitive>"
        );
    }

    #[test]
    fn sensitive_variables_are_known_by_name_and_by_what_they_hold() {
        let mut secrets = Secrets::default();
        secrets.hide("hunter2");
        let derived = Derived::default();
        derived.declare(&secrets);
        derived.declare_variables(["password"]);
        derived.hide("2retnuh");
        assert!(derived.is_sensitive_variable("password") && !derived.is_sensitive_variable("region"));
        assert!(derived.is_in("my hunter2") && derived.is_in("2retnuh") && !derived.is_in("hunter"));
    }

    #[test]
    fn lines_of_a_secret_are_hidden_one_by_one() {
        let mut secrets = Secrets::default();
        secrets.declare(&Value::string("one\r\ntwo").with_marks(Marks::SENSITIVE));
        assert_eq!(secrets.mask("a one b two"), "a <sensitive> b <sensitive>");
    }

    #[test]
    fn nothing_is_left_of_secrets_that_overlap() {
        let mut secrets = Secrets::default();
        for secret in ["abc", "cde", "b"] {
            secrets.hide(secret);
        }
        assert_eq!(secrets.mask("abcdef abab"), "<sensitive>f a<sensitive>a<sensitive>");
    }

    #[test]
    fn what_functions_made_is_hidden_where_the_secret_is_not_in_it() {
        let derived = Derived::default();
        for text in ["c2VjcmV0", "x-secret", "se"] {
            derived.note(&Value::string(text).with_marks(Marks::SENSITIVE));
        }
        let mut secrets = Secrets::default();
        secrets.hide("secret");
        secrets.include(&derived);
        assert_eq!(secrets.into_texts(), ["c2VjcmV0", "secret"]);
    }

    #[test]
    fn a_secret_between_quotes_is_hidden() {
        let mut secrets = Secrets::default();
        secrets.hide("a\"b");
        assert_eq!(secrets.mask(r#"{"k": "a\"b"}"#), r#"{"k": "<sensitive>"}"#);
    }

    #[test]
    fn what_still_contains_the_secret_needs_no_mask_of_its_own() {
        let mut secrets = Secrets::default();
        secrets.declare(&Value::string("pw").with_marks(Marks::SENSITIVE));
        secrets.derive(&Value::string("-pw-").with_marks(Marks::SENSITIVE));
        secrets.derive(&Value::string("PW").with_marks(Marks::SENSITIVE));
        assert_eq!(secrets.into_texts(), ["PW", "pw"]);
    }
}
