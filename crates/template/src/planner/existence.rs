//! Do the sources and components that builds name exist? Checked for all builds before any is planned.

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::source::Place;

use crate::builds::{Build, Step};
use crate::component::{ComponentKind, Components};
use crate::plugins;
use crate::template::{Hcl, Template};

/// Complains about everything that does not exist, in the order of the builds.
pub(super) fn check(hcl: &Hcl, builds: &[Build], components: &dyn Components, diagnostics: &mut Diagnostics) {
    for build in builds {
        for used in &build.uses {
            let (kind, name) = &used.source;
            if !hcl.blocks.sources.contains_key(&used.source) {
                let known = hcl.blocks.sources.keys().map(|(kind, name)| format!("{kind}.{name}"));
                let known: Vec<String> = known.collect();
                let full = format!("{kind}.{name}");
                let help = match similar_name(&full, known.iter().map(String::as_str)) {
                    Some(similar) => format!("did you mean `source.{similar}`?"),
                    None if known.is_empty() => "the template declares no source".to_owned(),
                    None => format!("the template declares {}", list(&known)),
                };
                diagnostics.push(
                    Diagnostic::error(used.place, format!("there is no source `{full}`"))
                        .related(build.place, "in this block")
                        .help(help),
                );
            }
            if let Some(source) = hcl.blocks.sources.get(&used.source)
                && !exists(hcl, ComponentKind::Builder, kind, components)
            {
                diagnostics.push(
                    unknown(ComponentKind::Builder, kind, source.component.place, components)
                        .related(used.place, "used here")
                        .related(build.place, "by this build"),
                );
            }
        }
        let mut check = |step: &Step, kind: ComponentKind| {
            if !exists(hcl, kind, &step.component.text, components) {
                diagnostics.push(unknown(kind, &step.component.text, step.place, components));
            }
        };
        build
            .provisioners
            .iter()
            .chain(&build.error_cleanup)
            .for_each(|step| check(step, ComponentKind::Provisioner));
        build
            .chains
            .iter()
            .flatten()
            .for_each(|step| check(step, ComponentKind::PostProcessor));
    }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(10);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

fn exists(hcl: &Hcl, kind: ComponentKind, name: &str, components: &dyn Components) -> bool {
    components.find(kind, &built_in(hcl, kind, name, components)).is_some()
}

/// The name under which a component is registered: a plugin's local name in front of it is replaced.
pub(super) fn built_in(hcl: &Hcl, kind: ComponentKind, name: &str, components: &dyn Components) -> String {
    if components.find(kind, name).is_some() {
        return name.to_owned();
    }
    plugins::built_in_name(&hcl.blocks.requirements, name).unwrap_or_else(|| name.to_owned())
}

/// What to say of a component that does not exist.
pub(crate) fn unknown(kind: ComponentKind, name: &str, place: Place, components: &dyn Components) -> Diagnostic {
    let known = components.names(kind);
    let help = if let Some(similar) = similar_name(name, known.iter().copied()) {
        format!("did you mean `{similar}`?")
    } else {
        let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
        format!("there are {}", list(&known))
    };
    Diagnostic::error(place, format!("there is no {kind} `{name}`")).help(help)
}

impl Template {
    /// The name under which a component is registered.
    pub(super) fn component_name(&self, kind: ComponentKind, name: &str, components: &dyn Components) -> String {
        if components.find(kind, name).is_some() {
            return name.to_owned();
        }
        plugins::built_in_name(self.requirements(), name).unwrap_or_else(|| name.to_owned())
    }
}
