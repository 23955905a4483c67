//! Values inside of `{{ }}`: what Go's text/template has as interface values.

use std::collections::BTreeMap;

use crate::show::general;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum {
    /// Nothing; prints as `<no value>`.
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Datum>),
    Map(BTreeMap<String, Datum>),
}

impl Datum {
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Datum::Nothing,
            serde_json::Value::Bool(truth) => Datum::Bool(*truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Datum::Int(whole),
                None => Datum::Float(number.as_f64().unwrap_or(0.0)),
            },
            serde_json::Value::String(text) => Datum::Text(text.clone()),
            serde_json::Value::Array(elements) => Datum::List(elements.iter().map(Datum::from_json).collect()),
            serde_json::Value::Object(members) => Datum::Map(
                members
                    .iter()
                    .map(|(name, member)| (name.clone(), Datum::from_json(member)))
                    .collect(),
            ),
        }
    }

    /// What `if` takes for true: anything but nothing, zero and empty.
    pub(crate) fn truth(&self) -> bool {
        match self {
            Datum::Nothing => false,
            Datum::Bool(truth) => *truth,
            Datum::Int(number) => *number != 0,
            Datum::Float(number) => *number != 0.0,
            Datum::Text(text) => !text.is_empty(),
            Datum::List(elements) => !elements.is_empty(),
            Datum::Map(members) => !members.is_empty(),
        }
    }

    /// As `%v` prints it.
    pub(crate) fn print(&self) -> String {
        match self {
            Datum::Nothing => "<no value>".to_owned(),
            Datum::Bool(truth) => truth.to_string(),
            Datum::Int(number) => number.to_string(),
            Datum::Float(number) => general(*number),
            Datum::Text(text) => text.clone(),
            Datum::List(elements) => {
                let all: Vec<String> = elements.iter().map(Datum::print_inner).collect();
                format!("[{}]", all.join(" "))
            }
            Datum::Map(members) => {
                let all: Vec<String> = members
                    .iter()
                    .map(|(name, member)| format!("{name}:{}", member.print_inner()))
                    .collect();
                format!("map[{}]", all.join(" "))
            }
        }
    }

    fn print_inner(&self) -> String {
        if *self == Datum::Nothing {
            "<nil>".to_owned()
        } else {
            self.print()
        }
    }

    /// The memory that it takes, roughly, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Datum::Text(text) => text.len(),
            Datum::List(elements) => elements.iter().map(|element| 16 + element.size()).sum(),
            Datum::Map(members) => members
                .iter()
                .map(|(name, member)| 16 + name.len() + member.size())
                .sum(),
            _ => 0,
        }
    }

    /// Go's name for its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Datum::Nothing => "<nil>",
            Datum::Bool(_) => "bool",
            Datum::Int(_) => "int",
            Datum::Float(_) => "float64",
            Datum::Text(_) => "string",
            Datum::List(_) => "[]interface {}",
            Datum::Map(_) => "map[string]interface {}",
        }
    }
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Datum::Text(text)
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Datum::Text(text.to_owned())
    }
}
