//! `plugins`: there are none to install, but scripts written for Packer ask about them. What they ask is answered from what is
//! built in.

use std::fmt::Write as _;

use bakelite_engine::registry::Registry;
use bakelite_template::component::ComponentKind;
use bakelite_template::plugins::{PLUGINS, Plugin, Requirement, built_in, plugin_of};
use bakelite_template::version::Constraint;
use bakelite_template::{Purpose, UndeclaredVariables};

use super::print;
use crate::args::{PluginsCommand, TemplateArgs};
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;

pub(super) fn run(command: PluginsCommand, process: &Process) -> Result<Status, Failure> {
    match command {
        PluginsCommand::Installed => {
            print(&installed(&registry()));
            Ok(Status::Ok)
        }
        PluginsCommand::Required { path } => required(path, process),
        PluginsCommand::Install { source, version, .. } => install(&source, version.as_deref()),
        PluginsCommand::Remove { source, .. } => {
            let failure = Failure::new(format!("failed to remove plugin `{source}`: no plugin is installed"));
            Err(match built_in(&source) {
                Some(_) => failure.help("its components are built in, so there is nothing to remove"),
                None => failure,
            })
        }
    }
}

/// What is built in, by the plugin that it stands for.
fn installed(registry: &Registry) -> String {
    let mut text = String::new();
    for plugin in PLUGINS {
        if let Some(version) = plugin.version {
            let _ = writeln!(text, "{} {version} (built in)", plugin.source);
            text.push_str(&components(registry, |kind, name| {
                plugin.components(kind).contains(&name)
            }));
        }
    }
    let _ = writeln!(text, "Packer's own components (built in)");
    text + &components(registry, |kind, name| plugin_of(kind, name).is_none())
}

fn components(registry: &Registry, wanted: impl Fn(ComponentKind, &str) -> bool) -> String {
    let mut lines: Vec<(ComponentKind, &str)> = registry
        .iter()
        .map(|one| (one.component.kind, one.component.name))
        .filter(|(kind, name)| wanted(*kind, name))
        .collect();
    lines.sort_unstable();
    lines.iter().fold(String::new(), |mut text, (kind, name)| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {:<15} {name}", kind.to_string());
        text
    })
}

/// `NAME SOURCE "VERSIONS"`, and what answers it.
fn required(path: String, process: &Process) -> Result<Status, Failure> {
    let invocation = invocation(
        TemplateArgs::default(),
        path,
        Purpose::Init,
        UndeclaredVariables::Ignore,
        process,
    )?;
    let mut reading = Reading::default();
    let Some(template) = reading.open(&invocation, process) else {
        return Ok(Status::Failed);
    };
    if template.requirements().is_empty() {
        print("The template requires no plugins.\n");
    }
    template
        .requirements()
        .iter()
        .for_each(|requirement| print(&requirement_line(requirement)));
    Ok(Status::Ok)
}

fn requirement_line(requirement: &Requirement) -> String {
    let Requirement {
        name, source, version, ..
    } = requirement;
    let answer = match built_in(source) {
        Some(plugin) if allows(version, plugin) => format!("built in ({})", version_of(plugin)),
        Some(plugin) => format!("built in is {}", version_of(plugin)),
        None => "not available".to_owned(),
    };
    format!("{name} {source} \"{version}\" {answer}\n")
}

fn version_of(plugin: &Plugin) -> &str {
    plugin.version.unwrap_or_default()
}

fn allows(wanted: &Constraint, plugin: &Plugin) -> bool {
    let version = version_of(plugin).parse();
    version.is_ok_and(|version| wanted.allows(&version))
}

fn install(source: &str, version: Option<&str>) -> Result<Status, Failure> {
    let Some(plugin) = built_in(source) else {
        let built_in = PLUGINS.iter().filter(|plugin| plugin.version.is_some());
        let known: Vec<&str> = built_in.map(|plugin| plugin.source).collect();
        return Err(
            Failure::new(format!("failed to install plugin `{source}`: it is not available")).help(format!(
                "bakelite runs no plugins; built in are the components of {}",
                known.join(", ")
            )),
        );
    };
    if let Some(wanted) = version {
        let constraint: Constraint = wanted.strip_prefix('v').unwrap_or(wanted).parse().map_err(|error| {
            Failure::new(format!("failed to install plugin `{source}` in version `{wanted}`")).because(&error)
        })?;
        if !allows(&constraint, plugin) {
            return Err(Failure::new(format!(
                "failed to install plugin `{source}` in version `{wanted}`: built in is {}",
                version_of(plugin)
            )));
        }
    }
    print(&format!(
        "The components of {source} are built in, as of version {}: nothing has to be installed.\n",
        version_of(plugin)
    ));
    Ok(Status::Ok)
}

#[cfg(test)]
mod tests {
    use bakelite_template::plugins::missing;

    use super::*;

    #[test]
    fn the_catalogue_of_plugins_agrees_with_the_registry() {
        let registry = registry();
        for one in registry.iter() {
            let (kind, name) = (one.component.kind, one.component.name);
            if let Some(plugin) = plugin_of(kind, name) {
                assert!(
                    plugin.version.is_some(),
                    "{kind} {name}: {} has no version",
                    plugin.source
                );
            }
        }
        let is_registered = |kind, name: &str| {
            let mut all = registry.iter();
            all.any(|one| one.component.kind == kind && one.component.name == name)
        };
        for plugin in PLUGINS.iter().filter(|plugin| plugin.version.is_some()) {
            let missing = missing(&|_, _| false);
            let mut own = missing
                .iter()
                .filter(|(_, _, of)| of.is_some_and(|of| of.source == plugin.source));
            assert!(
                own.any(|(kind, name, _)| is_registered(*kind, name)),
                "nothing of {} is here",
                plugin.source
            );
        }
    }
}
