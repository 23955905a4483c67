//! Conversions and unification of types.

use std::fmt;

use crate::types::Type;
use crate::value::Value;

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

/// The value as one of that type. `Dynamic` anywhere in the type takes what is there.
pub fn convert(value: &Value, kind: &Type) -> Result<Value, ConvertError> {
    let _ = (value, kind);
    todo!()
}

/// The type that values of all these types can be converted to; `None` when there is none.
pub fn unify(types: &[Type]) -> Option<Type> {
    let _ = types;
    todo!()
}
