//! `[a, b]` and `{ k = v }`.

use std::sync::Arc;

use super::context::Context;
use super::evaluate_in;
use super::expect::Expected;
use crate::diagnostic::Diagnostics;
use crate::marks::Marks;
use crate::syntax::{Expression, ObjectKey};
use crate::types::Type;
use crate::value::{Kind, Members, Value, normalized};

pub(super) fn tuple(context: &Context<'_>, elements: &[Expression], diagnostics: &mut Diagnostics) -> Value {
    Value::tuple(
        elements
            .iter()
            .map(|element| evaluate_in(context, element, diagnostics))
            .collect(),
    )
}

/// Of a repeated key the last counts. An unknown or wrong key makes the whole unknown; the marks of keys go to the whole.
pub(super) fn object(context: &Context<'_>, items: &[(ObjectKey, Expression)], diagnostics: &mut Diagnostics) -> Value {
    let mut members = Members::new();
    let mut marks = Marks::NONE;
    let mut known = true;
    for (key, item) in items {
        let key = match key {
            ObjectKey::Name(name) => Some(normalized(&name.text)),
            ObjectKey::Expression(expression) => self::key(context, expression, &mut marks, diagnostics),
        };
        let value = evaluate_in(context, item, diagnostics);
        match key {
            Some(key) => drop(members.insert(key, value)),
            None => known = false,
        }
    }
    let whole = if known {
        Kind::Object(Arc::new(members)).into()
    } else {
        Value::dynamic()
    };
    whole.with_marks(marks)
}

/// The key that an expression yields; its marks are added to `marks`. `None` when it is unknown or wrong.
pub(super) fn key(
    context: &Context<'_>,
    expression: &Expression,
    marks: &mut Marks,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<str>> {
    let value = evaluate_in(context, expression, diagnostics);
    *marks = marks.union(value.marks);
    let expected = Expected {
        kind: Type::String,
        role: "the key",
        place: expression.place,
    };
    match expected.of(&value, diagnostics)?.kind {
        Kind::String(text) => Some(text),
        _ => None,
    }
}
