//! Making values.

use std::sync::Arc;

use super::equality;
use super::{Kind, Members, Value, normalized};
use crate::marks::Marks;
use crate::number::Number;
use crate::types::Type;

impl Value {
    /// Text, brought into normalization form C.
    pub fn string(text: impl AsRef<str>) -> Value {
        Kind::String(normalized(text.as_ref())).into()
    }

    /// A number.
    pub fn number(number: impl Into<Number>) -> Value {
        Kind::Number(number.into()).into()
    }

    /// An integer.
    pub fn int(number: i64) -> Value {
        Value::number(number)
    }

    /// True or false.
    pub fn bool(truth: bool) -> Value {
        Kind::Bool(truth).into()
    }

    /// Absent, of a type.
    pub fn null(kind: Type) -> Value {
        Kind::Null(kind).into()
    }

    /// Not known yet, of a type.
    pub fn unknown(kind: Type) -> Value {
        Kind::Unknown(kind).into()
    }

    /// Not known yet, nor is its type.
    pub fn dynamic() -> Value {
        Value::unknown(Type::Dynamic)
    }

    /// Elements which are of that type already.
    pub fn list(element: Type, elements: Vec<Value>) -> Value {
        Kind::List(element, elements.into()).into()
    }

    /// Elements which are of that type already; equal ones become one, and they are brought into the iteration order. Marks of
    /// elements move to the set; a set with an unknown element is itself unknown, because it may turn out equal to another.
    pub fn set(element: Type, elements: Vec<Value>) -> Value {
        let marks = elements.iter().map(Value::marks_within).collect::<Marks>();
        if !elements.iter().all(Value::is_wholly_known) {
            return Value::unknown(Type::set(element)).with_marks(marks);
        }
        let mut elements = if marks.is_empty() {
            elements
        } else {
            elements.iter().map(Value::without_marks).collect()
        };
        equality::sort_set(&element, &mut elements);
        elements.dedup_by(|later, earlier| equality::same(later, earlier));
        Value::from(Kind::Set(element, elements.into())).with_marks(marks)
    }

    /// Named values which are of that type already; of a repeated name the last counts.
    pub fn map<N: AsRef<str>>(element: Type, members: impl IntoIterator<Item = (N, Value)>) -> Value {
        Kind::Map(element, Arc::new(named(members))).into()
    }

    /// Elements, each of its own type.
    pub fn tuple(elements: Vec<Value>) -> Value {
        Kind::Tuple(elements.into()).into()
    }

    /// Named values, each of its own type; of a repeated name the last counts.
    pub fn object<N: AsRef<str>>(members: impl IntoIterator<Item = (N, Value)>) -> Value {
        Kind::Object(Arc::new(named(members))).into()
    }

    /// The same value with more marks.
    #[must_use]
    pub fn with_marks(mut self, marks: Marks) -> Value {
        self.marks = self.marks.union(marks);
        self
    }

    /// The same value without its own marks; those of its members stay.
    #[must_use]
    pub fn without_own_marks(&self) -> Value {
        Value {
            kind: self.kind.clone(),
            marks: Marks::NONE,
        }
    }

    /// The same value and everything in it without marks.
    #[must_use]
    pub fn without_marks(&self) -> Value {
        if self.marks_within().is_empty() {
            return self.clone();
        }
        let strip_all = |elements: &[Value]| elements.iter().map(Value::without_marks).collect::<Vec<_>>().into();
        let strip_named = |members: &Members| {
            Arc::new(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), value.without_marks()))
                    .collect(),
            )
        };
        match &self.kind {
            Kind::List(element, elements) => Kind::List(element.clone(), strip_all(elements)),
            Kind::Set(element, elements) => Kind::Set(element.clone(), strip_all(elements)),
            Kind::Tuple(elements) => Kind::Tuple(strip_all(elements)),
            Kind::Map(element, members) => Kind::Map(element.clone(), strip_named(members)),
            Kind::Object(members) => Kind::Object(strip_named(members)),
            plain => plain.clone(),
        }
        .into()
    }
}

fn named<N: AsRef<str>>(members: impl IntoIterator<Item = (N, Value)>) -> Members {
    members
        .into_iter()
        .map(|(name, value)| (normalized(name.as_ref()), value))
        .collect()
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::string(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::int(number)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Value::number(number)
    }
}
