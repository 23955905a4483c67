//! What `inspect` prints, message by message.

use std::fmt::Write as _;

use bakelite_hcl::diagnostic::Diagnostics;

use async_trait::async_trait;
use bakelite_hcl::externals::NoAnswer;
use bakelite_hcl::value::Value;

use crate::builds::{Build, Step};
use crate::component::{Complaint, Components, DataSources};
use crate::decode::Decoded;
use crate::legacy::{self, Inspected};
use crate::planner::{self, Evaluated};
use crate::show::{display_with, quote};
use crate::template::{Content, Hcl, Template};

impl Template {
    /// What `inspect` prints, in its order. Whatever is wrong with locals or builds is left out in silence, as in Packer. Nothing is
    /// asked of any server: what depends on an answer is unknown.
    pub async fn inspect(&self, components: &dyn Components, data: Option<&dyn DataSources>) -> Vec<Inspected> {
        match &self.content {
            Content::Hcl(hcl) => {
                let evaluated = self.evaluated(components, data.unwrap_or(&Offline)).await;
                of_hcl(hcl, &evaluated).into_iter().map(Inspected::Message).collect()
            }
            Content::Legacy(legacy) => legacy::inspect(legacy),
        }
    }
}

/// Answers nothing.
struct Offline;

#[async_trait]
impl DataSources for Offline {
    async fn read(&self, name: &str, _: &Decoded) -> Result<Value, Complaint> {
        Err(Complaint::error("", format!("data source `{name}` is not read")))
    }

    async fn ask(&self, function: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` is not called").into())
    }
}

/// The messages of `inspect` for an HCL template: a header, variables and locals, builds.
fn of_hcl(hcl: &Hcl, evaluated: &Evaluated) -> Vec<String> {
    let mut ignored = Diagnostics::default();
    let builds = planner::read_builds(hcl, evaluated, &mut ignored);
    let values = variables_and_locals(evaluated);
    let mut text = String::from("> builds:\n\n");
    for (index, build) in builds.iter().enumerate() {
        one_build(index, build, &mut text);
    }
    // Every message ends in a line end of its own; the printer adds another.
    let text = text.strip_suffix("\n\n").map_or(text.clone(), |cut| format!("{cut}\n"));
    vec!["Packer Inspect: HCL2 mode\n".to_owned(), values, text]
}

/// The variables and the locals, sorted, each with its value as `console` shows it.
pub(crate) fn variables_and_locals(evaluated: &Evaluated) -> String {
    let shown = |value| quote(&display_with(value, &|text| evaluated.secrets.mask(text)));
    let mut text = String::from("> input-variables:\n\n");
    for (name, value) in &evaluated.values.variables {
        let _ = writeln!(text, "var.{name}: {}", shown(value));
    }
    text.push_str("\n> local-variables:\n\n");
    for (name, value) in &evaluated.values.locals {
        let _ = writeln!(text, "local.{name}: {}", shown(value));
    }
    text
}

fn one_build(index: usize, build: &Build, text: &mut String) {
    let name = if build.name.is_empty() {
        format!("<unnamed build {index}>")
    } else {
        build.name.clone()
    };
    let _ = write!(text, "  > {name}:\n\n");
    if let Some(description) = build.description.as_ref().filter(|description| !description.is_empty()) {
        let _ = write!(text, "  > Description: {description}\n\n");
    }
    let sources = build
        .uses
        .iter()
        .map(|used| format!("{}.{}", used.source.0, used.name()));
    section("sources", "<no source>", sources.collect(), "\n\n", text);
    let provisioners = build.provisioners.iter().map(step_name);
    section("provisioners", "<no provisioner>", provisioners.collect(), "\n", text);
    text.push_str("    post-processors:\n\n");
    if build.chains.is_empty() {
        text.push_str("      <no post-processor>\n");
    }
    for (index, chain) in build.chains.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "      {index}:");
        for step in chain {
            let _ = writeln!(text, "        {}", step_name(step));
        }
    }
    text.push('\n');
}

fn section(title: &str, none: &str, mut lines: Vec<String>, between: &str, text: &mut String) {
    if lines.is_empty() {
        lines.push(none.to_owned());
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("      {line}")).collect();
    let _ = write!(text, "    {title}:\n\n{}\n\n", lines.join(between));
}

fn step_name(step: &Step) -> String {
    match &step.meta.name {
        Some(name) if !name.is_empty() => format!("{}.{name}", step.component.text),
        _ => step.component.text.clone(),
    }
}
