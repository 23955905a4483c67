//! Values that a construct needs to be of a type: converted, or complained about.

use crate::convert::convert;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Place;
use crate::types::Type;
use crate::value::Value;

/// What a construct needs, and how it complains when it gets something else.
pub(super) struct Expected<'e> {
    pub(super) kind: Type,
    /// The summary of the complaint.
    pub(super) summary: &'e str,
    /// What the value is for, as the subject of a sentence: "the condition".
    pub(super) role: &'e str,
    pub(super) place: Place,
}

impl Expected<'_> {
    /// The value as one of the type, which may be unknown but is not null; `None` after a complaint.
    pub(super) fn of(&self, value: &Value, diagnostics: &mut Diagnostics) -> Option<Value> {
        let role = self.role;
        if value.is_null() {
            let detail = format!("{role} is null, and {} is required.", required(&self.kind));
            diagnostics.push(Diagnostic::error(self.place, self.summary).detail(capitalized(&detail)));
            return None;
        }
        match convert(value, &self.kind) {
            Ok(value) => Some(value),
            Err(error) => {
                let detail = format!("{role} is {}: {error}.", described(value));
                diagnostics.push(Diagnostic::error(self.place, self.summary).detail(capitalized(&detail)));
                None
            }
        }
    }
}

fn required(kind: &Type) -> String {
    format!("{} {kind}", if matches!(kind, Type::Object(_)) { "an" } else { "a" })
}

/// The value in a sentence: what it is, never what a sensitive one contains.
pub(super) fn described(value: &Value) -> String {
    let kind = value.type_of();
    match (value.as_str(), value.as_bool(), value.as_number()) {
        _ if value.is_null() => "null".to_owned(),
        _ if value.marks.is_sensitive() => format!("a sensitive {kind}"),
        (Some(text), _, _) if text.chars().count() <= 40 => format!("the string {text:?}"),
        (_, Some(truth), _) => format!("the bool {truth}"),
        (_, _, Some(number)) => format!("the number {}", number.console()),
        _ if kind == Type::Dynamic => "a value of unknown type".to_owned(),
        _ => required(&kind),
    }
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
