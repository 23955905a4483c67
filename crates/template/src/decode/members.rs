//! The options of one structure while they are collected: what counts as absent, and what must be given.

use std::collections::BTreeSet;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::types::Type;
use serde_json::Value as Json;

use super::{Decoded, is_within, join, sentence};
use crate::schema::{Accepts, Field, FieldKind, Schema};

/// The options of a block, or of an object that stands for one.
pub(super) struct Members<'a> {
    schema: &'a Schema,
    options: serde_json::Map<String, Json>,
    /// The options that have a value, also where it is not known yet or wrong.
    given: BTreeSet<&'a str>,
}

impl<'a> Members<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self {
            schema,
            options: serde_json::Map::new(),
            given: BTreeSet::new(),
        }
    }

    /// An option with its value; `None` when it is not known yet, or something is wrong with it that has been reported. An empty
    /// string is no value.
    pub(super) fn put(&mut self, field: &'a Field, value: Option<Json>) {
        let is_structure = !matches!(field.kind, FieldKind::Attribute(_));
        if !is_structure && value.as_ref().and_then(Json::as_str) == Some("") {
            return;
        }
        self.given.insert(&field.name);
        self.options.extend(value.map(|value| (field.name.clone(), value)));
    }

    /// Takes an option back, for another value.
    pub(super) fn remove(&mut self, field: &Field) {
        self.options.remove(&field.name);
        self.given.remove(field.name.as_str());
    }

    /// The options, after a look at whether all are there that must be.
    pub(super) fn finish(
        mut self,
        path: &str,
        decoded: &Decoded,
        diagnostics: &mut Diagnostics,
    ) -> serde_json::Map<String, Json> {
        for field in self.schema.fields.iter().filter(|field| field.required) {
            let path = join(path, &field.name);
            if !self.given.contains(field.name.as_str()) {
                let doc = field.doc.split("\n\n").next().unwrap_or_default().replace('\n', " ");
                let missing = Diagnostic::error(decoded.place_of(&path), format!("`{path}` must be given"));
                diagnostics.push(missing.detail(sentence(doc.trim_end_matches('.'))));
            } else if !self.options.contains_key(&field.name) && decoded.unknown.iter().any(|one| is_within(one, &path))
            {
                self.options.insert(field.name.clone(), empty(field));
            }
        }
        self.options
    }
}

/// What a required option is to its component while its value is not known: the component complains about nothing that depends on
/// it, so that it only has to be of the right type.
fn empty(field: &Field) -> Json {
    let kind = match (&field.kind, &field.accepts) {
        (FieldKind::Attribute(Type::String), Accepts::OneOf(choices)) => {
            let supported = choices.iter().find(|choice| choice.unsupported.is_none());
            return supported.map(|choice| choice.value.as_str()).unwrap_or_default().into();
        }
        (FieldKind::Attribute(kind), _) => kind,
        (FieldKind::Block(_), _) => return Json::Object(serde_json::Map::new()),
        (FieldKind::Blocks(_), _) => return Json::Array(Vec::new()),
    };
    match kind {
        Type::String | Type::Dynamic => Json::String(String::new()),
        Type::Number => 0.into(),
        Type::Bool => false.into(),
        Type::List(_) | Type::Set(_) | Type::Tuple(_) => Json::Array(Vec::new()),
        Type::Map(_) | Type::Object(_) => Json::Object(serde_json::Map::new()),
    }
}
