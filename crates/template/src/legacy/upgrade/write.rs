//! JSON objects as HCL bodies. What is a block and what an attribute, the component's schema says.

use bakelite_hcl::native::is_identifier;
use bakelite_hcl::syntax::{JsonKind, JsonValue, Name};

use super::text::{Texts, escape};
use crate::schema::{FieldKind, Schema};

/// The lines of a body, options in the order of their names.
pub(super) fn body(properties: &[(Name, JsonValue)], schema: Option<&Schema>, texts: &Texts) -> String {
    let mut sorted: Vec<&(Name, JsonValue)> = properties.iter().collect();
    sorted.sort_by(|a, b| a.0.text.cmp(&b.0.text));
    let mut lines = Vec::new();
    for (name, value) in sorted {
        let kind = schema
            .and_then(|schema| schema.field(&name.text))
            .map(|field| &field.kind);
        match kind {
            Some(FieldKind::Block(inner) | FieldKind::Blocks(inner)) => {
                blocks(&name.text, value, Some(inner), texts, &mut lines);
            }
            None if is_structure(value) => blocks(&name.text, value, None, texts, &mut lines),
            _ => lines.push(format!("{} = {}", name.text, expression(value, texts))),
        }
    }
    lines.join("\n")
}

/// Without a schema: objects are blocks unless all their members are texts, which looks like a map of tags.
fn is_structure(value: &JsonValue) -> bool {
    match &value.kind {
        JsonKind::Object(members) => !members
            .iter()
            .all(|(_, member)| matches!(member.kind, JsonKind::String(_))),
        JsonKind::Array(all) => !all.is_empty() && all.iter().all(|one| matches!(one.kind, JsonKind::Object(_))),
        _ => false,
    }
}

fn blocks(name: &str, value: &JsonValue, schema: Option<&Schema>, texts: &Texts, lines: &mut Vec<String>) {
    match &value.kind {
        JsonKind::Array(all) => all.iter().for_each(|one| blocks(name, one, schema, texts, lines)),
        JsonKind::Object(properties) => {
            lines.push(format!("{name} {{"));
            lines.push(body(properties, schema, texts));
            lines.push("}".to_owned());
        }
        _ => lines.push(format!("{name} = {}", expression(value, texts))),
    }
}

fn expression(value: &JsonValue, texts: &Texts) -> String {
    match &value.kind {
        JsonKind::Null => "null".to_owned(),
        JsonKind::Bool(truth) => truth.to_string(),
        JsonKind::Number(text) => text.clone(),
        JsonKind::String(text) => texts.expression(text),
        JsonKind::Array(all) => {
            let all: Vec<String> = all.iter().map(|one| expression(one, texts)).collect();
            format!("[{}]", all.join(", "))
        }
        JsonKind::Object(members) if members.is_empty() => "{}".to_owned(),
        JsonKind::Object(members) => {
            let mut sorted: Vec<&(Name, JsonValue)> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.text.cmp(&b.0.text));
            let mut lines = vec!["{".to_owned()];
            for (name, member) in sorted {
                let key = if is_identifier(&name.text) {
                    name.text.clone()
                } else {
                    texts.expression(&name.text)
                };
                lines.push(format!("{key} = {}", expression(member, texts)));
            }
            lines.push("}".to_owned());
            lines.join("\n")
        }
    }
}

/// A text in quotes, nothing in it taken for a template.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", escape(text))
}
