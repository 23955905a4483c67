//! `hcl2_upgrade`: a legacy template written as HCL.

mod text;
mod write;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bakelite_hcl::syntax::{JsonKind, JsonValue, Name};

use super::{Builder, Legacy, REFERENCE, Step};
use crate::component::{ComponentKind, Components};
use crate::duration::GoDuration;
use crate::plugins::plugin_of;
use crate::schema::Schema;
use text::Texts;
use write::{body, string};

/// The template in HCL.
pub(crate) fn upgrade(legacy: &Legacy, components: &dyn Components, with_annotations: bool) -> String {
    let texts = Texts::new(
        legacy
            .variables
            .iter()
            .filter(|(_, one)| is_local(one.default.as_deref()))
            .map(|(name, _)| name.clone()),
    );
    let mut upgrade = Upgrade {
        legacy,
        components,
        texts,
        notes: with_annotations,
        data: String::new(),
        out: String::new(),
    };
    upgrade.packer();
    upgrade.variables();
    // Data sources and locals come before sources in the file, but only writing the sources tells what they refer to.
    let before = std::mem::take(&mut upgrade.out);
    upgrade.locals();
    let locals = std::mem::take(&mut upgrade.out);
    upgrade.sources();
    upgrade.build();
    let after = std::mem::take(&mut upgrade.out);
    let mut whole = before + &upgrade.data;
    if upgrade.texts.uses_timestamp() {
        whole.push_str("locals { timestamp = regex_replace(timestamp(), \"[- TZ:]\", \"\") }\n\n");
    }
    whole.push_str(&locals);
    whole.push_str(&after);
    bakelite_hcl::fmt::format(&format!("{}\n", whole.trim_end()))
}

/// Does a default need more than `env`, the one function that a variable's default has in HCL?
fn is_local(default: Option<&str>) -> bool {
    let Some(default) = default else { return false };
    let mut rest = default;
    while let Some(start) = rest.find("{{") {
        let inside = rest.get(start + 2..).unwrap_or_default();
        let end = inside.find("}}").unwrap_or(inside.len());
        let action = inside.get(..end).unwrap_or_default().trim_matches(['-', ' ']);
        if !action.starts_with("env ") && !action.starts_with("env`") {
            return true;
        }
        rest = inside.get(end..).unwrap_or_default();
    }
    REFERENCE.is_match(default) && default.contains("{{")
}

struct Upgrade<'a> {
    legacy: &'a Legacy,
    components: &'a dyn Components,
    texts: Texts,
    notes: bool,
    /// Data sources, which stand before the locals.
    data: String,
    out: String,
}

impl Upgrade<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn note(&mut self, note: &str) {
        if self.notes {
            self.line(&format!("# {note}"));
        }
    }

    fn packer(&mut self) {
        let builders = self.legacy.builders.iter();
        let builders = builders.map(|one| plugin_of(ComponentKind::Builder, &one.component));
        let steps = self.legacy.provisioners.iter().chain(&self.legacy.error_cleanup);
        let steps = steps.map(|one| plugin_of(ComponentKind::Provisioner, &one.component));
        let last = self.legacy.chains.iter().flatten();
        let last = last.map(|one| plugin_of(ComponentKind::PostProcessor, &one.component));
        let plugins = builders.chain(steps).chain(last).flatten();
        let plugins: BTreeMap<&str, &str> = plugins.map(|plugin| (plugin.name(), plugin.source)).collect();
        if plugins.is_empty() && self.legacy.min_version.is_none() {
            return;
        }
        self.note("The versions that the template is written for.");
        self.line("packer {");
        if let Some(version) = &self.legacy.min_version {
            let version = format!("required_version = {}", string(&format!(">= {version}")));
            self.line(&version);
        }
        if !plugins.is_empty() {
            self.line("required_plugins {");
            for (name, source) in plugins {
                let entry = format!("{name} = {{\nsource = \"{source}\"\nversion = \"~> 1\"\n}}");
                self.line(&entry);
            }
            self.line("}");
        }
        self.line("}\n");
    }

    fn variables(&mut self) {
        let mut names: Vec<&String> = self.legacy.variables.keys().collect();
        names.sort();
        for name in names {
            let Some(variable) = self.legacy.variables.get(name) else {
                continue;
            };
            if is_local(variable.default.as_deref()) {
                continue;
            }
            self.line(&format!("variable {} {{\ntype = string", string(name)));
            if let Some(default) = &variable.default {
                let default = self.texts.expression(default);
                self.line(&format!("default = {default}"));
            }
            if self.legacy.sensitive.contains(name) {
                self.line("sensitive = true");
            }
            self.line("}\n");
        }
    }

    fn locals(&mut self) {
        let mut names: Vec<&String> = self.legacy.variables.keys().collect();
        names.retain(|name| {
            let default = self
                .legacy
                .variables
                .get(*name)
                .and_then(|variable| variable.default.as_deref());
            is_local(default)
        });
        names.sort();
        let (hidden, shown): (Vec<&String>, Vec<&String>) =
            names.into_iter().partition(|name| self.legacy.sensitive.contains(name));
        if !shown.is_empty() {
            self.note("Variables whose values are made of others.");
            self.line("locals {");
            for name in shown {
                let value = self.local(name);
                self.line(&format!("{name} = {value}"));
            }
            self.line("}\n");
        }
        for name in hidden {
            let value = self.local(name);
            self.line(&format!(
                "local {} {{\nexpression = {value}\nsensitive = true\n}}\n",
                string(name)
            ));
        }
    }

    fn local(&self, name: &str) -> String {
        let default = self
            .legacy
            .variables
            .get(name)
            .and_then(|variable| variable.default.as_deref());
        self.texts.expression(default.unwrap_or_default())
    }

    fn sources(&mut self) {
        for (index, builder) in sorted(self.legacy).into_iter().enumerate() {
            let schema = self.schema(ComponentKind::Builder, &builder.component);
            let name = source_name(index, builder);
            let mut properties = builder.properties.to_vec();
            self.source_ami(&mut properties, index);
            self.line(&format!("source {} {} {{", string(&builder.component), string(&name)));
            let options = body(&properties, schema.as_ref(), &self.texts);
            self.line(&options);
            self.line("}\n");
        }
    }

    /// `source_ami_filter` becomes a data source, where there is one.
    fn source_ami(&mut self, properties: &mut Vec<(Name, JsonValue)>, index: usize) {
        if self.components.find(ComponentKind::DataSource, "amazon-ami").is_none() {
            return;
        }
        let Some(at) = properties.iter().position(|(name, _)| name.text == "source_ami_filter") else {
            return;
        };
        let (name, filter) = properties.remove(at);
        let place = filter.place;
        let JsonKind::Object(mut filter) = filter.kind else {
            return;
        };
        let copied = ["access_key", "secret_key", "token", "profile", "region", "assume_role"];
        filter.extend(
            properties
                .iter()
                .filter(|(name, _)| copied.contains(&name.text.as_str()))
                .cloned(),
        );
        let schema = self.schema(ComponentKind::DataSource, "amazon-ami");
        let data = format!("autogenerated_{}", index + 1);
        let options = body(&filter, schema.as_ref(), &self.texts);
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.data, "data \"amazon-ami\" {} {{\n{options}\n}}\n", string(&data));
        let reference = text::raw(&format!("${{data.amazon-ami.{data}.id}}"));
        let name = Name {
            text: "source_ami".to_owned(),
            place: name.place,
        };
        properties.push((
            name,
            JsonValue {
                kind: JsonKind::String(reference),
                place,
            },
        ));
    }

    fn build(&mut self) {
        self.note("What is made of the sources.");
        self.line("build {");
        if let Some(description) = &self.legacy.description {
            self.line(&format!("description = {}\n", string(description)));
        }
        let builders = sorted(self.legacy).into_iter().enumerate();
        let sources = builders
            .map(|(index, builder)| string(&format!("source.{}.{}", builder.component, source_name(index, builder))));
        let sources: Vec<String> = sources.collect();
        self.line(&format!("sources = [{}]\n", sources.join(", ")));
        for step in &self.legacy.provisioners {
            self.step("provisioner", ComponentKind::Provisioner, step);
        }
        if let Some(step) = &self.legacy.error_cleanup {
            self.step("error-cleanup-provisioner", ComponentKind::Provisioner, step);
        }
        for chain in &self.legacy.chains {
            if let [only] = chain.as_slice() {
                self.step("post-processor", ComponentKind::PostProcessor, only);
                continue;
            }
            self.line("post-processors {");
            for step in chain {
                self.step("post-processor", ComponentKind::PostProcessor, step);
            }
            self.line("}");
        }
        self.line("}");
    }

    fn step(&mut self, block: &str, kind: ComponentKind, step: &Step) {
        let schema = self.schema(kind, &step.component);
        let mut properties = step.properties.to_vec();
        for (name, value) in &step.meta {
            let kept = match name.as_str() {
                "type" => continue,
                "override" => {
                    self.line(
                        "# An `override` stood here: write it as `override = { SOURCE_NAME = { option = value } }`.",
                    );
                    continue;
                }
                "pause_before" | "timeout" => duration(value),
                "max_retries" => Some(retries(value)),
                _ => Some(value.clone()),
            };
            properties.extend(kept.map(|value| {
                (
                    Name {
                        text: name.clone(),
                        place: value.place,
                    },
                    value,
                )
            }));
        }
        self.line(&format!("{block} {} {{", string(&step.component)));
        let options = body(&properties, schema.as_ref(), &self.texts);
        self.line(&options);
        self.line("}");
    }

    fn schema(&self, kind: ComponentKind, name: &str) -> Option<Schema> {
        self.components.find(kind, name).map(|component| (component.schema)())
    }
}

/// Builders in the order of their types and names.
fn sorted(legacy: &Legacy) -> Vec<&Builder> {
    let mut builders: Vec<&Builder> = legacy.builders.iter().collect();
    builders.sort_by(|a, b| (&a.component, &a.name).cmp(&(&b.component, &b.name)));
    builders
}

fn source_name(index: usize, builder: &Builder) -> String {
    if builder.name == builder.component {
        format!("autogenerated_{}", index + 1)
    } else {
        builder.name.clone()
    }
}

/// A duration in canonical form; one with a template in it as it stands.
fn duration(value: &JsonValue) -> Option<JsonValue> {
    let JsonKind::String(text) = &value.kind else {
        return Some(value.clone());
    };
    let text = match text.parse::<GoDuration>() {
        Ok(duration) if duration.is_zero() => return None,
        Ok(duration) => duration.to_string(),
        Err(_) => text.clone(),
    };
    Some(JsonValue {
        kind: JsonKind::String(text),
        place: value.place,
    })
}

fn retries(value: &JsonValue) -> JsonValue {
    let text = match &value.kind {
        JsonKind::Number(text) | JsonKind::String(text) => text.clone(),
        _ => return value.clone(),
    };
    JsonValue {
        kind: JsonKind::String(text),
        place: value.place,
    }
}
