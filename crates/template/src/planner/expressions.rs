//! A step's options as data: the text of their expressions and what they refer to. Two plans are compared by it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::evaluate::{Reference, references};
use bakelite_hcl::syntax::{Attribute, Body, Item, JsonValue, Name};
use bakelite_hcl::value::Value;
use regex::Regex;

use super::context::BakeContext;
use crate::builds::{Written, WrittenContent};
use crate::location::Location;
use crate::plan::Expressions;
use crate::scope::Iterations;
use crate::secrets::Secrets;
use crate::show::display_with;

#[expect(clippy::unwrap_used, reason = "the expression is a constant that a test reads")]
static LEGACY_REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\b(build|user)\s+[`"]([^`"]*)[`"]"#).unwrap());

/// Options as they are written, with these secrets masked; `overrides` are values in place of those that are written.
pub(super) fn of(bake: &BakeContext, written: &Written, overrides: Option<&Value>, secrets: &Secrets) -> Expressions {
    let mut found = Expressions {
        location: Location::of(written.place, &bake.sources).map(|location| location.masked(secrets)),
        ..Expressions::default()
    };
    let reader = Reader { bake, secrets };
    match &written.content {
        WrittenContent::Hcl(bodies) => {
            for (body, iterations) in bodies.iter() {
                reader.of_body(body, "", iterations, &mut found);
            }
        }
        WrittenContent::Legacy(properties) => reader.of_properties(properties, &mut found),
    }
    if let Some(overrides) = overrides {
        found.written.insert("override".to_owned(), reader.shown(overrides));
    }
    found
}

struct Reader<'a> {
    bake: &'a BakeContext,
    secrets: &'a Secrets,
}

impl Reader<'_> {
    fn of_body(&self, body: &Body, path: &str, iterations: &Iterations, found: &mut Expressions) {
        let Body::Native(native) = body else {
            let mut ignored = Diagnostics::default();
            let attributes = body.attributes(&mut ignored);
            for attribute in &attributes {
                self.of_attribute(attribute, path, iterations, found);
            }
            return;
        };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for item in &native.items {
            match item {
                Item::Attribute(attribute) => self.of_attribute(attribute, path, iterations, found),
                Item::Block(block) => {
                    let labels = block.labels.iter().map(|label| label.text.as_str());
                    let words: Vec<&str> = [block.kind.text.as_str()].into_iter().chain(labels).collect();
                    let kind = words.join(" ");
                    let count = counts.entry(kind.clone()).or_default();
                    let path = format!("{path}{kind}[{count}].");
                    *count += 1;
                    self.of_body(&block.body, &path, iterations, found);
                }
            }
        }
    }

    fn of_attribute(&self, attribute: &Attribute, path: &str, iterations: &Iterations, found: &mut Expressions) {
        let text = self.bake.sources.slice(attribute.expression.place);
        let name = format!("{path}{}", attribute.name.text);
        found.written.insert(name, self.secrets.mask(text));
        for reference in references(&attribute.expression) {
            let (name, value) = self.referred(&reference, iterations);
            found.references.insert(name, value);
        }
    }

    /// The name that an expression refers to, and its value if that is known while planning.
    fn referred(&self, reference: &Reference, iterations: &Iterations) -> (String, Option<String>) {
        let step = |index: usize| reference.steps.get(index).map(String::as_str);
        let bake = self.bake;
        let values = &bake.evaluated.values;
        if let Some(value) = iterations.get(&reference.root) {
            return (reference.root.clone(), Some(self.shown(value)));
        }
        let value = match (reference.root.as_str(), step(0), step(1)) {
            ("var", Some(name), _) => values.variables.get(name),
            ("local", Some(name), _) => values.locals.get(name),
            ("source", Some("type"), _) => return ("source.type".to_owned(), Some(bake.source.0.clone())),
            ("source", Some("name"), _) => return ("source.name".to_owned(), Some(bake.source.1.clone())),
            ("data", Some(kind), Some(name)) => values.data.get(kind).and_then(|named| named.get(name)),
            _ => None,
        };
        let depth = if reference.root == "data" { 2 } else { 1 };
        let words: Vec<&str> = [reference.root.as_str()]
            .into_iter()
            .chain(reference.steps.iter().take(depth).map(String::as_str))
            .collect();
        (words.join("."), value.map(|value| self.shown(value)))
    }

    fn of_properties(&self, properties: &[(Name, JsonValue)], found: &mut Expressions) {
        let bake = self.bake;
        let user = bake.evaluated.legacy_variables();
        for (name, value) in properties {
            let text = bake.sources.slice(value.place);
            found.written.insert(name.text.clone(), self.secrets.mask(text));
            for reference in LEGACY_REFERENCE.captures_iter(text) {
                let part = |index: usize| reference.get(index).map_or("", |part| part.as_str());
                let value = match part(1) {
                    "user" => user
                        .and_then(|user| user.get(part(2)))
                        .map(|value| self.secrets.mask(value)),
                    _ => None,
                };
                found.references.insert(format!("{}.{}", part(1), part(2)), value);
            }
        }
    }

    fn shown(&self, value: &Value) -> String {
        // Strings while they are still what they are, and then what else there is, such as numbers.
        self.secrets.mask(&display_with(value, &|text| self.secrets.mask(text)))
    }
}
