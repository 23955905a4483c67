//! Values inside of `{{ }}`: what Go's text/template has as interface values.

use std::collections::BTreeMap;

use crate::show::general;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GoValue {
    /// Nothing; prints as `<no value>`.
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<GoValue>),
    Map(BTreeMap<String, GoValue>),
}

impl GoValue {
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => GoValue::Nothing,
            serde_json::Value::Bool(truth) => GoValue::Bool(*truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => GoValue::Int(whole),
                None => GoValue::Float(number.as_f64().unwrap_or(0.0)),
            },
            serde_json::Value::String(text) => GoValue::Text(text.clone()),
            serde_json::Value::Array(elements) => GoValue::List(elements.iter().map(GoValue::from_json).collect()),
            serde_json::Value::Object(members) => GoValue::Map(
                members
                    .iter()
                    .map(|(name, member)| (name.clone(), GoValue::from_json(member)))
                    .collect(),
            ),
        }
    }

    /// What `if` takes for true: anything but nothing, zero and empty.
    pub(crate) fn truth(&self) -> bool {
        match self {
            GoValue::Nothing => false,
            GoValue::Bool(truth) => *truth,
            GoValue::Int(number) => *number != 0,
            GoValue::Float(number) => *number != 0.0,
            GoValue::Text(text) => !text.is_empty(),
            GoValue::List(elements) => !elements.is_empty(),
            GoValue::Map(members) => !members.is_empty(),
        }
    }

    /// As `%v` prints it.
    pub(crate) fn print(&self) -> String {
        match self {
            GoValue::Nothing => "<no value>".to_owned(),
            GoValue::Bool(truth) => truth.to_string(),
            GoValue::Int(number) => number.to_string(),
            GoValue::Float(number) => general(*number),
            GoValue::Text(text) => text.clone(),
            GoValue::List(elements) => {
                let all: Vec<String> = elements.iter().map(GoValue::print_inner).collect();
                format!("[{}]", all.join(" "))
            }
            GoValue::Map(members) => {
                let all: Vec<String> = members
                    .iter()
                    .map(|(name, member)| format!("{name}:{}", member.print_inner()))
                    .collect();
                format!("map[{}]", all.join(" "))
            }
        }
    }

    fn print_inner(&self) -> String {
        if *self == GoValue::Nothing {
            "<nil>".to_owned()
        } else {
            self.print()
        }
    }

    /// The memory that it takes, roughly, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            GoValue::Text(text) => text.len(),
            GoValue::List(elements) => elements.iter().map(|element| 16 + element.size()).sum(),
            GoValue::Map(members) => members
                .iter()
                .map(|(name, member)| 16 + name.len() + member.size())
                .sum(),
            _ => 0,
        }
    }

    /// Go's name for its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            GoValue::Nothing => "<nil>",
            GoValue::Bool(_) => "bool",
            GoValue::Int(_) => "int",
            GoValue::Float(_) => "float64",
            GoValue::Text(_) => "string",
            GoValue::List(_) => "[]interface {}",
            GoValue::Map(_) => "map[string]interface {}",
        }
    }
}

impl From<String> for GoValue {
    fn from(text: String) -> Self {
        GoValue::Text(text)
    }
}

impl From<&str> for GoValue {
    fn from(text: &str) -> Self {
        GoValue::Text(text.to_owned())
    }
}
