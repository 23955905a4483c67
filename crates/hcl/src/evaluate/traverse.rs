//! `x.name` and `x[i]`

use super::context::Context;
use super::evaluate_in;
use super::expect::{Expected, capitalized, described};
use crate::diagnostic::{Diagnostic, Diagnostics, similar_name};
use crate::scope::Missing;
use crate::source::Place;
use crate::syntax::{Expression, ExpressionKind, Name};
use crate::types::Type;
use crate::value::{Kind, Members, Value, quoted};

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
    let path = path(base, &steps);
    let mut value = match member(context, base, &steps) {
        Some(value) => {
            steps.pop();
            value
        }
        None => match &base.kind {
            ExpressionKind::Variable(_) => context.variable(&path, base.place, diagnostics),
            _ => evaluate_in(context, base, diagnostics),
        },
    };
    while let Some(step) = steps.pop() {
        let marks = value.marks;
        let result = match step {
            Step::Attribute(name) => attribute(&value, name).map_err(|complaint| match complaint.help {
                None => complaint.help(context.remedy(Missing::Name(&path))),
                Some(_) => complaint,
            }),
            Step::Index { key, place } => {
                let key_value = evaluate_in(context, key, diagnostics);
                index(
                    &value,
                    &Key {
                        value: &key_value,
                        place: key.place,
                        brackets: place,
                    },
                )
            }
        };
        value = result.unwrap_or_else(|complaint| {
            diagnostics.push(complaint);
            Value::dynamic().with_marks(marks)
        });
    }
    value
}

/// The root name and the attributes that are taken of it one after the other.
fn path<'e>(base: &'e Expression, steps: &[Step<'e>]) -> Vec<&'e str> {
    let ExpressionKind::Variable(root) = &base.kind else {
        return Vec::new();
    };
    let attributes = steps.iter().rev().map_while(|step| match step {
        Step::Attribute(name) => Some(name.text.as_str()),
        Step::Index { .. } => None,
    });
    std::iter::once(root.as_str()).chain(attributes).collect()
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

/// The attribute of that name.
fn attribute(value: &Value, name: &Name) -> Result<Value, Diagnostic> {
    let text = name.text.as_str();
    let complaint = |summary: String| Diagnostic::error(name.place, summary);
    let member = match &value.kind {
        Kind::Object(members) | Kind::Map(_, members) => {
            let absent = || {
                let help = similar_name(text, members.keys().map(AsRef::as_ref));
                complaint(absent(value, text)).help(help.map(|similar| format!("did you mean `{similar}`?")))
            };
            members.get(text).cloned().ok_or_else(absent)?
        }
        Kind::Unknown(Type::Dynamic) => Value::dynamic(),
        Kind::Unknown(Type::Map(element)) => Value::unknown((**element).clone()),
        Kind::Unknown(Type::Object(object)) => {
            let kind = object
                .attributes
                .get(text)
                .ok_or_else(|| complaint(absent(value, text)))?;
            Value::unknown(kind.clone())
        }
        Kind::List(..) | Kind::Tuple(_) | Kind::Set(..) => {
            let help = format!("take one element by its index, or write `[*].{text}` for the attributes of all");
            return Err(complaint(format!("{} has elements, not attributes", described(value))).help(help));
        }
        _ => return Err(complaint(format!("{} has no attributes", described(value)))),
    };
    Ok(member.with_marks(value.marks))
}

fn absent(whole: &Value, name: &str) -> String {
    match whole.type_of() {
        Type::Map(_) => format!("this map has no element `{name}`"),
        _ => format!("this object has no attribute `{name}`"),
    }
}

/// A key in brackets.
struct Key<'k> {
    value: &'k Value,
    place: Place,
    /// From the bracket on.
    brackets: Place,
}

/// The element of that key.
fn index(value: &Value, key: &Key<'_>) -> Result<Value, Diagnostic> {
    let none = || Diagnostic::error(key.brackets, format!("{} has no elements", described(value)));
    let element = match &value.kind {
        Kind::List(_, elements) | Kind::Tuple(elements) => position(value, elements, key)?,
        Kind::Map(_, members) | Kind::Object(members) => named(value, members, key)?,
        Kind::Set(..) => {
            let help = "make a list of it first: `[for element in set : element]`".to_owned();
            return Err(Diagnostic::error(key.brackets, "the elements of a set have no position").help(help));
        }
        Kind::Unknown(Type::List(element) | Type::Map(element)) => Value::unknown((**element).clone()),
        Kind::Unknown(Type::Dynamic | Type::Tuple(_) | Type::Object(_)) => Value::dynamic(),
        _ => return Err(none()),
    };
    Ok(element.with_marks(value.marks.union(key.value.marks)))
}

fn named(value: &Value, members: &Members, key: &Key<'_>) -> Result<Value, Diagnostic> {
    let expected = Expected {
        kind: Type::String,
        role: "the key",
        place: key.place,
    };
    let converted = expected.checked(key.value)?;
    let Some(name) = converted.as_str() else {
        return Ok(Value::dynamic());
    };
    members.get(name).cloned().ok_or_else(|| {
        let sensitive = key.value.marks.is_sensitive();
        let shown = if sensitive {
            absent(value, "(sensitive)")
        } else {
            absent(value, name)
        };
        let similar = similar_name(name, members.keys().map(AsRef::as_ref)).filter(|_| !sensitive);
        Diagnostic::error(key.brackets, shown).help(similar.map(|similar| format!("did you mean {}?", quoted(similar))))
    })
}

fn position(value: &Value, elements: &[Value], key: &Key<'_>) -> Result<Value, Diagnostic> {
    let expected = Expected {
        kind: Type::Number,
        role: "the index",
        place: key.place,
    };
    let converted = expected.checked(key.value)?;
    let Some(number) = converted.as_number() else {
        return Ok(match &value.kind {
            Kind::List(element, _) => Value::unknown(element.clone()),
            _ => Value::dynamic(),
        });
    };
    let found = number
        .to_u64()
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| elements.get(index));
    found.cloned().ok_or_else(|| {
        let shown = if key.value.marks.is_sensitive() {
            String::new()
        } else {
            format!(" {number}")
        };
        let (problem, detail) = if number.signum() < 0 {
            ("is negative", "Elements are counted from 0 at the start.".to_owned())
        } else if !number.is_integer() && !number.is_infinite() {
            ("is not an integer", String::new())
        } else {
            let detail = match elements.len() {
                0 => format!("{} is empty.", capitalized(&described(value))),
                1 => "There is 1 element, its index is 0.".to_owned(),
                count => format!("There are {count} elements, counted from 0."),
            };
            ("is beyond the end", detail)
        };
        Diagnostic::error(key.place, format!("the index{shown} {problem}")).detail(detail)
    })
}
