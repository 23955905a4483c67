//! Conversions of values, and unification of types. A string converts to a number or bool when it spells one, numbers and bools
//! convert to strings, sequences to each other, and so do maps and objects; nothing else does.

mod unify;

use std::fmt;
use std::sync::Arc;

use crate::number::Number;
use crate::types::{ObjectType, Type};
use crate::value::{Kind, Members, Value};

pub use unify::{convertible, unify};

/// One step from a value to a value in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The element at an index, from 0.
    Index(usize),
    /// The element of a map.
    Key(String),
    /// The attribute of an object.
    Attribute(String),
}

/// Why a value is not of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConvertError {
    /// The way to the part of the value which is at fault; empty when it is the whole.
    pub path: Vec<PathStep>,
    /// What is wrong there: a lower-case fragment.
    pub message: String,
}

impl ConvertError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
        }
    }

    fn required(kind: &Type) -> Self {
        let article = if matches!(kind, Type::Object(_)) { "an" } else { "a" };
        Self::new(format!("{article} {kind} is required"))
    }

    /// The same error, seen from the value around it.
    fn within(mut self, step: PathStep) -> Self {
        self.path.insert(0, step);
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.path.iter().enumerate() {
            let end = if at + 1 == self.path.len() { ": " } else { ", " };
            match step {
                PathStep::Index(index) => write!(f, "element {index}{end}")?,
                PathStep::Key(key) => write!(f, "element `{key}`{end}")?,
                PathStep::Attribute(name) => write!(f, "attribute `{name}`{end}")?,
            }
        }
        f.write_str(&self.message)
    }
}

/// The value as one of that type, marks kept. `Dynamic` as the type of elements stands for whatever type all of them have in common;
/// anywhere else it takes what is there.
pub fn convert(value: &Value, kind: &Type) -> Result<Value, ConvertError> {
    let converted = match (&value.kind, kind) {
        (_, Type::Dynamic) => return Ok(value.clone()),
        (Kind::Null(_), _) => Kind::Null(kind.without_optional()).into(),
        (Kind::Unknown(from), _) if convertible(from, kind) => Kind::Unknown(settled(from, kind)).into(),
        (Kind::Bool(_), Type::Bool) | (Kind::Number(_), Type::Number) | (Kind::String(_), Type::String) => {
            return Ok(value.clone());
        }
        (Kind::Bool(truth), Type::String) => Value::string(if *truth { "true" } else { "false" }),
        (Kind::Number(number), Type::String) => Value::string(number.to_string()),
        (Kind::String(text), Type::Number) => to_number(text)?,
        (Kind::String(text), Type::Bool) => to_bool(text)?,
        (Kind::List(from, _), Type::List(to))
        | (Kind::Set(from, _), Type::Set(to))
        | (Kind::Map(from, _), Type::Map(to))
            if from == &**to || **to == Type::Dynamic =>
        {
            return Ok(value.clone());
        }
        (Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements), Type::List(to)) => {
            let (element, elements) = to_elements(elements, to)?;
            Value::list(element, elements)
        }
        (Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements), Type::Set(to)) => {
            let (element, elements) = to_elements(elements, to)?;
            Value::set(element, elements)
        }
        (Kind::Map(_, members) | Kind::Object(members), Type::Map(to)) => to_map(members, to)?,
        (Kind::Map(_, members) | Kind::Object(members), Type::Object(to)) => to_object(members, to)?,
        (Kind::Tuple(elements), Type::Tuple(to)) => to_tuple(elements, to)?,
        _ => return Err(ConvertError::required(kind)),
    };
    Ok(converted.with_marks(value.marks))
}

/// The type that an unknown value of one type has after its conversion to another.
fn settled(from: &Type, to: &Type) -> Type {
    match to {
        Type::List(element) | Type::Set(element) | Type::Map(element) if element.has_dynamic() => Type::Dynamic,
        Type::Tuple(_) | Type::Object(_) if to.has_dynamic() => Type::Dynamic,
        Type::Dynamic => from.clone(),
        _ => to.without_optional(),
    }
}

fn to_number(text: &str) -> Result<Value, ConvertError> {
    let number = Number::from_text(text).ok_or_else(|| ConvertError::required(&Type::Number))?;
    Ok(Value::number(number))
}

fn to_bool(text: &str) -> Result<Value, ConvertError> {
    match text {
        "true" | "1" => Ok(Value::bool(true)),
        "false" | "0" => Ok(Value::bool(false)),
        _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => {
            Err(ConvertError::new(format!(
                "a bool is required, and it is written in lower case: `{}`",
                text.to_lowercase()
            )))
        }
        _ => Err(ConvertError::required(&Type::Bool)),
    }
}

/// The elements as ones of a type, which becomes the type they have in common where it says `Dynamic`.
fn to_elements(elements: &[Value], to: &Type) -> Result<(Type, Vec<Value>), ConvertError> {
    let step = |index: usize| PathStep::Index(index);
    let converted = all_to(elements.iter(), to, step)?;
    if !to.has_dynamic() {
        return Ok((to.without_optional(), converted));
    }
    let common = common_type(converted.iter(), "list or set")?;
    let converted = all_to(converted.iter(), &common, step)?;
    Ok((common, converted))
}

fn to_map(members: &Members, to: &Type) -> Result<Value, ConvertError> {
    let names: Vec<&Arc<str>> = members.keys().collect();
    let step = |index: usize| PathStep::Key(names.get(index).map(ToString::to_string).unwrap_or_default());
    let mut element = to.without_optional();
    let mut converted = all_to(members.values(), to, step)?;
    if to.has_dynamic() {
        element = common_type(converted.iter(), "map")?;
        converted = all_to(converted.iter(), &element, step)?;
    }
    let members = names.iter().map(|name| Arc::clone(name)).zip(converted).collect();
    Ok(Kind::Map(element, Arc::new(members)).into())
}

fn all_to<'a>(
    values: impl Iterator<Item = &'a Value>,
    to: &Type,
    step: impl Fn(usize) -> PathStep,
) -> Result<Vec<Value>, ConvertError> {
    values
        .enumerate()
        .map(|(index, value)| convert(value, to).map_err(|error| error.within(step(index))))
        .collect()
}

/// The one type that all values can have. `Dynamic` when there are none.
fn common_type<'a>(values: impl Iterator<Item = &'a Value>, whole: &str) -> Result<Type, ConvertError> {
    let types: Vec<Type> = values.map(Value::type_of).collect();
    unify(&types).ok_or_else(|| ConvertError::new(format!("all elements of a {whole} must have the same type")))
}

fn to_object(members: &Members, to: &ObjectType) -> Result<Value, ConvertError> {
    let mut converted = Members::new();
    for (name, kind) in &to.attributes {
        let value = match members.get(name.as_str()) {
            Some(member) => convert(member, kind).map_err(|error| error.within(PathStep::Attribute(name.clone())))?,
            None if to.optional.contains(name) => Value::null(kind.without_optional()),
            None => return Err(ConvertError::new(format!("attribute `{name}` is required"))),
        };
        converted.insert(name.as_str().into(), value);
    }
    Ok(Kind::Object(Arc::new(converted)).into())
}

fn to_tuple(elements: &[Value], to: &[Type]) -> Result<Value, ConvertError> {
    if elements.len() != to.len() {
        let (wanted, given) = (to.len(), elements.len());
        return Err(ConvertError::new(format!(
            "a tuple of {wanted} elements is required, this one has {given}"
        )));
    }
    let pairs = elements.iter().zip(to).enumerate();
    let converted: Result<Vec<Value>, _> = pairs
        .map(|(index, (value, kind))| convert(value, kind).map_err(|error| error.within(PathStep::Index(index))))
        .collect();
    Ok(Value::tuple(converted?))
}

#[cfg(test)]
mod tests;
