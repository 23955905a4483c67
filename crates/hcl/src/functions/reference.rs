//! The reference page of the functions.

use std::fmt::Write as _;

use super::{Function, Groups, Parameter, Returns};
use crate::types::Type;

/// A page in Markdown with a section for each group: made from the rows, so that it says what the functions do.
pub fn reference(groups: &Groups) -> String {
    let count: usize = groups.iter().map(|(_, group)| group.len()).sum();
    let mut page = format!(
        "# Functions\n\nThe {count} functions that expressions can call. `any` takes a value of every type; `…` marks a parameter that \
         may be given any number of times, `?` one that may be null. Unless said otherwise a null argument is an error, and a value \
         that is not known yet gives a result that is not known yet.\n"
    );
    for (title, group) in groups {
        let _ = writeln!(page, "\n## {title}");
        for function in *group {
            page.push_str(&section(function));
        }
    }
    page
}

fn section(function: &Function) -> String {
    let variadic = function.variadic.map(|parameter| format!("{}…", signature(parameter)));
    let parameters: Vec<String> = function.parameters.iter().map(signature).chain(variadic).collect();
    let mut section = format!(
        "\n### `{}`\n\n`{}({})` → `{}`\n\n{}\n\n```hcl\n",
        function.name,
        function.name,
        parameters.join(", "),
        result(function.result),
        function.doc
    );
    for (expression, value) in function.examples {
        section.push_str(expression);
        section.push('\n');
        for line in value.lines() {
            let _ = writeln!(section, "# {line}");
        }
    }
    section.push_str("```\n");
    section
}

fn signature(parameter: &Parameter) -> String {
    format!(
        "{}{}: {}",
        parameter.name,
        if parameter.nullable { "?" } else { "" },
        constraint(&(parameter.kind)())
    )
}

fn result(returns: Returns) -> String {
    match returns {
        Returns::Type(kind) => constraint(&kind()),
        Returns::Varies(words) => words.to_owned(),
    }
}

/// A type as it is written in a template.
fn constraint(kind: &Type) -> String {
    match kind {
        Type::Dynamic => "any".to_owned(),
        Type::List(element) => format!("list({})", constraint(element)),
        Type::Set(element) => format!("set({})", constraint(element)),
        Type::Map(element) => format!("map({})", constraint(element)),
        other => other.to_string(),
    }
}
