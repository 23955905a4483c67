//! The type that values of several types have in common.

use std::collections::BTreeMap;

use crate::types::{ObjectType, Type};

/// Can values of one type be converted to another? That a string is not the text of a number shows only with the value.
pub fn convertible(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Dynamic, _)
        | (_, Type::Dynamic)
        | (Type::Bool | Type::Number | Type::String, Type::String)
        | (Type::String, Type::Bool | Type::Number) => true,
        (Type::List(from) | Type::Set(from), Type::List(to) | Type::Set(to)) | (Type::Map(from), Type::Map(to)) => {
            convertible(from, to)
        }
        (Type::Tuple(from), Type::List(to) | Type::Set(to)) => from.iter().all(|from| convertible(from, to)),
        (Type::Tuple(from), Type::Tuple(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(from, to)| convertible(from, to))
        }
        (Type::Object(from), Type::Map(to)) => from.attributes.values().all(|from| convertible(from, to)),
        (Type::Map(from), Type::Object(to)) => to.attributes.values().all(|to| convertible(from, to)),
        (Type::Object(from), Type::Object(to)) => {
            to.attributes
                .iter()
                .all(|(name, kind)| match from.attributes.get(name) {
                    Some(from) => convertible(from, kind),
                    None => to.optional.contains(name),
                })
        }
        _ => from == to,
    }
}

/// The type that values of all these types can be converted to; `None` when there is none. `Dynamic` (the type of a bare null) goes
/// with everything.
///
/// Tuples of one length and objects with the same names keep their shape; otherwise they become lists and maps.
pub fn unify(types: &[Type]) -> Option<Type> {
    let known: Vec<&Type> = types.iter().filter(|kind| **kind != Type::Dynamic).collect();
    let Some((first, rest)) = known.split_first() else {
        return Some(Type::Dynamic);
    };
    if rest.iter().all(|kind| kind == first) {
        return Some((*first).clone());
    }
    if known.iter().all(|kind| kind.is_primitive()) {
        return known.contains(&&Type::String).then_some(Type::String);
    }
    let shape = known.iter().map(|kind| Shape::of(kind)).reduce(Shape::together)?;
    match shape {
        Shape::Tuple => unify_tuples(&known),
        Shape::Object => unify_objects(&known),
        Shape::List => Some(Type::list(unify_elements(&known)?)),
        Shape::Set => Some(Type::set(unify_elements(&known)?)),
        Shape::Map => Some(Type::map(unify_elements(&known)?)),
        Shape::None => None,
    }
}

/// What types have in common besides their elements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Tuple,
    Object,
    List,
    Set,
    Map,
    None,
}

impl Shape {
    fn of(kind: &Type) -> Self {
        match kind {
            Type::Tuple(_) => Shape::Tuple,
            Type::Object(_) => Shape::Object,
            Type::List(_) => Shape::List,
            Type::Set(_) => Shape::Set,
            Type::Map(_) => Shape::Map,
            Type::Dynamic | Type::Bool | Type::Number | Type::String => Shape::None,
        }
    }

    fn together(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Shape::List, Shape::Tuple | Shape::Set) | (Shape::Tuple | Shape::Set, Shape::List) => Shape::List,
            (Shape::Set, Shape::Tuple) | (Shape::Tuple, Shape::Set) => Shape::Set,
            (Shape::Map, Shape::Object) | (Shape::Object, Shape::Map) => Shape::Map,
            _ => Shape::None,
        }
    }
}

fn unify_tuples(tuples: &[&Type]) -> Option<Type> {
    let rows: Vec<&[Type]> = tuples
        .iter()
        .filter_map(|kind| {
            if let Type::Tuple(row) = kind {
                Some(&**row)
            } else {
                None
            }
        })
        .collect();
    let length = rows.first()?.len();
    if rows.iter().any(|row| row.len() != length) {
        return Some(Type::list(unify_elements(tuples)?));
    }
    let column = |index: usize| {
        rows.iter()
            .filter_map(|row| row.get(index).cloned())
            .collect::<Vec<_>>()
    };
    (0..length)
        .map(|index| unify(&column(index)))
        .collect::<Option<Vec<_>>>()
        .map(Type::Tuple)
}

fn unify_objects(objects: &[&Type]) -> Option<Type> {
    let rows: Vec<&BTreeMap<String, Type>> = objects
        .iter()
        .filter_map(|kind| {
            if let Type::Object(row) = kind {
                Some(&row.attributes)
            } else {
                None
            }
        })
        .collect();
    let first = rows.first()?;
    if rows.iter().any(|row| !row.keys().eq(first.keys())) {
        return Some(Type::map(unify_elements(objects)?));
    }
    let column = |name: &String| rows.iter().filter_map(|row| row.get(name).cloned()).collect::<Vec<_>>();
    let attributes = first.keys().map(|name| Some((name.clone(), unify(&column(name))?)));
    Some(Type::Object(ObjectType {
        attributes: attributes.collect::<Option<_>>()?,
        ..ObjectType::default()
    }))
}

/// What all elements of all types have in common.
fn unify_elements(types: &[&Type]) -> Option<Type> {
    let mut elements = Vec::new();
    for kind in types {
        match kind {
            Type::List(element) | Type::Set(element) | Type::Map(element) => elements.push((**element).clone()),
            Type::Tuple(row) => elements.extend(row.iter().cloned()),
            Type::Object(row) => elements.extend(row.attributes.values().cloned()),
            Type::Dynamic | Type::Bool | Type::Number | Type::String => return None,
        }
    }
    unify(&elements)
}
