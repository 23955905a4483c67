//! What the names in a wrong expression stood for: most errors are plain once that is seen.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Severity};
use crate::scope::Scope;
use crate::source::Place;
use crate::syntax::Expression;
use crate::value::{Kind, Value};

use super::references::{Reference, references};

/// So many names are told.
const MOST: usize = 5;
/// Longer values are cut.
const LONGEST: usize = 60;

/// The complaints about an expression with the values of the names within their places, as far as they are known and not sensitive.
pub(super) fn tell(
    complaints: impl IntoIterator<Item = Diagnostic>,
    expression: &Expression,
    scope: &dyn Scope,
) -> impl Iterator<Item = Diagnostic> {
    // One expression can be wrong in a thousand places: its names are looked for once.
    let mut names = None;
    // All parts of a JSON string may have the string's place: the same complaint about the same place is made once.
    let mut made = HashSet::new();
    let new = complaints.into_iter().filter(move |complaint| {
        let place = complaint.place.map(|place| (place.file, place.start, place.end));
        made.insert((place, complaint.summary.clone(), complaint.detail.clone()))
    });
    new.map(move |complaint| {
        let names = names.get_or_insert_with(|| references(expression));
        tell_one(complaint, names, scope)
    })
}

fn tell_one(mut complaint: Diagnostic, names: &[Reference], scope: &dyn Scope) -> Diagnostic {
    let Some(place) = complaint.place.filter(|_| complaint.severity == Severity::Error) else {
        return complaint;
    };
    let mut told: Vec<String> = names
        .iter()
        .filter(|reference| is_within(reference.place, place))
        .filter_map(|reference| {
            Some(format!(
                "`{}` is {}",
                written(reference),
                shown(&value(reference, scope)?)?
            ))
        })
        .collect();
    told.sort();
    told.dedup();
    told.truncate(MOST);
    if !told.is_empty() {
        if !complaint.detail.is_empty() {
            complaint.detail.push('\n');
        }
        complaint.detail.extend(["Here ", &told.join(", "), "."]);
    }
    complaint
}

fn is_within(inner: Place, outer: Place) -> bool {
    inner.file == outer.file && outer.start <= inner.start && inner.end <= outer.end
}

fn written(reference: &Reference) -> String {
    std::iter::once(&reference.root)
        .chain(&reference.steps)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(".")
}

/// What a name and the steps after it lead to.
fn value(reference: &Reference, scope: &dyn Scope) -> Option<Value> {
    let mut steps = reference.steps.iter();
    let member = steps
        .as_slice()
        .first()
        .and_then(|name| scope.member(&reference.root, name));
    let mut value = match member {
        Some(member) => {
            steps.next();
            member
        }
        None => scope.root(&reference.root)?,
    };
    for step in steps {
        let inner = match value.members() {
            Some(members) => members.get(step.as_str())?,
            None => value.elements()?.get(step.parse::<usize>().ok()?)?,
        };
        value = inner.clone().with_marks(value.marks);
    }
    Some(value)
}

/// A value in a few words; `None` when it is not known, or too much to be shown in a sentence.
fn shown(value: &Value) -> Option<String> {
    if value.marks_within().is_sensitive() {
        return Some("sensitive and not shown".to_owned());
    }
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    Some(match &value.kind {
        Kind::Unknown(_) => return None,
        Kind::Null(_) => "null".to_owned(),
        Kind::List(_, elements) => format!("a list of {}", count(elements.len(), "element")),
        Kind::Set(_, elements) => format!("a set of {}", count(elements.len(), "element")),
        Kind::Tuple(elements) => format!("a tuple of {}", count(elements.len(), "element")),
        Kind::Map(_, members) => format!("a map of {}", count(members.len(), "element")),
        Kind::Object(members) => format!("an object with {}", count(members.len(), "attribute")),
        Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {
            let text = value.to_string();
            match text.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{}…", text.get(..end)?),
                None => text,
            }
        }
    })
}
