//! `x.name` and `x[i]`

use super::context::Context;
use super::evaluate_in;
use super::expect::{Expected, capitalized, described};
use crate::diagnostic::{Diagnostic, Diagnostics, similar_name};
use crate::source::Place;
use crate::syntax::{Expression, ExpressionKind, Name};
use crate::types::Type;
use crate::value::{Kind, Members, Value};

/// One step into a value.
enum Step<'e> {
    Attribute(&'e Name),
    Index {
        key: &'e Expression,
        /// From the bracket on.
        place: Place,
    },
}

/// Steps of any number are followed in a loop, so that they take no stack.
pub(super) fn traversal(context: &Context<'_>, expression: &Expression, diagnostics: &mut Diagnostics) -> Value {
    let mut steps = Vec::new();
    let mut base = expression;
    loop {
        let (inner, step) = match &base.kind {
            ExpressionKind::Attribute(inner, name) => (inner, Step::Attribute(name)),
            ExpressionKind::Index(inner, key) => {
                let place = Place {
                    start: inner.place.end.min(base.place.end),
                    ..base.place
                };
                (inner, Step::Index { key, place })
            }
            _ => break,
        };
        steps.push(step);
        base = inner;
    }
    let mut value = match member(context, base, &steps) {
        Some(value) => {
            steps.pop();
            value
        }
        None => evaluate_in(context, base, diagnostics),
    };
    while let Some(step) = steps.pop() {
        value = match step {
            Step::Attribute(name) => attribute(&value, name, diagnostics),
            Step::Index { key, place } => {
                let key_value = evaluate_in(context, key, diagnostics);
                index(&value, &key_value, key.place, place, diagnostics)
            }
        };
    }
    value
}

/// `ROOT.NAME` and `ROOT["NAME"]`, when the scope has it without its root.
fn member(context: &Context<'_>, base: &Expression, steps: &[Step<'_>]) -> Option<Value> {
    let ExpressionKind::Variable(root) = &base.kind else {
        return None;
    };
    match steps.last()? {
        Step::Attribute(name) => context.member(root, &name.text),
        Step::Index { key, .. } => match &key.kind {
            ExpressionKind::Literal(value) => context.member(root, value.as_str()?),
            _ => None,
        },
    }
}

pub(super) fn attribute(value: &Value, name: &Name, diagnostics: &mut Diagnostics) -> Value {
    let text = name.text.as_str();
    let mut complain = |detail: String, help: Option<String>| {
        let detail = capitalized(&detail);
        diagnostics.push(
            Diagnostic::error(name.place, "Unsupported attribute")
                .detail(detail)
                .help(help),
        );
        Value::dynamic()
    };
    match &value.kind {
        Kind::Object(members) | Kind::Map(_, members) => match members.get(text) {
            Some(member) => member.clone().with_marks(value.marks),
            None => missing(value, members, text, name.place, diagnostics),
        },
        Kind::Unknown(kind) => match kind {
            Type::Dynamic => Value::dynamic().with_marks(value.marks),
            Type::Map(element) => Value::unknown((**element).clone()).with_marks(value.marks),
            Type::Object(object) => match object.attributes.get(text) {
                Some(kind) => Value::unknown(kind.clone()).with_marks(value.marks),
                None => complain(format!("this object has no attribute `{text}`."), None),
            },
            _ => complain(format!("{} has no attributes.", described(value)), None),
        },
        Kind::Null(_) => complain(
            format!("this value is null, so that it has no attribute `{text}`."),
            None,
        ),
        Kind::List(..) | Kind::Tuple(_) | Kind::Set(..) => {
            let help = format!("take one element by its index, or write [*].{text} for those of all");
            complain(
                format!("{} has elements, not attributes.", described(value)),
                Some(help),
            )
        }
        _ => complain(format!("{} has no attributes.", described(value)), None),
    }
}

fn missing(whole: &Value, members: &Members, name: &str, place: Place, diagnostics: &mut Diagnostics) -> Value {
    let help =
        similar_name(name, members.keys().map(AsRef::as_ref)).map(|similar| format!("did you mean `{similar}`?"));
    let (summary, detail) = match whole.kind {
        Kind::Map(..) => ("Missing map element", format!("This map has no element `{name}`.")),
        _ => (
            "Unsupported attribute",
            format!("This object has no attribute `{name}`."),
        ),
    };
    diagnostics.push(Diagnostic::error(place, summary).detail(detail).help(help));
    Value::dynamic().with_marks(whole.marks)
}

fn index(value: &Value, key: &Value, key_place: Place, place: Place, diagnostics: &mut Diagnostics) -> Value {
    let marks = value.marks.union(key.marks);
    let result = match (&value.kind, value.elements(), value.members()) {
        (Kind::Null(_), _, _) => {
            let detail = "This value is null, so that nothing can be taken from it.";
            diagnostics.push(Diagnostic::error(place, "Attempt to index null value").detail(detail));
            Value::dynamic()
        }
        (Kind::Unknown(kind), _, _) => match kind {
            Type::List(element) | Type::Map(element) => Value::unknown((**element).clone()),
            Type::Dynamic | Type::Tuple(_) | Type::Object(_) => Value::dynamic(),
            _ => unindexable(value, place, diagnostics),
        },
        (Kind::Set(..), _, _) => {
            let detail =
                "The elements of a set have no position; make a list of it first, with [for element in set : element].";
            diagnostics.push(Diagnostic::error(place, "Invalid index").detail(detail));
            Value::dynamic()
        }
        (_, Some(elements), _) => position(value, elements, key, key_place, diagnostics),
        (_, _, Some(members)) => {
            let expected = Expected {
                kind: Type::String,
                summary: "Invalid index",
                role: "the key",
                place: key_place,
            };
            let converted = expected.of(key, diagnostics);
            match converted.as_ref().and_then(Value::as_str) {
                Some(name) => named(value, members, name, key, place, diagnostics),
                None => Value::dynamic(),
            }
        }
        _ => unindexable(value, place, diagnostics),
    };
    result.with_marks(marks)
}

fn unindexable(value: &Value, place: Place, diagnostics: &mut Diagnostics) -> Value {
    let detail = capitalized(&format!("{} has no elements to take by an index.", described(value)));
    diagnostics.push(Diagnostic::error(place, "Invalid index").detail(detail));
    Value::dynamic()
}

fn named(
    value: &Value,
    members: &Members,
    name: &str,
    key: &Value,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Value {
    if let Some(member) = members.get(name) {
        return member.clone();
    }
    if key.marks.is_sensitive() {
        diagnostics.push(
            Diagnostic::error(place, "Invalid index").detail("There is no element of this key, which is sensitive."),
        );
        return Value::dynamic();
    }
    let help =
        similar_name(name, members.keys().map(AsRef::as_ref)).map(|similar| format!("did you mean {similar:?}?"));
    let whole = if matches!(value.kind, Kind::Map(..)) {
        "map"
    } else {
        "object"
    };
    let detail = format!("This {whole} has no element {name:?}.");
    diagnostics.push(Diagnostic::error(place, "Invalid index").detail(detail).help(help));
    Value::dynamic()
}

fn position(value: &Value, elements: &[Value], key: &Value, place: Place, diagnostics: &mut Diagnostics) -> Value {
    let expected = Expected {
        kind: Type::Number,
        summary: "Invalid index",
        role: "the index",
        place,
    };
    let Some(converted) = expected.of(key, diagnostics) else {
        return Value::dynamic();
    };
    let Some(number) = converted.as_number() else {
        return match &value.kind {
            Kind::List(element, _) => Value::unknown(element.clone()),
            _ => Value::dynamic(),
        };
    };
    let found = number
        .to_u64()
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| elements.get(index));
    if let Some(element) = found {
        return element.clone();
    }
    let shown = if key.marks.is_sensitive() {
        "The index".to_owned()
    } else {
        format!("The index {number}")
    };
    let detail = if number.signum() < 0 {
        format!("{shown} is negative; elements are counted from 0 at the start.")
    } else if !number.is_integer() && !number.is_infinite() {
        format!("{shown} is not a whole number.")
    } else {
        let count = elements.len();
        format!(
            "{shown} is beyond the end: there {}.",
            if count == 1 {
                "is 1 element".to_owned()
            } else {
                format!("are {count} elements")
            }
        )
    };
    diagnostics.push(Diagnostic::error(place, "Invalid index").detail(detail));
    Value::dynamic()
}
