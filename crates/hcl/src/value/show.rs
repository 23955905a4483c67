//! Values as text for people who debug or read an error. How `console` prints them is not decided here.

use std::fmt;

use super::{Kind, Value};

impl fmt::Display for Value {
    /// In the notation of templates; sensitive values are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.marks.is_sensitive() {
            return f.write_str("(sensitive)");
        }
        match &self.kind {
            Kind::Null(_) => f.write_str("null"),
            Kind::Unknown(_) => f.write_str("(not known yet)"),
            Kind::Bool(truth) => write!(f, "{truth}"),
            Kind::Number(number) => write!(f, "{number}"),
            Kind::String(text) => write!(f, "{text:?}"),
            Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
                f.write_str("[")?;
                for (at, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Kind::Map(_, members) | Kind::Object(members) => {
                f.write_str("{")?;
                for (at, (name, member)) in members.iter().enumerate() {
                    write!(f, "{}{name:?} = {member}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}
