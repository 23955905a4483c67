//! The types of the language: primitives, collections of one element type, structures with a type for each member.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A type. `Dynamic` stands for "any": in a constraint everything fits, in a value its type is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// Any type, or one not known yet.
    Dynamic,
    /// `true` or `false`.
    Bool,
    /// An arbitrary-precision number.
    Number,
    /// Unicode text, in normalization form C.
    String,
    /// A sequence whose elements have one type.
    List(Box<Type>),
    /// Distinct values of one type, iterated in a fixed order.
    Set(Box<Type>),
    /// Named values of one type.
    Map(Box<Type>),
    /// A sequence with a type for each element.
    Tuple(Vec<Type>),
    /// Named values with a type for each.
    Object(ObjectType),
}

/// The attributes of an object type. Optional ones occur in constraints only: a value's type has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ObjectType {
    /// Type by attribute name.
    pub attributes: BTreeMap<String, Type>,
    /// Names of `attributes` that may be missing.
    pub optional: BTreeSet<String>,
}

impl Type {
    /// A list of this element type.
    pub fn list(element: Type) -> Type {
        Type::List(Box::new(element))
    }

    /// A set of this element type.
    pub fn set(element: Type) -> Type {
        Type::Set(Box::new(element))
    }

    /// A map of this element type.
    pub fn map(element: Type) -> Type {
        Type::Map(Box::new(element))
    }

    /// An object whose attributes are all required.
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Type)>) -> Type {
        let attributes = attributes.into_iter().map(|(name, kind)| (name.into(), kind)).collect();
        Type::Object(ObjectType {
            attributes,
            optional: BTreeSet::new(),
        })
    }

    /// Is there a `Dynamic` in it?
    pub fn has_dynamic(&self) -> bool {
        match self {
            Type::Dynamic => true,
            Type::Bool | Type::Number | Type::String => false,
            Type::List(element) | Type::Set(element) | Type::Map(element) => element.has_dynamic(),
            Type::Tuple(elements) => elements.iter().any(Type::has_dynamic),
            Type::Object(object) => object.attributes.values().any(Type::has_dynamic),
        }
    }

    /// The type that values of this constraint have: all attributes are there.
    #[must_use]
    pub fn without_optional(&self) -> Type {
        match self {
            Type::Dynamic | Type::Bool | Type::Number | Type::String => self.clone(),
            Type::List(element) => Type::list(element.without_optional()),
            Type::Set(element) => Type::set(element.without_optional()),
            Type::Map(element) => Type::map(element.without_optional()),
            Type::Tuple(elements) => Type::Tuple(elements.iter().map(Type::without_optional).collect()),
            Type::Object(object) => Type::object(
                object
                    .attributes
                    .iter()
                    .map(|(name, kind)| (name, kind.without_optional())),
            ),
        }
    }

    /// True for bool, number and string.
    pub fn is_primitive(&self) -> bool {
        matches!(self, Type::Bool | Type::Number | Type::String)
    }
}

impl fmt::Display for Type {
    /// As people say it: `string`, `list of number`, `list` (of anything), `tuple`, `object`; `dynamic` for any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dynamic => f.write_str("dynamic"),
            Type::Bool => f.write_str("bool"),
            Type::Number => f.write_str("number"),
            Type::String => f.write_str("string"),
            Type::List(element) => write_collection(f, "list", element),
            Type::Set(element) => write_collection(f, "set", element),
            Type::Map(element) => write_collection(f, "map", element),
            Type::Tuple(_) => f.write_str("tuple"),
            Type::Object(_) => f.write_str("object"),
        }
    }
}

fn write_collection(f: &mut fmt::Formatter<'_>, name: &str, element: &Type) -> fmt::Result {
    match element {
        Type::Dynamic => f.write_str(name),
        _ => write!(f, "{name} of {element}"),
    }
}
