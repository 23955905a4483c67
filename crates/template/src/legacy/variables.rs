//! Values of a legacy template's variables: defaults may refer to the environment and to each other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::scope::World;
use regex::Regex;

use super::Legacy;
use crate::gotemplate::{self, Rendering};

#[expect(clippy::unwrap_used, reason = "the expression is a constant that a test reads")]
pub(crate) static REFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"\buser\s+[`"]([^`"]*)[`"]"#).unwrap());

/// The value of each variable. A value from outside is taken as it is; a default is rendered when those that it refers to are.
pub(crate) fn resolve(
    legacy: &Legacy,
    rendering: &Rendering,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = legacy
        .given
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut open: Vec<&String> = legacy
        .variables
        .keys()
        .filter(|name| !values.contains_key(*name))
        .collect();
    open.retain(|name| {
        let variable = legacy.variables.get(*name);
        if variable.is_some_and(|variable| variable.default.is_none()) {
            let place = variable.map(|variable| variable.place);
            diagnostics.push(
                Diagnostic::error(place, format!("required variable `{name}` has no value"))
                    .help(format!("set it with `-var {name}=…` or in a file for `-var-file`")),
            );
            return false;
        }
        true
    });
    loop {
        let before = open.len();
        open.retain(|name| {
            let Some(variable) = legacy.variables.get(*name) else {
                return false;
            };
            let default = variable.default.as_deref().unwrap_or_default();
            let waits = REFERENCE.captures_iter(default).any(|found| {
                let name = found.get(1).map_or("", |name| name.as_str());
                !values.contains_key(name) && legacy.variables.contains_key(name)
            });
            if waits {
                return true;
            }
            let rendering = Rendering {
                user: Some(values.clone()),
                ..rendering.clone()
            };
            match gotemplate::render_asking(default, &rendering, Some(world)) {
                Ok(value) => {
                    values.insert((*name).clone(), value);
                }
                Err(error) => diagnostics.push(Diagnostic::error(
                    variable.place,
                    format!("default of variable `{name}`: {error}"),
                )),
            }
            false
        });
        if open.len() == before || open.is_empty() {
            break;
        }
    }
    if let Some(first) = open.first().filter(|_| !diagnostics.has_errors()) {
        let names: Vec<String> = open.iter().take(10).map(|name| format!("`{name}`")).collect();
        let place = legacy.variables.get(*first).map(|variable| variable.place);
        diagnostics.push(
            Diagnostic::error(place, "variables refer to each other in a circle").detail(format!(
                "None of {} can be evaluated before the others.",
                names.join(", ")
            )),
        );
    }
    values
}
