//! What `inspect` prints of a legacy template.

use super::Legacy;
use crate::secrets::MASK;

/// What `inspect` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// A message, to be followed by a line end.
    Message(String),
    /// What a message is about, for programs: the type of the record and its data.
    Record(&'static str, Vec<String>),
}

/// The messages of `inspect`, each with the record of what it is about before it.
pub(crate) fn inspect(legacy: &Legacy) -> Vec<Inspected> {
    let mut out = Out::default();
    out.say("Packer Inspect: JSON mode");
    let description = legacy.description.as_deref().unwrap_or_default();
    if !description.is_empty() {
        out.say("Description:\n");
        out.say(&format!("{description}\n"));
    }
    variables(legacy, &mut out);
    out.say("Builders:\n");
    let builders = legacy.builders.iter();
    let mut builders: Vec<(&str, &str)> = builders
        .map(|one| (one.name.as_str(), one.component.as_str()))
        .collect();
    builders.sort_unstable();
    let width = builders.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, component) in builders {
        out.record("template-builder", &[name, component]);
        out.say(&if name == component {
            format!("  {name}")
        } else {
            format!("  {name:width$} ({component})")
        });
    }
    out.say("");
    out.say("Provisioners:\n");
    if legacy.provisioners.is_empty() {
        out.say("  <No provisioners>");
    }
    for step in &legacy.provisioners {
        out.record("template-provisioner", &[&step.component]);
        out.say(&format!("  {}", step.component));
    }
    out.say(
        "\nNote: If your build names contain user variables or template\n\
         functions such as 'timestamp', these are processed at build time,\n\
         and therefore only show in their raw form here.",
    );
    out.0
}

#[derive(Default)]
struct Out(Vec<Inspected>);

impl Out {
    fn say(&mut self, message: &str) {
        self.0.push(Inspected::Message(message.to_owned()));
    }

    fn record(&mut self, kind: &'static str, data: &[&str]) {
        let data = data.iter().map(|&one| one.to_owned()).collect();
        self.0.push(Inspected::Record(kind, data));
    }
}

fn variables(legacy: &Legacy, out: &mut Out) {
    if legacy.variables.is_empty() {
        out.say("Variables:\n");
        out.say("  <No variables>");
        out.say("");
        return;
    }
    let mut required: Vec<&str> = Vec::new();
    let mut optional: Vec<(&str, &str)> = Vec::new();
    for (name, variable) in &legacy.variables {
        match &variable.default {
            None => required.push(name),
            Some(_) if legacy.sensitive.contains(name) => optional.push((name, MASK)),
            Some(default) => optional.push((name, default)),
        }
    }
    required.sort_unstable();
    optional.sort_unstable();
    if !required.is_empty() {
        out.say("Required variables:\n");
        for name in required {
            out.record("template-variable", &[name, "", "1"]);
            out.say(&format!("  {name}"));
        }
        out.say("");
    }
    if !optional.is_empty() {
        out.say("Optional variables and their defaults:\n");
        let width = optional.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, default) in optional {
            out.record("template-variable", &[name, default, "0"]);
            out.say(&format!("  {name:width$} = {default}"));
        }
        out.say("");
    }
}
