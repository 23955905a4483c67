//! JSON text → [`Legacy`].

use std::collections::{HashMap, HashSet};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::json;
use bakelite_hcl::source::{Place, SourceMap};
use bakelite_hcl::syntax::{JsonKind, JsonValue, Name};
use indexmap::IndexMap;

use super::{Builder, Legacy, REFERENCE, Step, Variable};
use crate::discover::{self, File};
use crate::invocation::{Invocation, Purpose};
use crate::version::PACKER_VERSION;

use crate::version::Version;

const ROOT: &[&str] = &[
    "builders",
    "description",
    "error-cleanup-provisioner",
    "min_packer_version",
    "post-processors",
    "provisioners",
    "push",
    "sensitive-variables",
    "variables",
];
const PROVISIONER_META: &[&str] = &[
    "type",
    "only",
    "except",
    "override",
    "pause_before",
    "timeout",
    "max_retries",
];
const POST_PROCESSOR_META: &[&str] = &["type", "name", "only", "except", "keep_input_artifact"];

/// Reads a template and the values of its variables.
pub(crate) fn read(
    file: &File,
    directory: std::path::PathBuf,
    invocation: &Invocation,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Legacy> {
    let root = parse(file, sources, diagnostics)?;
    let mut legacy = Legacy {
        directory,
        ..Legacy::default()
    };
    let JsonKind::Object(properties) = root.kind else {
        diagnostics.push(Diagnostic::error(root.place, "template is not a JSON object"));
        return None;
    };
    let references = references(&properties);
    for (name, value) in properties {
        legacy.root(&name, value, diagnostics);
    }
    legacy.check(root.place, diagnostics);
    legacy.given(invocation, sources, diagnostics);
    legacy.check_references(&references, invocation.purpose, diagnostics);
    Some(legacy)
}

/// The names in `{{ user `NAME` }}`, wherever they stand, each with its string.
fn references(properties: &[(Name, JsonValue)]) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    let mut open: Vec<&JsonValue> = properties.iter().map(|(_, value)| value).collect();
    while let Some(value) = open.pop() {
        match &value.kind {
            JsonKind::String(text) if text.contains("{{") => {
                let names = REFERENCE.captures_iter(text).filter_map(|reference| reference.get(1));
                found.extend(names.map(|name| (name.as_str().to_owned(), value.place)));
            }
            JsonKind::Array(all) => open.extend(all),
            JsonKind::Object(members) => open.extend(members.iter().map(|(_, member)| member)),
            _ => {}
        }
    }
    found.sort_by_key(|(_, place)| *place);
    found
}

fn parse(file: &File, sources: &mut SourceMap, diagnostics: &mut Diagnostics) -> Option<JsonValue> {
    let id = sources.add(&file.name, &file.text);
    let mut found = Diagnostics::default();
    let value = json::parse_file(&file.text, id, &mut found);
    if !found.has_errors() {
        check_duplicates(value.as_ref(), &mut found);
    }
    let failed = found.has_errors();
    if is_json(&file.text) {
        diagnostics.extend(found);
    } else {
        // What is wrong with it as JSON is of no use to whoever wrote HCL.
        diagnostics.extend(found.into_iter().next().map(|first| not_json(file, &first)));
    }
    value.filter(|_| !failed)
}

/// Does a text look like JSON that may hold mistakes?
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[', '"'])
}

fn not_json(file: &File, first: &Diagnostic) -> Diagnostic {
    let (what, help) = if file.name.starts_with('<') {
        (
            "standard input".to_owned(),
            "HCL on standard input is read with `-config-type=hcl2`",
        )
    } else {
        (
            format!("`{}`", file.name),
            "the name of an HCL template ends in `.pkr.hcl`, that of a file of variables in `.pkrvars.hcl`",
        )
    };
    Diagnostic::error(first.place, format!("{what} is read as JSON, which it is not")).help(help.to_owned())
}

/// No object may give a name twice, wherever it stands.
fn check_duplicates(value: Option<&JsonValue>, diagnostics: &mut Diagnostics) {
    let mut open: Vec<&JsonValue> = value.into_iter().collect();
    while let Some(value) = open.pop() {
        match &value.kind {
            JsonKind::Array(all) => open.extend(all),
            JsonKind::Object(properties) => {
                let mut seen: HashMap<&str, Place> = HashMap::new();
                for (name, member) in properties {
                    if let Some(first) = seen.insert(&name.text, name.place) {
                        diagnostics.push(
                            Diagnostic::error(name.place, format!("`{}` is given twice", name.text))
                                .related(first, "first here"),
                        );
                    }
                    open.push(member);
                }
            }
            _ => {}
        }
    }
}

impl Legacy {
    fn root(&mut self, name: &Name, value: JsonValue, diagnostics: &mut Diagnostics) {
        match name.text.to_lowercase().as_str() {
            "builders" => {
                self.is_empty = matches!(&value.kind, JsonKind::Object(properties) if properties.is_empty());
                if self.is_empty {
                    return;
                }
                let all = objects(value, "builder", diagnostics);
                self.builders = all
                    .into_iter()
                    .filter_map(|(place, one)| builder(place, one, diagnostics))
                    .collect();
            }
            "provisioners" => {
                let all = objects(value, "provisioner", diagnostics);
                let meta = PROVISIONER_META;
                self.provisioners = all
                    .into_iter()
                    .filter_map(|(place, one)| step(place, one, meta, diagnostics))
                    .collect();
            }
            "error-cleanup-provisioner" => {
                let mut all = objects(value, "error-cleanup-provisioner", diagnostics).into_iter();
                self.error_cleanup = all
                    .next()
                    .and_then(|(place, one)| step(place, one, PROVISIONER_META, diagnostics));
            }
            "post-processors" => self.chains = chains(value, diagnostics),
            "variables" => self.variables = variables(value, diagnostics),
            "sensitive-variables" => {
                let names = if let JsonKind::Array(all) = value.kind {
                    all
                } else {
                    vec![value]
                };
                self.sensitive = names.into_iter().filter_map(|one| text(&one.kind)).collect();
            }
            "description" => self.description = text(&value.kind),
            "min_packer_version" => {
                min_version(&value, diagnostics);
                self.min_version = text(&value.kind);
            }
            "push" => {}
            _ if name.text.starts_with('_') && matches!(value.kind, JsonKind::String(_)) => {}
            _ => {
                let similar = similar_name(&name.text, ROOT.iter().copied());
                diagnostics.push(
                    Diagnostic::error(name.place, format!("a template has no `{}`", name.text)).help(match similar {
                        Some(similar) => format!("did you mean `{similar}`?"),
                        None => "a comment's name begins with `_`, and its value is a string".to_owned(),
                    }),
                );
            }
        }
    }

    fn check(&self, place: Place, diagnostics: &mut Diagnostics) {
        if self.builders.is_empty() && !self.is_empty && !diagnostics.has_errors() {
            diagnostics.push(Diagnostic::error(place, "template has no builder"));
        }
        let mut seen: HashMap<&str, Place> = HashMap::new();
        for builder in &self.builders {
            if let Some(first) = seen.insert(&builder.name, builder.place) {
                diagnostics.push(
                    Diagnostic::error(builder.place, format!("two builders have the name `{}`", builder.name))
                        .related(first, "the first")
                        .help("give one of them a `name`".to_owned()),
                );
            }
        }
        let steps = self
            .provisioners
            .iter()
            .chain(&self.error_cleanup)
            .chain(self.chains.iter().flatten());
        for step in steps {
            self.check_step(step, diagnostics);
        }
    }

    /// A variable that nothing declares or gives a value does not exist: an error where its value is needed.
    fn check_references(&self, references: &[(String, Place)], purpose: Purpose, diagnostics: &mut Diagnostics) {
        let needs_values = matches!(purpose, Purpose::Build | Purpose::Validate { syntax_only: false, .. });
        let report = |place: Place, summary: String| {
            if needs_values {
                Diagnostic::error(place, summary)
            } else {
                Diagnostic::warning(place, summary)
            }
        };
        let mut seen = HashSet::new();
        let is_unknown = |name: &str| !self.variables.contains_key(name) && !self.given.contains_key(name);
        for (name, place) in references {
            if !is_unknown(name) || !seen.insert(name) {
                continue;
            }
            // Comparing with thousands of names is worth it for the first few only.
            let known = self.variables.keys().map(String::as_str);
            let similar = (seen.len() <= 10).then(|| similar_name(name, known)).flatten();
            diagnostics.push(
                report(*place, format!("there is no variable `{name}`")).help(match similar {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!("declare it: `\"variables\": {{ \"{name}\": \"…\" }}`"),
                }),
            );
        }
    }

    /// Names in `only`, `except` and `override` are names of builders.
    fn check_step(&self, step: &Step, diagnostics: &mut Diagnostics) {
        // A name with a template in it is known only when variables are.
        let has_template = self.builders.iter().any(|builder| builder.name.contains("{{"));
        let exists = |name: &str| has_template || self.builders.iter().any(|builder| builder.name == name);
        let mut names: Vec<(&str, String, Place)> = Vec::new();
        for meta in ["only", "except"] {
            names.extend(step.names(meta).into_iter().map(|(name, place)| (meta, name, place)));
        }
        if let Some(JsonValue {
            kind: JsonKind::Object(overrides),
            ..
        }) = step.meta.get("override")
        {
            names.extend(
                overrides
                    .iter()
                    .map(|(name, _)| ("override", name.text.clone(), name.place)),
            );
        }
        for (meta, name, place) in names {
            if !exists(&name) {
                let known = self.builders.iter().map(|builder| builder.name.as_str());
                let similar = similar_name(&name, known);
                diagnostics.push(
                    Diagnostic::error(place, format!("`{meta}` names a builder `{name}` that does not exist"))
                        .help(similar.map(|similar| format!("did you mean `{similar}`?"))),
                );
            }
        }
        if step.meta.contains_key("only") && step.meta.contains_key("except") {
            diagnostics.push(Diagnostic::error(step.place, "both `only` and `except` are given"));
        }
    }

    /// Values from files and from the command line, the latter in place of the former.
    fn given(&mut self, invocation: &Invocation, sources: &mut SourceMap, diagnostics: &mut Diagnostics) {
        for name in &invocation.variable_files {
            let path = invocation.working_directory.join(name);
            let Some(text) = discover::read_text(name, &path, diagnostics) else {
                continue;
            };
            let file = File {
                name: name.clone(),
                text,
                is_json: true,
            };
            let Some(value) = parse(&file, sources, diagnostics) else {
                continue;
            };
            let JsonKind::Object(properties) = value.kind else {
                diagnostics.push(Diagnostic::error(value.place, "variables are not a JSON object"));
                continue;
            };
            for (name, value) in properties {
                match text_of(&value.kind) {
                    Some(text) => {
                        self.given.insert(name.text, text);
                    }
                    None => diagnostics.push(Diagnostic::error(
                        value.place,
                        format!("value of variable `{}` is not a string", name.text),
                    )),
                }
            }
        }
        self.given.extend(invocation.variables.iter().cloned());
    }
}

fn text(kind: &JsonKind) -> Option<String> {
    match kind {
        JsonKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// A string, or a number or bool as one: files of variables may hold them. Null is the empty string.
fn text_of(kind: &JsonKind) -> Option<String> {
    match kind {
        JsonKind::Null => Some(String::new()),
        JsonKind::String(text) | JsonKind::Number(text) => Some(text.clone()),
        JsonKind::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

type Object = Vec<(Name, JsonValue)>;

fn objects(value: JsonValue, what: &str, diagnostics: &mut Diagnostics) -> Vec<(Place, Object)> {
    let all = match value.kind {
        JsonKind::Array(all) => all,
        JsonKind::Null => Vec::new(),
        _ => vec![value],
    };
    let mut objects = Vec::new();
    for one in all {
        match one.kind {
            JsonKind::Object(properties) => objects.push((one.place, properties)),
            _ => diagnostics.push(Diagnostic::error(one.place, format!("{what} is not an object"))),
        }
    }
    objects
}

/// Takes the properties of these names out of an object.
fn take(object: &mut Object, names: &[&str]) -> IndexMap<String, JsonValue> {
    let mut taken = IndexMap::new();
    object.retain(|(name, value)| {
        let is_meta = names.contains(&name.text.as_str());
        if is_meta {
            taken.insert(name.text.clone(), value.clone());
        }
        !is_meta
    });
    taken
}

fn component(meta: &IndexMap<String, JsonValue>, place: Place, diagnostics: &mut Diagnostics) -> Option<String> {
    let component = meta.get("type").and_then(|value| text(&value.kind));
    if component.is_none() {
        diagnostics.push(Diagnostic::error(place, "`type` is missing"));
    }
    component
}

fn builder(place: Place, mut object: Object, diagnostics: &mut Diagnostics) -> Option<Builder> {
    let meta = take(&mut object, &["type", "name"]);
    let component = component(&meta, place, diagnostics)?;
    let name = meta
        .get("name")
        .and_then(|value| text(&value.kind))
        .filter(|name| !name.is_empty());
    Some(Builder {
        name: name.unwrap_or_else(|| component.clone()),
        component,
        properties: object.into(),
        place,
    })
}

fn step(place: Place, mut object: Object, known: &[&str], diagnostics: &mut Diagnostics) -> Option<Step> {
    let meta = take(&mut object, known);
    let component = component(&meta, place, diagnostics)?;
    Some(Step {
        component,
        meta,
        properties: object.into(),
        place,
    })
}

/// Elements of `post-processors`: a type, an object, or a chain of those.
fn chains(value: JsonValue, diagnostics: &mut Diagnostics) -> Vec<Vec<Step>> {
    let elements = if let JsonKind::Array(all) = value.kind {
        all
    } else {
        vec![value]
    };
    let mut chains = Vec::new();
    for element in elements {
        let members = if let JsonKind::Array(all) = element.kind {
            all
        } else {
            vec![element]
        };
        let chain: Vec<Step> = members
            .into_iter()
            .filter_map(|one| post_processor(one, diagnostics))
            .collect();
        if !chain.is_empty() {
            chains.push(chain);
        }
    }
    chains
}

fn post_processor(value: JsonValue, diagnostics: &mut Diagnostics) -> Option<Step> {
    match value.kind {
        JsonKind::String(component) => Some(Step {
            component,
            meta: IndexMap::new(),
            properties: Vec::new().into(),
            place: value.place,
        }),
        JsonKind::Object(properties) => step(value.place, properties, POST_PROCESSOR_META, diagnostics),
        _ => {
            diagnostics.push(
                Diagnostic::error(value.place, "post-processor is neither a type nor an object")
                    .help("a chain is a list of post-processors and cannot hold another".to_owned()),
            );
            None
        }
    }
}

fn variables(value: JsonValue, diagnostics: &mut Diagnostics) -> IndexMap<String, Variable> {
    let mut variables = IndexMap::new();
    for (place, properties) in objects(value, "variables", diagnostics) {
        let _ = place;
        for (name, value) in properties {
            let default = match value.kind {
                JsonKind::String(text) => Some(text),
                JsonKind::Null => None,
                _ => {
                    diagnostics.push(
                        Diagnostic::error(
                            value.place,
                            format!("default of variable `{}` is not a string", name.text),
                        )
                        .help("put it in quotes; `null` makes the variable required".to_owned()),
                    );
                    continue;
                }
            };
            variables.insert(
                name.text,
                Variable {
                    default,
                    place: name.place,
                },
            );
        }
    }
    variables
}

fn min_version(value: &JsonValue, diagnostics: &mut Diagnostics) {
    let wanted = text(&value.kind).and_then(|text| text.parse::<Version>().ok());
    let own = PACKER_VERSION.parse::<Version>().ok();
    match wanted {
        Some(wanted) if own.as_ref() >= Some(&wanted) => {}
        Some(wanted) => diagnostics.push(
            Diagnostic::error(
                value.place,
                format!("template requires Packer in version {wanted} or later"),
            )
            .detail(format!("bakelite behaves as Packer {PACKER_VERSION}.")),
        ),
        None => diagnostics.push(Diagnostic::error(None, "`min_packer_version` is not a version")),
    }
}
