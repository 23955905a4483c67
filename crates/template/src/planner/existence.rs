//! Do the sources and components that builds name exist? Checked before any build is planned: sources of all builds, components of those
//! that are wanted.

use std::collections::{BTreeSet, HashSet};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::source::Place;

use crate::builds::{Build, SourceUse, Step, running};
use crate::component::{ComponentKind, Components};
use crate::filter::Selection;
use crate::plugins;
use crate::template::{Content, Template};

/// Reports everything that does not exist and would run, in the order of the builds, each place once. Returns the sources of the plugins
/// whose components are refused.
pub(super) fn check(
    template: &Template,
    builds: &[Build],
    selection: &Selection,
    components: &dyn Components,
    diagnostics: &mut Diagnostics,
) -> BTreeSet<String> {
    let mut seen: HashSet<Place> = HashSet::new();
    let mut refused = BTreeSet::new();
    for build in builds {
        let is_wanted = |used: &&SourceUse| selection.wants(&build.selected_as(used));
        for used in &build.uses {
            if used.source_options.is_none() {
                diagnostics.push(no_source(template, build, used));
            }
        }
        let mut check = |kind: ComponentKind, name: &str, place: Place, related: &[(Place, &str)]| {
            if template.component(kind, name, components).is_none() && seen.insert(place) {
                refused.extend(plugin_of(template, kind, name).map(str::to_owned));
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
        let wanted: Vec<String> = build.uses.iter().filter(is_wanted).map(SourceUse::short_name).collect();
        let runs = |step: &&Step| build.uses.is_empty() || wanted.iter().any(|name| step.meta.applies_to(name));
        for step in build.provisioners.iter().chain(&build.error_cleanup).filter(runs) {
            check(ComponentKind::Provisioner, &step.component.text, step.place, &[]);
        }
        let any = build.uses.is_empty().then_some(None);
        let sources: Vec<Option<&str>> = any
            .into_iter()
            .chain(wanted.iter().map(|name| Some(name.as_str())))
            .collect();
        for chain in &build.chains {
            for step in sources.iter().flat_map(|source| running(chain, selection, *source)) {
                check(ComponentKind::PostProcessor, &step.component.text, step.place, &[]);
            }
        }
    }
    refused
}

/// The plugin of a component that does not exist here, by what the template requires or by its name.
fn plugin_of<'a>(template: &'a Template, kind: ComponentKind, name: &str) -> Option<&'a str> {
    let by_name = || plugins::plugin_of(kind, name).map(|plugin| plugin.source);
    plugins::foreign_source(template.requirements(), name).or_else(by_name)
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
    let diagnostic = match plugin_of(template, kind, name) {
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
