//! What the options of all components of one bake are evaluated with.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::marks::Marks;
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;

use super::evaluated::Evaluated;
use crate::builds::{Build, SourceUse};
use crate::gotemplate::{Rendering, shielded};
use crate::plan::BuildData;
use crate::secrets::SECRET_BUILD_KEYS;

/// `build.KEY` of every builder.
const BUILD_KEYS: &[&str] = &[
    "ConnType",
    "Host",
    "ID",
    "PackerHTTPAddr",
    "PackerHTTPIP",
    "PackerHTTPPort",
    "PackerRunUUID",
    "Password",
    "Port",
    "SSHPrivateKey",
    "SSHPublicKey",
    "User",
    "WinRMPassword",
];

/// What a `build.KEY` is, as in Packer, once a build runs that does not have it.
pub(super) const NOT_PROVIDED: &str = "<unknown>";

/// A bake's source, variables and build data, shared by the options of all its components.
pub(super) struct BakeContext {
    pub(super) evaluated: Arc<Evaluated>,
    pub(super) sources: SourceMap,
    pub(super) rendering: Rendering,
    /// `source.type` and `source.name`.
    pub(super) source: (String, String),
    build_name: String,
    /// The keys of `build`.
    pub(super) keys: Arc<Vec<String>>,
    /// The object `build` while planning.
    pub(super) planned: Value,
}

impl BakeContext {
    /// `keys`: those that the builder adds to what every `build` has.
    pub(super) fn new(
        evaluated: &Arc<Evaluated>,
        sources: &SourceMap,
        build: &Build,
        used: &SourceUse,
        keys: &[&str],
    ) -> Self {
        let keys = BUILD_KEYS.iter().chain(keys).map(|key| (*key).to_owned());
        let mut context = Self {
            rendering: evaluated.rendering(&used.source.1, &used.source.0),
            evaluated: Arc::clone(evaluated),
            sources: sources.clone(),
            source: (used.source.0.clone(), used.name().to_owned()),
            build_name: build.name.clone(),
            keys: Arc::new(keys.collect()),
            planned: Value::dynamic(),
        };
        context.planned = context.build(&Value::unknown(Type::String), &BTreeMap::new());
        context
    }

    /// The object `build`; what it does not know of its keys is `missing`.
    pub(super) fn build(&self, missing: &Value, data: &BuildData) -> Value {
        let mut build: BTreeMap<&str, Value> = self.keys.iter().map(|key| (key.as_str(), missing.clone())).collect();
        build.extend(
            data.iter()
                .map(|(key, value)| (key.as_str(), shielded(&marked(key, value)))),
        );
        build.insert("name", Value::string(&self.build_name));
        Value::object(build)
    }
}

/// `build` before a bake runs, in meta-arguments: its name and nothing else.
pub(super) fn build_name_only(name: &str) -> Value {
    Value::object([("name", Value::string(name))])
}

/// A `build.KEY`; what lets somebody in is sensitive.
fn marked(key: &str, value: &Value) -> Value {
    let marks = if SECRET_BUILD_KEYS.contains(&key) {
        Marks::SENSITIVE
    } else {
        Marks::NONE
    };
    value.clone().with_marks(marks)
}
