//! What `inspect` prints of a legacy template.

use super::{Legacy, Step};
use crate::secrets::MASK;

/// The messages of `inspect`.
pub(crate) fn inspect(legacy: &Legacy) -> Vec<String> {
    let mut lines = vec!["Packer Inspect: JSON mode".to_owned()];
    if let Some(description) = legacy
        .description
        .as_ref()
        .filter(|description| !description.is_empty())
    {
        lines.push("Description:\n".to_owned());
        lines.push(format!("{description}\n"));
    }
    variables(legacy, &mut lines);
    lines.push("Builders:\n".to_owned());
    let mut builders: Vec<(&str, &str)> = legacy
        .builders
        .iter()
        .map(|builder| (builder.name.as_str(), builder.component.as_str()))
        .collect();
    builders.sort_unstable();
    let width = builders.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, component) in builders {
        lines.push(if name == component {
            format!("  {name}")
        } else {
            format!("  {name:width$} ({component})")
        });
    }
    lines.push(String::new());
    lines.push("Provisioners:\n".to_owned());
    if legacy.provisioners.is_empty() {
        lines.push("  <No provisioners>".to_owned());
    }
    lines.extend(
        legacy
            .provisioners
            .iter()
            .map(|step: &Step| format!("  {}", step.component)),
    );
    lines.push(
        "\nNote: If your build names contain user variables or template\n\
         functions such as 'timestamp', these are processed at build time,\n\
         and therefore only show in their raw form here."
            .to_owned(),
    );
    lines
}

fn variables(legacy: &Legacy, lines: &mut Vec<String>) {
    if legacy.variables.is_empty() {
        lines.push("Variables:\n".to_owned());
        lines.push("  <No variables>\n".to_owned());
        return;
    }
    let mut required: Vec<&String> = Vec::new();
    let mut optional: Vec<(&String, &str)> = Vec::new();
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
        lines.push("Required variables:\n".to_owned());
        lines.extend(required.into_iter().map(|name| format!("  {name}")));
        lines.push(String::new());
    }
    if !optional.is_empty() {
        lines.push("Optional variables and their defaults:\n".to_owned());
        let width = optional.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines.extend(
            optional
                .into_iter()
                .map(|(name, default)| format!("  {name:width$} = {default}")),
        );
        lines.push(String::new());
    }
}
