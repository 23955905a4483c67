//! The SLSA predicate: what was asked for, and who made it. Nothing secret is in it.

use std::collections::BTreeMap;

use bakelite_engine::post_processor::PostProcessing;
use bakelite_template::PACKER_VERSION;
use bakelite_template::secrets::Derived;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::options::ProvenanceOptions;
use super::origin::{Dependency, Origin};
use crate::attestation::statement::IDENTITY;
use crate::go_json;

/// What stands in a secret's place.
const REDACTED: &str = "[sensitive value redacted]";
/// The environment variables that are values of the template's variables.
const VARIABLE: &str = "PKR_VAR_";

/// The predicate, in the order of its keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: Map<String, Value>,
    internal_parameters: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_dependencies: Option<[Dependency; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunDetails {
    builder: Builder,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    byproducts: Option<[Value; 1]>,
}

#[derive(Serialize)]
struct Builder {
    id: String,
    version: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    invocation_id: String,
}

/// What must not be recorded.
pub(super) struct Redaction<'a> {
    /// Secrets of the template, and the names of its sensitive variables.
    of_template: &'a Derived,
    /// Secrets in the options themselves.
    of_options: &'a [String],
}

impl<'a> Redaction<'a> {
    pub(super) fn new(of_template: &'a Derived, of_options: &'a [String]) -> Self {
        Self {
            of_template,
            of_options,
        }
    }

    fn text(&self, text: &str) -> String {
        let in_options = |secret: &String| !secret.is_empty() && text.contains(secret.as_str());
        if self.of_template.is_in(text) || self.of_options.iter().any(in_options) {
            REDACTED.to_owned()
        } else {
            text.to_owned()
        }
    }

    fn variable(&self, name: &str, value: &str) -> String {
        if self.of_template.is_sensitive_variable(name) {
            REDACTED.to_owned()
        } else {
            self.text(value)
        }
    }
}

/// The predicate of a bake. `identity` is the JSON that names an artifact without files.
pub(super) fn of(
    options: &ProvenanceOptions,
    processing: &PostProcessing,
    origin: Origin,
    identity: Option<String>,
    redaction: &Redaction<'_>,
) -> Value {
    let byproduct = |text: String| [json!({"name": IDENTITY, "content": BASE64_STANDARD.encode(text)})];
    let source = origin.source.map(|source| Dependency {
        uri: redaction.text(&source.uri),
        ..source
    });
    let predicate = Predicate {
        build_definition: BuildDefinition {
            build_type: options.build_type.clone(),
            external_parameters: external(options, processing, redaction),
            internal_parameters: BTreeMap::from([
                ("packerBuildName", processing.source_name.clone()),
                ("packerBuilderType", processing.builder.clone()),
                ("packerVersion", PACKER_VERSION.to_owned()),
            ]),
            resolved_dependencies: source.map(|source| [source]),
        },
        run_details: RunDetails {
            builder: Builder {
                id: origin.builder_id,
                // The version of the language, and of who speaks it.
                version: BTreeMap::from([("bakelite", env!("CARGO_PKG_VERSION")), ("packer", PACKER_VERSION)]),
            },
            metadata: Metadata {
                invocation_id: origin.invocation_id,
            },
            byproducts: identity.map(byproduct),
        },
    };
    go_json::as_value(&predicate)
}

/// What whoever baked has chosen, sorted by name.
fn external(options: &ProvenanceOptions, processing: &PostProcessing, redaction: &Redaction<'_>) -> Map<String, Value> {
    let mut parameters = Map::new();
    if !options.only_builds.is_empty() {
        let names: Vec<String> = options.only_builds.iter().map(|name| redaction.text(name)).collect();
        parameters.insert("onlyBuilds".into(), json!(names));
    }
    if let Some(template) = &options.template {
        parameters.insert("template".into(), json!(redaction.text(template)));
    }
    let of_environment = processing.run.environment.iter();
    let of_environment = of_environment.filter_map(|(name, value)| Some((name.strip_prefix(VARIABLE)?, value)));
    let mut variables: BTreeMap<&str, &String> = of_environment.collect();
    variables.extend(
        options
            .user_variables
            .iter()
            .map(|(name, value)| (name.as_str(), value)),
    );
    if !variables.is_empty() {
        let shown = variables
            .iter()
            .map(|(name, value)| (*name, redaction.variable(name, value)));
        parameters.insert("userVariables".into(), json!(shown.collect::<BTreeMap<_, _>>()));
    }
    parameters
}
