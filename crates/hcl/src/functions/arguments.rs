//! What the rows of the table are written with: kinds of parameters, readers of arguments, makers of errors.

use std::borrow::Cow;

use super::{Call, FunctionError, Parameter};
use crate::convert;
use crate::number::Number;
use crate::types::Type;
use crate::value::Value;

/// No function makes text longer than this (bytes): a few nested calls would fill the memory otherwise.
pub(super) const LONGEST_TEXT: usize = 32 << 20;
/// No function makes more values than this.
const MOST_VALUES: usize = 1_000_000;

/// A parameter that takes a string.
pub const fn text(name: &'static str) -> Parameter {
    parameter(name, || Type::String)
}

/// A parameter that takes a number.
pub const fn number(name: &'static str) -> Parameter {
    parameter(name, || Type::Number)
}

/// A parameter that takes a value of any type as it is.
pub const fn any(name: &'static str) -> Parameter {
    parameter(name, || Type::Dynamic)
}

/// A parameter that takes a list of strings.
pub(super) const fn texts(name: &'static str) -> Parameter {
    parameter(name, || Type::list(Type::String))
}

/// A parameter that takes a list; elements of mixed types are unified.
pub(super) const fn list(name: &'static str) -> Parameter {
    parameter(name, || Type::list(Type::Dynamic))
}

/// A parameter that takes a set; elements of mixed types are unified.
pub(super) const fn set(name: &'static str) -> Parameter {
    parameter(name, || Type::set(Type::Dynamic))
}

/// A parameter that takes values of a type.
pub(super) const fn parameter(name: &'static str, kind: fn() -> Type) -> Parameter {
    Parameter {
        name,
        kind,
        nullable: false,
    }
}

impl Parameter {
    /// The same parameter, null allowed.
    #[must_use]
    pub const fn or_null(self) -> Parameter {
        Parameter { nullable: true, ..self }
    }
}

impl Call<'_> {
    /// An argument, counted from 0.
    pub fn value(&self, index: usize) -> Result<&Value, FunctionError> {
        self.arguments
            .get(index)
            .ok_or_else(|| failed(format!("argument {index} is missing")))
    }

    /// Pays for work that the arguments do not show.
    pub(super) fn pay(&self, work: u64) -> Result<(), FunctionError> {
        if (self.pay)(work) {
            Ok(())
        } else {
            Err(failed("it would take too much work"))
        }
    }

    /// An argument that is a string.
    pub fn text(&self, index: usize) -> Result<&str, FunctionError> {
        self.value(index)?
            .as_str()
            .ok_or_else(|| wrong(index, "a string is required"))
    }

    /// An argument that is a number.
    pub fn number(&self, index: usize) -> Result<&Number, FunctionError> {
        self.value(index)?
            .as_number()
            .ok_or_else(|| wrong(index, "a number is required"))
    }

    /// An argument that is an integer of at most 64 bits.
    pub fn integer(&self, index: usize) -> Result<i64, FunctionError> {
        let number = self.number(index)?;
        number
            .to_i64()
            .ok_or_else(|| failed(format!("an integer of at most 64 bits is required, not {number}")))
    }

    /// The elements of an argument that is a list, set or tuple.
    pub fn elements(&self, index: usize) -> Result<&[Value], FunctionError> {
        let value = self.value(index)?;
        value.elements().ok_or_else(|| {
            wrong(
                index,
                format!("a list, set or tuple is required, not {}", value.type_of()),
            )
        })
    }
}

/// The type that values of all these types can be converted to. Of empty collections, whose type is not known, nothing depends.
pub(super) fn unified(types: impl IntoIterator<Item = Type>) -> Option<Type> {
    let known: Vec<Type> = types.into_iter().filter(|kind| *kind != Type::Dynamic).collect();
    if known.is_empty() {
        Some(Type::Dynamic)
    } else {
        convert::unify(&known)
    }
}

/// Values of one type each, converted to a type that all of them can be converted to.
pub(super) fn converted(values: &[Value], kind: &Type, index: usize) -> Result<Vec<Value>, FunctionError> {
    values
        .iter()
        .map(|value| convert::convert(value, kind).map_err(|error| wrong(index, error.to_string())))
        .collect()
}

/// The call as a whole failed; the message is a lower-case fragment.
pub fn failed(message: impl Into<String>) -> FunctionError {
    FunctionError::Failed {
        message: message.into(),
    }
}

/// One argument is wrong, counted from 0; the message is a lower-case fragment.
pub fn wrong(index: usize, message: impl Into<String>) -> FunctionError {
    FunctionError::Argument {
        index,
        message: message.into(),
    }
}

/// Stops a function that would make too much text, of that many bytes.
pub(super) fn bounded(length: usize) -> Result<(), FunctionError> {
    if length > LONGEST_TEXT {
        return Err(failed(format!("the result would be longer than {LONGEST_TEXT} bytes")));
    }
    Ok(())
}

/// Stops a function that would make too many values.
pub(super) fn countable(count: usize) -> Result<(), FunctionError> {
    if count > MOST_VALUES {
        return Err(failed(format!("the result would have more than {MOST_VALUES} values")));
    }
    Ok(())
}

/// Text as an error shows it: quoted and short.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: Cow<'_, str> = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    };
    format!("`{short}`")
}
