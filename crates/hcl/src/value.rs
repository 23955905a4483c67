//! Values: what an expression yields. A value may be null or unknown, each with a type, and carries marks (sensitive) that follow
//! whatever is derived from it. Clones are cheap: text and collections are shared.

mod construct;
pub(crate) mod equality;
mod read;
mod show;

pub use show::quoted;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::marks::Marks;
use crate::number::Number;
use crate::types::Type;

/// A value with its marks. Marks of members stay on the members; [`Value::marks_within`] collects them.
///
/// Make values with the constructors: they keep text normalized, sets distinct and in order.
#[derive(Debug, Clone)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// What is to be known about where it came from.
    pub marks: Marks,
}

/// Members of a map or an object, by name in byte order.
pub type Members = BTreeMap<Arc<str>, Value>;

/// What a value is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Absent, of a type (`Dynamic` for the bare literal).
    Null(Type),
    /// Not known yet, of a type (`Dynamic` when even that is unknown).
    Unknown(Type),
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text in normalization form C.
    String(Arc<str>),
    /// Elements of one type.
    List(Type, Arc<[Value]>),
    /// Distinct values of one type, in iteration order.
    Set(Type, Arc<[Value]>),
    /// Named values of one type.
    Map(Type, Arc<Members>),
    /// Elements, each with its own type.
    Tuple(Arc<[Value]>),
    /// Named values, each with its own type.
    Object(Arc<Members>),
}

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            marks: Marks::NONE,
        }
    }
}

/// Text as the language keeps it: in normalization form C.
pub fn normalized(text: &str) -> Arc<str> {
    use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Arc::from(text);
    }
    Arc::from(text.nfc().collect::<String>())
}
