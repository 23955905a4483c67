//! Texts that must not be shown, and hiding them.
//!
//! A value that is declared sensitive is hidden, and whatever a function or an operator makes of it is hidden as a whole, also when it
//! holds another secret. What a template writes around a secret stays: its parts are known one by one. Each text is looked for in all
//! the forms that `variants` knows.

mod cut;
mod derived;
mod finder;
mod known;
mod variants;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bakelite_hcl::convert::convert;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::{Kind, Value};

use crate::show::display_number;
pub use derived::Derived;
use derived::Noted;
pub(crate) use derived::SECRET_BUILD_KEYS;
use finder::Finder;
use known::Known;

/// What stands in a secret's place.
pub const MASK: &str = "<sensitive>";

/// What is made of a secret is hidden from this many characters on: hiding every `1` would leave nothing to read, and tells as much.
const SHORTEST_DERIVED: usize = 3;
/// A line of a declared secret is hidden by itself from this many characters on: a brace alone is none.
const SHORTEST_LINE: usize = 3;
/// The same for a line of what was made of a secret: in a script that holds a password, `done` and `else` are none.
const SHORTEST_DERIVED_LINE: usize = 8;
/// A number is hidden from this many digits on.
const SHORTEST_NUMBER: usize = 4;
/// A text that holds a secret at least this long is hidden enough by hiding that, where a template made it.
const TELLING: usize = 4;

/// Variables of the environment that let the program in somewhere.
const SECRET_VARIABLES: &[&str] = &[
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "VAULT_TOKEN",
];
/// What they hold is hidden from this many bytes on.
const SHORTEST_OF_ENVIRONMENT: usize = 16;

/// Texts that must not be shown: those that are declared sensitive, and what is made of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    texts: Known,
    /// How much of what is derived is among them already.
    included: usize,
    /// Finds all of them in one pass; made when first asked for.
    finder: OnceLock<Finder>,
}

impl Secrets {
    /// Hides a declared text, and each of its lines by itself; the empty text is not hidden.
    pub fn hide(&mut self, text: &str) {
        self.hide_with_lines(text, SHORTEST_LINE);
    }

    /// Hides texts whose lines are among them already, as [`Secrets::into_texts`] answers them.
    pub fn extend(&mut self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.insert(&text));
    }

    /// Hides the texts in a value that is declared sensitive, or in the parts of it that are.
    pub fn declare(&mut self, value: &Value) {
        each_secret(value, false, &mut |text| self.hide(text));
    }

    /// Hides what variables of the environment let the program in with. What is as short as `test` is for a cloud that asks for anything.
    pub fn hide_environment(&mut self, environment: &BTreeMap<String, String>) {
        let known = SECRET_VARIABLES.iter().filter_map(|name| environment.get(*name));
        for secret in known.filter(|secret| secret.len() >= SHORTEST_OF_ENVIRONMENT) {
            self.hide(secret);
        }
    }

    /// Hides the texts of a value that templates or conditions made of others: one in which a secret can be masked needs nothing more,
    /// for what functions make of secrets is in [`Derived`].
    pub fn derive(&mut self, value: &Value) {
        if value.marks_within().is_empty() {
            return;
        }
        let mut found = Vec::new();
        each_secret(value, false, &mut |text| found.push(text.to_owned()));
        for text in &found {
            self.derive_text(text);
        }
    }

    /// The same for one text.
    pub(crate) fn derive_text(&mut self, text: &str) {
        let told = self.texts.is_within(text, TELLING);
        if !told {
            self.hide_made(text);
        }
    }

    /// Hides what was noted so far. It is always the same [`Derived`], that of the template.
    pub fn include(&mut self, derived: &Derived) {
        for noted in derived.since(self.included) {
            self.included += 1;
            match noted {
                Noted::Declared(text) => self.hide(&text),
                Noted::Made(text) => self.hide_made(&text),
            }
        }
    }

    /// The text with every secret replaced. Of secrets that overlap nothing is left.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut shown = 0;
        for (start, end) in self.finder().find(text) {
            masked.push_str(text.get(shown..start).unwrap_or_default());
            masked.push_str(MASK);
            shown = end;
        }
        masked.push_str(text.get(shown..).unwrap_or_default());
        masked
    }

    /// Bytes of the longest form of a secret: a text that is cut anywhere is masked whole only where the parts overlap by this much.
    pub fn longest(&self) -> usize {
        self.finder().longest()
    }

    /// All of them, each line of a text that has several beside the text.
    pub fn into_texts(self) -> Vec<String> {
        self.texts.into_texts()
    }

    /// The same, borrowed.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter()
    }

    fn finder(&self) -> &Finder {
        self.finder.get_or_init(|| Finder::of(self.texts.iter()))
    }

    fn hide_made(&mut self, text: &str) {
        if text.chars().count() >= SHORTEST_DERIVED && !tells_nothing(text) {
            self.hide_with_lines(text, SHORTEST_DERIVED_LINE);
        }
    }

    fn hide_with_lines(&mut self, text: &str, shortest_line: usize) {
        self.insert(text);
        if text.contains("\r\n") {
            self.insert(&text.replace("\r\n", "\n"));
        }
        let lines = text.lines().map(str::trim).filter(|line| *line != text);
        for line in lines.filter(|line| line.chars().count() >= shortest_line) {
            self.insert(line);
        }
    }

    fn insert(&mut self, text: &str) {
        if !text.is_empty() && self.texts.insert(text) {
            self.finder = OnceLock::new();
        }
    }
}

/// Words that stand everywhere and say one bit.
fn tells_nothing(text: &str) -> bool {
    matches!(text, "true" | "false" | "null")
}

/// Every text in a value that is marked sensitive itself or by what holds it, and every number as it is written. Names of members are
/// not secret, and neither is what has two values.
fn each_secret(value: &Value, within: bool, found: &mut dyn FnMut(&str)) {
    let secret = within || value.marks.is_sensitive();
    match &value.kind {
        Kind::String(text) if secret => found(text),
        Kind::Number(number) if secret => {
            let written = convert(value, &Type::String);
            let written = written.as_ref().ok().and_then(Value::as_str).unwrap_or_default();
            if written.chars().filter(char::is_ascii_digit).count() >= SHORTEST_NUMBER {
                found(written);
                found(&display_number(number));
            }
        }
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
    fn what_functions_in_braces_make_of_secrets_is_hidden() {
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
            secrets.mask("MY HUNTER2, OTHER, 2RETNUH YM, your hunter2, her hunter2"),
            "<sensitive>, OTHER, <sensitive>, <sensitive>, her <sensitive>"
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

    /// Each of these held another secret, and showed the rest of itself for that.
    #[test]
    fn what_functions_made_is_hidden_as_a_whole() {
        let derived = Derived::default();
        for text in ["AlphaS-e-c-r-e-t01xyz", "Alpha", "AlphaSec", "se"] {
            derived.note(&Value::string(text).with_marks(Marks::SENSITIVE));
        }
        let mut secrets = Secrets::default();
        secrets.hide("AlphaSecret01xyz");
        secrets.include(&derived);
        assert_eq!(
            secrets.mask("AlphaS-e-c-r-e-t01xyz AlphaSec Alpha, AlphaSecret01xyz see"),
            "<sensitive> <sensitive> <sensitive>, <sensitive> see"
        );
    }

    #[test]
    fn in_a_script_that_holds_a_secret_ordinary_words_are_none() {
        let derived = Derived::default();
        derived.note(&Value::string("if true; then\n  echo pw-of-db\nelse\n  exit\nfi\n").with_marks(Marks::SENSITIVE));
        derived.note(&Value::string("false").with_marks(Marks::SENSITIVE));
        let mut secrets = Secrets::default();
        secrets.include(&derived);
        assert_eq!(secrets.mask("false else exit fi"), "false else exit fi");
        assert_eq!(secrets.mask("+ echo pw-of-db"), "+ <sensitive>");
    }

    #[test]
    fn numbers_are_hidden_as_they_are_written() {
        let mut secrets = Secrets::default();
        let big = bakelite_hcl::convert::convert(&Value::string("1234567.5"), &Type::Number).unwrap();
        let members = Value::object([
            ("n", Value::int(550_066)),
            ("port", Value::int(443)),
            ("on", Value::bool(true)),
            ("big", big),
        ]);
        secrets.declare(&members.with_marks(Marks::SENSITIVE));
        assert_eq!(
            secrets.mask("550066 443 true 1234567.5 1.2345675e+06"),
            "<sensitive> 443 true <sensitive> <sensitive>"
        );
    }

    #[test]
    fn a_long_secret_that_was_cut_is_hidden_as_far_as_it_goes() {
        let long = (0..400).map(|n| n.to_string()).collect::<Vec<_>>().join("-");
        let mut secrets = Secrets::default();
        secrets.hide(&long);
        assert_eq!(secrets.mask(&format!("a {} b", &long[..700])), "a <sensitive> b");
        assert_eq!(secrets.mask(&format!("a {long} b")), "a <sensitive> b");
        assert!(secrets.longest() > long.len());
    }

    #[test]
    fn a_secret_between_quotes_is_hidden() {
        let mut secrets = Secrets::default();
        secrets.hide("a\"b");
        assert_eq!(secrets.mask(r#"{"k": "a\"b"}"#), r#"{"k": "<sensitive>"}"#);
    }

    #[test]
    fn what_a_template_wrote_around_a_secret_needs_no_mask_of_its_own() {
        let mut secrets = Secrets::default();
        secrets.declare(&Value::string("pw12").with_marks(Marks::SENSITIVE));
        secrets.derive(&Value::string("-pw12-").with_marks(Marks::SENSITIVE));
        secrets.derive(&Value::string("chosen").with_marks(Marks::SENSITIVE));
        assert_eq!(secrets.into_texts(), ["chosen", "pw12"]);
    }
}
