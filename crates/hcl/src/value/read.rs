//! Reading values.

use super::{Kind, Members, Value};
use crate::marks::Marks;
use crate::number::Number;
use crate::types::{ObjectType, Type};

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// The number.
    pub fn as_number(&self) -> Option<&Number> {
        match &self.kind {
            Kind::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The elements of a list, set or tuple, in iteration order.
    pub fn elements(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of a map or an object.
    pub fn members(&self) -> Option<&Members> {
        match &self.kind {
            Kind::Map(_, members) | Kind::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member of that name of a map or an object, with the marks of the whole.
    pub fn attribute(&self, name: &str) -> Option<Value> {
        self.members()?
            .get(name)
            .map(|member| member.clone().with_marks(self.marks))
    }

    /// Is it absent?
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null(_))
    }

    /// Is it known? Its members may not be.
    pub fn is_known(&self) -> bool {
        !matches!(self.kind, Kind::Unknown(_))
    }

    /// Is it known, and everything in it?
    pub fn is_wholly_known(&self) -> bool {
        match &self.kind {
            Kind::Unknown(_) => false,
            Kind::List(_, elements) | Kind::Tuple(elements) => elements.iter().all(Value::is_wholly_known),
            Kind::Map(_, members) | Kind::Object(members) => members.values().all(Value::is_wholly_known),
            _ => true,
        }
    }

    /// The marks of the value and of everything in it.
    pub fn marks_within(&self) -> Marks {
        match &self.kind {
            Kind::List(_, elements) | Kind::Tuple(elements) => union(self.marks, elements.iter()),
            Kind::Map(_, members) | Kind::Object(members) => union(self.marks, members.values()),
            _ => self.marks,
        }
    }

    /// Its type.
    pub fn type_of(&self) -> Type {
        match &self.kind {
            Kind::Null(kind) | Kind::Unknown(kind) => kind.clone(),
            Kind::Bool(_) => Type::Bool,
            Kind::Number(_) => Type::Number,
            Kind::String(_) => Type::String,
            Kind::List(element, _) => Type::list(element.clone()),
            Kind::Set(element, _) => Type::set(element.clone()),
            Kind::Map(element, _) => Type::map(element.clone()),
            Kind::Tuple(elements) => Type::Tuple(elements.iter().map(Value::type_of).collect()),
            Kind::Object(members) => Type::Object(ObjectType {
                attributes: members
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.type_of()))
                    .collect(),
                ..ObjectType::default()
            }),
        }
    }
}

fn union<'a>(marks: Marks, values: impl Iterator<Item = &'a Value>) -> Marks {
    values.fold(marks, |marks, value| marks.union(value.marks_within()))
}
