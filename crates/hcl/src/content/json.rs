//! JSON bodies by a schema: the properties of an object become attributes and blocks.

use super::{BodySchema, Content, set_twice};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::json;
use crate::source::Place;
use crate::syntax::{Attribute, Block, JsonBody, JsonKind, JsonValue, Name};

type Property = (Name, JsonValue);

/// What the schema names, and the other properties.
pub(super) fn split<'b>(
    body: &'b JsonBody,
    schema: &BodySchema<'_>,
    diagnostics: &mut Diagnostics,
) -> (Content, Vec<&'b Property>) {
    let mut content = Content::default();
    let mut rest = Vec::new();
    for property in &body.properties {
        let (name, value) = property;
        if schema.has_attribute(&name.text) {
            keep(&mut content.attributes, name, value, diagnostics);
        } else if let Some(labels) = schema.labels(&name.text) {
            let mut reader = Blocks {
                kind: name,
                found: &mut content.blocks,
                diagnostics,
            };
            reader.read(value, labels, &mut Vec::new());
        } else {
            rest.push(property);
        }
    }
    schema.complain_about_missing(&content.attributes, end(body), diagnostics);
    (content, rest)
}

/// Complains about properties that the schema does not name.
pub(super) fn complain_about(properties: Vec<&Property>, schema: &BodySchema<'_>, diagnostics: &mut Diagnostics) {
    for (name, _) in properties {
        let near = if schema.attributes.is_empty() {
            schema.unknown_block(name, name.place)
        } else {
            schema.unknown_attribute(name)
        };
        let complaint =
            Diagnostic::error(name.place, format!("there is no property `{}` here", name.text)).help(near.help);
        diagnostics.push(complaint);
    }
}

/// All properties as attributes.
pub(super) fn attributes(body: &JsonBody, diagnostics: &mut Diagnostics) -> Vec<Attribute> {
    let mut seen = std::collections::HashMap::new();
    let mut found = Vec::with_capacity(body.properties.len());
    for (name, value) in &body.properties {
        match seen.insert(name.text.as_str(), name.place) {
            Some(first) => diagnostics.push(set_twice(name, first)),
            None => found.push(attribute(name, value)),
        }
    }
    found
}

/// The closing brace of a body.
fn end(body: &JsonBody) -> Place {
    let at = body.place.end.saturating_sub(1).max(body.place.start);
    Place {
        start: at,
        end: at,
        ..body.place
    }
}

fn keep(found: &mut Vec<Attribute>, name: &Name, value: &JsonValue, diagnostics: &mut Diagnostics) {
    match found.iter().find(|before| before.name.text == name.text) {
        Some(first) => diagnostics.push(set_twice(name, first.name.place)),
        None => found.push(attribute(name, value)),
    }
}

fn attribute(name: &Name, value: &JsonValue) -> Attribute {
    Attribute {
        name: name.clone(),
        expression: json::expression(value),
        place: name.place.to(value.place),
    }
}

/// The blocks of one property: labels are the names of nested objects, and an array stands for several of what it is an array of.
struct Blocks<'a> {
    kind: &'a Name,
    found: &'a mut Vec<Block>,
    diagnostics: &'a mut Diagnostics,
}

impl Blocks<'_> {
    /// A value in which the labels `missing` are still to come. (As deep as the labels are many, and arrays nest once each.)
    fn read(&mut self, value: &JsonValue, missing: &[&str], labels: &mut Vec<Name>) {
        match &value.kind {
            JsonKind::Null => {}
            JsonKind::Array(elements) => {
                for element in elements {
                    match &element.kind {
                        JsonKind::Object(properties) => self.object(element, properties, missing, labels),
                        JsonKind::Null => {}
                        _ => self.not_an_object(element, missing),
                    }
                }
            }
            JsonKind::Object(properties) => self.object(value, properties, missing, labels),
            _ => self.not_an_object(value, missing),
        }
    }

    fn object(&mut self, value: &JsonValue, properties: &[Property], missing: &[&str], labels: &mut Vec<Name>) {
        let Some((_, rest)) = missing.split_first() else {
            let last = labels.last().unwrap_or(self.kind);
            let place = if last.place.start < self.kind.place.start {
                self.kind.place
            } else {
                self.kind.place.to(last.place)
            };
            let body = json::body(value.clone(), self.diagnostics);
            return self.found.push(Block {
                kind: self.kind.clone(),
                labels: labels.clone(),
                body,
                place,
            });
        };
        let named = properties.iter().filter(|(name, _)| name.text != "//");
        let mut any = false;
        for (name, inner) in named {
            any = true;
            labels.push(name.clone());
            self.read(inner, rest, labels);
            labels.pop();
        }
        if !any {
            self.missing_label(value, missing);
        }
    }

    fn missing_label(&mut self, value: &JsonValue, missing: &[&str]) {
        let what = missing.first().copied().unwrap_or("label");
        let kind = &self.kind.text;
        self.diagnostics.push(
            Diagnostic::error(value.place, format!("the block `{kind}` has no {what}")).detail(format!(
                "The {what} of a block `{kind}` is the name of a property of this object."
            )),
        );
    }

    fn not_an_object(&mut self, value: &JsonValue, missing: &[&str]) {
        let what = match missing.first() {
            Some(label) => format!("Its property names are the {label} of the block `{}`.", self.kind.text),
            None => format!("It is the content of a block `{}`.", self.kind.text),
        };
        let complaint = json::not_an_object(value.place, &value.kind);
        let detail = format!("{} {what}", complaint.detail);
        self.diagnostics.push(complaint.detail(detail));
    }
}
