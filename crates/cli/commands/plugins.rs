//! `plugins`: there are none to install, but scripts written for Packer ask about them. What they ask is answered from what is
//! built in.

use std::fmt::Write as _;

use bakelite_engine::registry::Registry;
use bakelite_template::component::ComponentKind;
use bakelite_template::plugins::{BUILT_IN, BuiltIn, Requirement};
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
            let failure = Failure::new(format!("remove plugin `{source}`: no plugin is installed"));
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
    for plugin in BUILT_IN {
        let components = components(registry, |name| belongs_to(name, plugin));
        if !components.is_empty() {
            let _ = writeln!(text, "{} {} (built in)", plugin.source, plugin.version);
            text.push_str(&components);
        }
    }
    let _ = writeln!(text, "Packer's own components (built in)");
    text + &components(registry, |name| !BUILT_IN.iter().any(|plugin| belongs_to(name, plugin)))
}

fn components(registry: &Registry, wanted: impl Fn(&str) -> bool) -> String {
    let mut lines: Vec<(ComponentKind, &str)> = registry
        .iter()
        .map(|one| (one.component.kind, one.component.name))
        .filter(|(_, name)| wanted(name))
        .collect();
    lines.sort_unstable();
    lines.iter().fold(String::new(), |mut text, (kind, name)| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {:<15} {name}", kind.to_string());
        text
    })
}

fn belongs_to(component: &str, plugin: &BuiltIn) -> bool {
    let rest = component.strip_prefix(plugin.prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn built_in(source: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|plugin| plugin.source == source)
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
        Some(plugin) if allows(version, plugin) => format!("built in ({})", plugin.version),
        Some(plugin) => format!("built in is {}", plugin.version),
        None => "not available".to_owned(),
    };
    format!("{name} {source} \"{version}\" {answer}\n")
}

fn allows(wanted: &Constraint, plugin: &BuiltIn) -> bool {
    let version = plugin.version.parse();
    version.is_ok_and(|version| wanted.allows(&version))
}

fn install(source: &str, version: Option<&str>) -> Result<Status, Failure> {
    let Some(plugin) = built_in(source) else {
        let known: Vec<&str> = BUILT_IN.iter().map(|plugin| plugin.source).collect();
        return Err(
            Failure::new(format!("install plugin `{source}`: it is not available")).help(format!(
                "bakelite runs no plugins; built in are the components of {}",
                known.join(", ")
            )),
        );
    };
    if let Some(wanted) = version {
        let constraint: Constraint = wanted.strip_prefix('v').unwrap_or(wanted).parse().map_err(|error| {
            Failure::new(format!("install plugin `{source}` in version `{wanted}`")).because(&error)
        })?;
        if !allows(&constraint, plugin) {
            return Err(Failure::new(format!(
                "install plugin `{source}` in version `{wanted}`: built in is {}",
                plugin.version
            )));
        }
    }
    print(&format!(
        "The components of {source} are built in, as of version {}: nothing has to be installed.\n",
        plugin.version
    ));
    Ok(Status::Ok)
}
