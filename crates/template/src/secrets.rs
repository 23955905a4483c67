//! Texts that must not be shown, and hiding them.

use std::collections::BTreeSet;

use bakelite_hcl::value::{Kind, Value};

/// What stands in a secret's place.
pub const MASK: &str = "<sensitive>";

/// Texts that must not be shown: those that are declared sensitive, and those derived from them in which the declared ones do not
/// occur any more.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
}

impl Secrets {
    /// Hides one text. Each line of a text of several lines is hidden by itself, too; the empty text is not.
    pub fn hide(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.texts.insert(text.to_owned());
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

    /// The text with every secret replaced, longer ones first.
    pub fn mask(&self, text: &str) -> String {
        let mut ordered: Vec<&String> = self.texts.iter().collect();
        ordered.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        ordered
            .into_iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }

    /// All of them.
    pub fn into_texts(self) -> Vec<String> {
        self.texts.into_iter().collect()
    }
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
    fn lines_of_a_secret_are_hidden_one_by_one() {
        let mut secrets = Secrets::default();
        secrets.declare(&Value::string("one\r\ntwo").with_marks(Marks::SENSITIVE));
        assert_eq!(secrets.mask("a one b two"), "a <sensitive> b <sensitive>");
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
