//! Equality and order of values: `==`, and the order in which sets are iterated.

use std::cmp::Ordering;

use crate::types::Type;
use crate::value::{Kind, Members, Value};

/// Are both the same value of the same type? Marks do not count; an unknown is the same as another of its type.
pub fn same(a: &Value, b: &Value) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Null(a), Kind::Null(b)) | (Kind::Unknown(a), Kind::Unknown(b)) => a == b,
        (Kind::Bool(a), Kind::Bool(b)) => a == b,
        (Kind::Number(a), Kind::Number(b)) => a == b,
        (Kind::String(a), Kind::String(b)) => a == b,
        (Kind::List(p, a), Kind::List(q, b)) | (Kind::Set(p, a), Kind::Set(q, b)) => p == q && all_same(a, b),
        (Kind::Tuple(a), Kind::Tuple(b)) => all_same(a, b),
        (Kind::Map(p, a), Kind::Map(q, b)) => p == q && named_same(a, b),
        (Kind::Object(a), Kind::Object(b)) => named_same(a, b),
        _ => false,
    }
}

fn all_same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn named_same(a: &Members, b: &Members) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((a_name, a), (b_name, b))| a_name == b_name && same(a, b))
}

/// `a == b`; `None` when an unknown decides.
pub fn equal(a: &Value, b: &Value) -> Option<bool> {
    match (&a.kind, &b.kind) {
        (Kind::Null(_), Kind::Null(_)) => Some(true),
        _ => todo!(),
    }
}

/// Brings the elements of a set into their iteration order.
pub fn sort_set(element: &Type, elements: &mut [Value]) {
    let _ = element;
    elements.sort_by(order);
}

fn order(_a: &Value, _b: &Value) -> Ordering {
    Ordering::Equal
}
