//! What a template declares a value to be: a type, and the defaults of its optional attributes.

use std::collections::BTreeMap;

use super::Type;
use crate::convert::{ConvertError, convert};
use crate::value::{Kind, Value};

/// A declared type with the defaults of optional attributes.
#[derive(Debug, Clone)]
pub struct Constraint {
    /// The type.
    pub kind: Type,
    /// The defaults of optional attributes, where there are any.
    pub defaults: Defaults,
}

impl Constraint {
    /// Anything.
    pub fn any() -> Self {
        Type::Dynamic.into()
    }

    /// The value with defaults filled in, converted to the type.
    pub fn apply(&self, value: &Value) -> Result<Value, ConvertError> {
        convert(&self.defaults.fill(value), &self.kind)
    }
}

impl From<Type> for Constraint {
    fn from(kind: Type) -> Self {
        Self {
            kind,
            defaults: Defaults::None,
        }
    }
}

/// Defaults of optional attributes, in the shape of the type that they belong to.
#[derive(Debug, Clone, Default)]
pub enum Defaults {
    /// There are none, here or below.
    #[default]
    None,
    /// Those of every element of a list, set or map.
    Elements(Box<Defaults>),
    /// Those of the elements of a tuple.
    Tuple(Vec<Defaults>),
    /// Those of an object: values by attribute, and what is below the attributes.
    Object {
        /// The default of each attribute that has one.
        values: BTreeMap<String, Value>,
        /// The defaults within each attribute that has some.
        within: BTreeMap<String, Defaults>,
    },
}

impl Defaults {
    /// Are there none, here or below?
    pub fn is_none(&self) -> bool {
        matches!(self, Defaults::None)
    }

    /// The value with every missing attribute that has a default filled in. What does not have the expected shape stays as it is:
    /// the conversion complains about it.
    pub fn fill(&self, value: &Value) -> Value {
        let kind = match (self, &value.kind) {
            (Defaults::Elements(each), Kind::Tuple(elements) | Kind::List(_, elements) | Kind::Set(_, elements)) => {
                Kind::Tuple(elements.iter().map(|element| each.fill(element)).collect())
            }
            (Defaults::Elements(each), Kind::Object(members) | Kind::Map(_, members)) => {
                let filled = members.iter().map(|(name, member)| (name.clone(), each.fill(member)));
                Kind::Object(std::sync::Arc::new(filled.collect()))
            }
            (Defaults::Tuple(each), Kind::Tuple(elements) | Kind::List(_, elements))
                if each.len() == elements.len() =>
            {
                Kind::Tuple(
                    each.iter()
                        .zip(elements.iter())
                        .map(|(each, element)| each.fill(element))
                        .collect(),
                )
            }
            (Defaults::Object { values, within }, Kind::Object(members) | Kind::Map(_, members)) => {
                let mut filled = (**members).clone();
                for (name, default) in values {
                    let absent = filled.get(name.as_str()).is_none_or(Value::is_null);
                    if absent {
                        filled.insert(name.as_str().into(), default.clone());
                    }
                }
                for (name, below) in within {
                    if let Some(member) = filled.get_mut(name.as_str()) {
                        *member = below.fill(member);
                    }
                }
                Kind::Object(std::sync::Arc::new(filled))
            }
            _ => return value.clone(),
        };
        Value {
            kind,
            marks: value.marks,
        }
    }
}
