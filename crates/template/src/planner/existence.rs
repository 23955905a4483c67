//! Do the sources and components that builds name exist? Checked before any build is planned: sources of all builds, components of those
//! that are wanted.

use std::collections::HashSet;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::source::Place;

use crate::builds::{Build, SourceUse};
use crate::component::{ComponentKind, Components};
use crate::filter::Selection;
use crate::plugins;
use crate::template::{Content, Template};

/// Reports everything that does not exist, in the order of the builds, each place once.
pub(super) fn check(
    template: &Template,
    builds: &[Build],
    selection: &Selection,
    components: &dyn Components,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: HashSet<Place> = HashSet::new();
    for build in builds {
        let is_wanted = |used: &&SourceUse| selection.wants(&build.selected_as(used));
        for used in &build.uses {
            if used.source_options.is_none() {
                diagnostics.push(no_source(template, build, used));
            }
        }
        let mut check = |kind: ComponentKind, name: &str, place: Place, related: &[(Place, &str)]| {
            let registered = template.component_name(kind, name, components);
            if components.find(kind, &registered).is_none() && seen.insert(place) {
                let unknown = unknown(template, kind, name, place, components);
                let elsewhere = related.iter().filter(|(related, _)| *related != place);
                diagnostics.push(elsewhere.fold(unknown, |unknown, (place, what)| unknown.related(*place, *what)));
            }
        };
        for used in build.uses.iter().filter(is_wanted) {
            if let Some(options) = &used.source_options {
                let related = [(used.place, "used here"), (build.place, "by this build")];
                check(ComponentKind::Builder, &used.source.0, options.component, &related);
            }
        }
        if !build.uses.is_empty() && !build.uses.iter().any(|used| is_wanted(&used)) {
            continue;
        }
        for step in build.provisioners.iter().chain(&build.error_cleanup) {
            check(ComponentKind::Provisioner, &step.component.text, step.place, &[]);
        }
        for step in build.chains.iter().flatten() {
            check(ComponentKind::PostProcessor, &step.component.text, step.place, &[]);
        }
    }
}

fn no_source(template: &Template, build: &Build, used: &SourceUse) -> Diagnostic {
    let declared = match &template.content {
        Content::Hcl(hcl) => hcl.blocks.sources.keys().collect(),
        Content::Legacy(_) => Vec::new(),
    };
    let known: Vec<String> = declared.iter().map(|(kind, name)| format!("{kind}.{name}")).collect();
    let full = format!("{}.{}", used.source.0, used.source.1);
    let help = match similar_name(&full, known.iter().map(String::as_str)) {
        Some(similar) => format!("did you mean `source.{similar}`?"),
        None if known.is_empty() => "the template declares no source".to_owned(),
        None => format!("the template declares {}", list(&known)),
    };
    Diagnostic::error(used.place, format!("there is no source `{full}`"))
        .related(build.place, "in this block")
        .help(help)
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

/// What to report of a component that does not exist here. One that Packer has is no typing error.
pub(super) fn unknown(
    template: &Template,
    kind: ComponentKind,
    name: &str,
    place: Place,
    components: &dyn Components,
) -> Diagnostic {
    let known = components.names(kind);
    let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let requirement = plugins::requirement_of(template.requirements(), name);
    let source = match requirement {
        Some(requirement) if plugins::built_in(&requirement.source).is_none() => Some(requirement.source.as_str()),
        _ => plugins::plugin_of(kind, name).map(|plugin| plugin.source),
    };
    let diagnostic = match source {
        Some(source) => {
            let summary = format!("{kind} `{name}` of plugin `{source}` is not available");
            Diagnostic::error(place, summary).detail("Packer has it, bakelite has not.")
        }
        None if plugins::is_of_packer(kind, name) => {
            let summary = format!("{kind} `{name}` is not available");
            Diagnostic::error(place, summary).detail("Packer has it, bakelite has not.")
        }
        None => {
            let help = match similar_name(name, known.iter().map(String::as_str)) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("there are {}", list(&known)),
            };
            return Diagnostic::error(place, format!("there is no {kind} `{name}`")).help(help);
        }
    };
    diagnostic.help(match kind {
        ComponentKind::Builder => "leave its builds out with `-only` or `-except`".to_owned(),
        _ => format!("bakelite has {}", list(&known)),
    })
}
