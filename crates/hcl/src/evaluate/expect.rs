//! What a construct needs: values of a type, converted or complained about, and calls with so many arguments.

use crate::convert::convert;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Place;
use crate::syntax::{Expression, Name};
use crate::types::Type;
use crate::value::{Value, quoted};

/// What a construct needs, for the complaint when it gets something else.
pub(super) struct Expected<'e> {
    pub(super) kind: Type,
    /// What the value is for, as the subject of a sentence: "the condition".
    pub(super) role: &'e str,
    pub(super) place: Place,
}

impl Expected<'_> {
    /// The value as one of the type, which may be unknown but is not null; `None` after a complaint.
    pub(super) fn of(&self, value: &Value, diagnostics: &mut Diagnostics) -> Option<Value> {
        self.checked(value)
            .map_err(|complaint| diagnostics.push(complaint))
            .ok()
    }

    /// The same, or the complaint.
    pub(super) fn checked(&self, value: &Value) -> Result<Value, Diagnostic> {
        let needed = required(&self.kind);
        if value.is_null() {
            let detail = format!("{} is required.", capitalized(&needed));
            return Err(Diagnostic::error(self.place, format!("{} is null", self.role)).detail(detail));
        }
        convert(value, &self.kind).map_err(|error| {
            let reason = error.to_string();
            let more = if reason == format!("{needed} is required") {
                String::new()
            } else {
                format!(": {reason}")
            };
            let detail = format!("It is {}{more}.", described(value));
            Diagnostic::error(self.place, format!("{} is not {needed}", self.role)).detail(detail)
        })
    }
}

/// The type with its article.
pub(super) fn required(kind: &Type) -> String {
    format!("{} {kind}", if matches!(kind, Type::Object(_)) { "an" } else { "a" })
}

/// The value in a sentence: what it is, never what a sensitive one contains.
pub(super) fn described(value: &Value) -> String {
    let kind = value.type_of();
    match (value.as_str(), value.as_bool(), value.as_number()) {
        _ if value.is_null() => "null".to_owned(),
        _ if value.marks.is_sensitive() => format!("a sensitive {kind}"),
        (Some(text), _, _) if text.chars().count() <= 40 => format!("the string {}", quoted(text)),
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

/// A call as it stands in the template.
pub(super) struct CallExpression<'e> {
    pub(super) name: &'e Name,
    pub(super) arguments: &'e [Expression],
    pub(super) expand_last: bool,
    pub(super) place: Place,
}

/// Complains unless there are that many arguments, each of its own.
pub(super) fn exactly(count: usize, call: &CallExpression<'_>, diagnostics: &mut Diagnostics) -> bool {
    let name = &call.name.text;
    let given = call.arguments.len();
    if !call.expand_last && given == count {
        return true;
    }
    let summary = if call.expand_last {
        format!("`{name}` takes its arguments as they are written, none can be spread")
    } else {
        format!("`{name}` takes {}, {given} given", arguments_text(count))
    };
    diagnostics.push(Diagnostic::error(call.place, summary));
    false
}

pub(super) fn arguments_text(count: usize) -> String {
    if count == 1 {
        "1 argument".to_owned()
    } else {
        format!("{count} arguments")
    }
}
