//! `condition ? yes : no`

use super::context::Context;
use super::expect::{Expected, described, required};
use super::{attempt, evaluate_in};
use crate::convert::{convert, unify};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Place;
use crate::syntax::Expression;
use crate::types::Type;
use crate::value::{Kind, Value};

/// Both arms are evaluated, because the result has the type that they have in common; only the chosen one's errors count.
pub(super) fn conditional(
    context: &Context<'_>,
    condition: &Expression,
    yes: &Expression,
    no: &Expression,
    diagnostics: &mut Diagnostics,
) -> Value {
    let given = evaluate_in(context, condition, diagnostics);
    let (yes_value, yes_errors) = attempt(context, yes);
    let (no_value, no_errors) = attempt(context, no);
    let Some(truth) = truth(&given, condition.place, diagnostics) else {
        return Value::dynamic();
    };
    if !(context.spend_on(&yes_value, 1, yes.place) && context.spend_on(&no_value, 1, no.place)) {
        return Value::dynamic();
    }
    let Some(kind) = common_type(&yes_value, &no_value) else {
        diagnostics.push(mismatch(&yes_value, &no_value, yes.place.to(no.place)));
        return Value::dynamic();
    };
    let Some(truth) = truth.as_bool() else {
        return Value::unknown(kind).with_marks(given.marks);
    };
    let (value, errors) = if truth {
        (yes_value, yes_errors)
    } else {
        (no_value, no_errors)
    };
    diagnostics.extend(errors);
    // Arms always convert to their common type, unless a value only turns out to be of another one.
    convert(&value, &kind)
        .unwrap_or_else(|_| Value::dynamic())
        .with_marks(given.marks)
}

/// The condition as a bool, which may be unknown. Numbers are no conditions.
pub(super) fn truth(condition: &Value, place: Place, diagnostics: &mut Diagnostics) -> Option<Value> {
    let expected = Expected {
        kind: Type::Bool,
        role: "the condition",
        place,
    };
    expected.of(condition, diagnostics)
}

/// The type of the result; `None` when the arms have none in common.
fn common_type(yes: &Value, no: &Value) -> Option<Type> {
    let undecided = |value: &Value| matches!(value.kind, Kind::Unknown(Type::Dynamic));
    match (yes.is_null(), no.is_null()) {
        _ if undecided(yes) || undecided(no) => Some(Type::Dynamic),
        (true, false) if yes.type_of() == Type::Dynamic => Some(no.type_of()),
        (false, true) if no.type_of() == Type::Dynamic => Some(yes.type_of()),
        _ => unify(&[yes.type_of(), no.type_of()]),
    }
}

fn mismatch(yes: &Value, no: &Value, place: Place) -> Diagnostic {
    let difference = first_difference(&yes.type_of(), &no.type_of(), "");
    let detail = format!("One is {}, the other is {}{difference}.", described(yes), described(no));
    Diagnostic::error(place, "the two results of this condition have no type in common").detail(detail)
}

/// Where in two structures the first members stand that have no type in common, as the end of a sentence.
fn first_difference(yes: &Type, no: &Type, within: &str) -> String {
    let apart = |a: &Type, b: &Type| unify(&[a.clone(), b.clone()]).is_none();
    let found = match (yes, no) {
        (Type::Tuple(a), Type::Tuple(b)) => {
            let pairs = a
                .iter()
                .zip(b)
                .enumerate()
                .map(|(index, pair)| (format!("element {index}"), pair));
            pairs.into_iter().find(|(_, (a, b))| apart(a, b))
        }
        (Type::Object(a), Type::Object(b)) => {
            let both = a
                .attributes
                .iter()
                .filter_map(|(name, kind)| Some((name, (kind, b.attributes.get(name)?))));
            both.map(|(name, pair)| (format!("attribute `{name}`"), pair))
                .find(|(_, (a, b))| apart(a, b))
        }
        _ => None,
    };
    match found {
        Some((step, (a, b))) => first_difference(
            a,
            b,
            &format!("{within}{}{step}", if within.is_empty() { "" } else { ", " }),
        ),
        None if within.is_empty() => String::new(),
        None => format!(
            "; {within} is {} in one and {} in the other",
            required(yes),
            required(no)
        ),
    }
}
