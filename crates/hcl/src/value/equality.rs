//! Equality and order of values: `==`, and the order in which sets are iterated.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::types::Type;
use crate::value::{Kind, Members, Value};

/// Are both the same value of the same type? Marks do not count; an unknown is the same as another of its type.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
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

/// `a == b`: values of different types are unequal, nulls are equal to each other whatever their types. `None` when that depends on
/// something unknown.
pub(crate) fn equal(a: &Value, b: &Value) -> Option<bool> {
    match (&a.kind, &b.kind) {
        (Kind::Null(_), Kind::Null(_)) => Some(true),
        (Kind::Unknown(_), _) | (_, Kind::Unknown(_)) => None,
        (Kind::List(p, a), Kind::List(q, b)) if p == q => all_equal(a, b),
        (Kind::Tuple(a), Kind::Tuple(b)) => all_equal(a, b),
        (Kind::Map(p, a), Kind::Map(q, b)) if p == q => named_equal(a, b),
        (Kind::Object(a), Kind::Object(b)) => named_equal(a, b),
        _ => Some(same(a, b)),
    }
}

fn all_equal(a: &[Value], b: &[Value]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    all(a.iter().zip(b).map(|(a, b)| equal(a, b)))
}

fn named_equal(a: &Members, b: &Members) -> Option<bool> {
    if !a.keys().eq(b.keys()) {
        return Some(false);
    }
    all(a.values().zip(b.values()).map(|(a, b)| equal(a, b)))
}

/// False when one is false, else unknown when one is unknown.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = false,
        }
    }
    known.then_some(true)
}

/// Brings the elements of a set into their iteration order: text bytewise, numbers by value, false before true, nulls last, anything
/// else by its serialized form.
pub(crate) fn sort_set(element: &Type, elements: &mut [Value]) {
    if element.is_primitive() {
        elements.sort_by(order);
    } else {
        elements.sort_by_cached_key(|value| (value.is_null(), serialized(value)));
    }
}

fn order(a: &Value, b: &Value) -> Ordering {
    match (&a.kind, &b.kind) {
        (Kind::String(a), Kind::String(b)) => a.cmp(b),
        (Kind::Number(a), Kind::Number(b)) => a.cmp(b),
        (Kind::Bool(a), Kind::Bool(b)) => a.cmp(b),
        _ => a.is_null().cmp(&b.is_null()),
    }
}

/// A text that two values share only when they are the same.
fn serialized(value: &Value) -> String {
    let mut out = String::new();
    serialize(value, &mut out);
    out
}

fn serialize(value: &Value, out: &mut String) {
    let mut sequence = |open: char, elements: &[Value], close: char| {
        out.push(open);
        for element in elements {
            serialize(element, out);
            out.push(';');
        }
        out.push(close);
    };
    match &value.kind {
        Kind::Null(_) => out.push('~'),
        Kind::Unknown(_) => out.push('?'),
        Kind::Bool(truth) => out.push(if *truth { 'T' } else { 'F' }),
        Kind::List(_, elements) | Kind::Set(_, elements) => sequence('[', elements, ']'),
        Kind::Tuple(elements) => sequence('<', elements, '>'),
        Kind::Number(number) => push(out, format_args!("{number}")),
        Kind::String(text) => push(out, format_args!("{text:?}")),
        Kind::Map(_, members) | Kind::Object(members) => {
            out.push('{');
            for (name, member) in &**members {
                push(out, format_args!("{name:?}:"));
                serialize(member, out);
                out.push(';');
            }
            out.push('}');
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_looks_at_types_first() {
        let list = |kind: Type| Value::list(kind, Vec::new());
        assert_eq!(equal(&Value::int(1), &Value::string("1")), Some(false));
        assert_eq!(equal(&list(Type::String), &list(Type::Number)), Some(false));
        assert_eq!(equal(&list(Type::String), &Value::tuple(Vec::new())), Some(false));
        assert_eq!(
            equal(&Value::null(Type::String), &Value::null(Type::Dynamic)),
            Some(true)
        );
        assert_eq!(equal(&Value::null(Type::String), &Value::string("")), Some(false));
    }

    #[test]
    fn equality_is_unknown_only_when_the_unknown_decides() {
        let pair = |first: Value| Value::tuple(vec![first, Value::dynamic()]);
        assert_eq!(equal(&pair(Value::int(1)), &pair(Value::int(2))), Some(false));
        assert_eq!(equal(&pair(Value::int(1)), &pair(Value::int(1))), None);
        assert_eq!(equal(&Value::dynamic(), &Value::null(Type::Dynamic)), None);
    }

    #[test]
    fn sets_have_one_order() {
        let show = |kind: Type, elements: Vec<Value>| Value::set(kind, elements).to_string();
        let numbers = vec![Value::int(10), Value::null(Type::Number), Value::int(9), Value::int(10)];
        assert_eq!(show(Type::Number, numbers), "[9, 10, null]");
        let texts = ["10", "9", "2"].map(Value::string).to_vec();
        assert_eq!(show(Type::String, texts), r#"["10", "2", "9"]"#);
        let tuples = vec![
            Value::tuple(vec![Value::string("b")]),
            Value::tuple(vec![Value::string("a")]),
        ];
        assert_eq!(show(Type::Tuple(vec![Type::String]), tuples), r#"[["a"], ["b"]]"#);
    }
}
