//! `required_plugins`: what a template asks for, and what bakelite has built in that answers it.

mod catalogue;

use std::collections::{BTreeMap, BTreeSet};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::evaluate;
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::Attribute;
use bakelite_hcl::value::Value;

use crate::version::Constraint;

pub(crate) use catalogue::is_of_packer;
pub use catalogue::{PLUGINS, Plugin, built_in, missing, plugin_of};

/// One entry of `required_plugins`.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// The local name, which prefixes the component names.
    pub name: String,
    /// `github.com/hashicorp/amazon`
    pub source: String,
    /// The versions that will do.
    pub version: Constraint,
    /// The entry.
    pub place: Place,
}

/// Reads one entry.
pub(crate) fn requirement(attribute: &Attribute, diagnostics: &mut Diagnostics) -> Option<Requirement> {
    let name = &attribute.name;
    let mut complain = |place: Place, summary: String, help: &str| {
        diagnostics.push(Diagnostic::error(place, summary).help(help.to_owned()));
    };
    let example = "write `NAME = { version = \">= 1.2.0\", source = \"github.com/hashicorp/NAME\" }`";
    if !is_local_name(&name.text) {
        let summary = format!("`{}` cannot be the local name of a plugin", name.text);
        complain(name.place, summary, "use lower-case letters, digits and single dashes");
        return None;
    }
    let mut found = Diagnostics::default();
    let value = evaluate::literal(&attribute.expression, &mut found);
    if found.has_errors() {
        diagnostics.extend(found);
        return None;
    }
    let Some(members) = value.members() else {
        complain(
            attribute.place,
            format!("plugin `{}` is not described by an object", name.text),
            example,
        );
        return None;
    };
    if let Some(other) = members.keys().find(|key| !matches!(key.as_ref(), "version" | "source")) {
        complain(
            attribute.place,
            format!("plugin `{}` has an unknown property `{other}`", name.text),
            example,
        );
        return None;
    }
    let text = |key: &str| members.get(key).and_then(Value::as_str);
    let (Some(version), Some(source)) = (text("version"), text("source")) else {
        let missing = if text("version").is_none() { "version" } else { "source" };
        complain(
            attribute.place,
            format!("plugin `{}` lacks its `{missing}`", name.text),
            example,
        );
        return None;
    };
    if let Err(problem) = check_source(source) {
        let help =
            "write the host, the owner and the plugin's name without `packer-plugin-`: `github.com/hashicorp/amazon`";
        complain(
            attribute.place,
            format!("source `{source}` of plugin `{}` {problem}", name.text),
            help,
        );
        return None;
    }
    let help = "write terms such as `>= 1.2.0, < 2.0.0` or `~> 1.2`";
    match version.parse::<Constraint>() {
        Ok(constraint) if constraint.has_prerelease() => {
            let summary = format!("version `{version}` of plugin `{}` names a prerelease", name.text);
            complain(attribute.place, summary, help);
            None
        }
        Ok(constraint) => Some(Requirement {
            name: name.text.clone(),
            source: source.to_owned(),
            version: constraint,
            place: attribute.place,
        }),
        Err(_) => {
            let summary = format!(
                "version `{version}` of plugin `{}` is not a version constraint",
                name.text
            );
            complain(attribute.place, summary, help);
            None
        }
    }
}

fn is_local_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = name.starts_with('-') || name.ends_with('-');
    !name.is_empty() && name.len() <= 63 && name.chars().all(plain) && !edges && !name.contains("--")
}

fn check_source(source: &str) -> Result<(), &'static str> {
    if source.contains("://") {
        return Err("has a scheme");
    }
    if source.contains(['?', '#']) {
        return Err("has a query or a fragment");
    }
    if source.starts_with('/') || source.ends_with('/') {
        return Err("begins or ends with a slash");
    }
    let parts: Vec<&str> = source.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("has an empty part");
    }
    match parts.len() {
        0..3 => Err("has fewer than three parts"),
        17.. => Err("has more than sixteen parts"),
        _ if parts.last().is_some_and(|name| name.starts_with("packer-")) => {
            Err("repeats the prefix of the repository's name")
        }
        _ => Ok(()),
    }
}

/// Checks requirements against each other and against what is built in. A version other than the built-in one is a warning: it is what
/// there is.
pub(crate) fn check(requirements: &[Requirement], diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    for requirement in requirements {
        let name = &requirement.name;
        if let Some(first) = seen.insert(name, requirement.place) {
            diagnostics.push(
                Diagnostic::error(requirement.place, format!("plugin `{name}` is required twice"))
                    .related(first, "first here"),
            );
        }
        let Some(version) = built_in(&requirement.source).and_then(|plugin| plugin.version) else {
            continue;
        };
        let is_met = version
            .parse()
            .is_ok_and(|version| requirement.version.allows(&version));
        if !is_met {
            let summary = format!(
                "plugin `{name}` is required in version `{}`, built in is {version}",
                requirement.version
            );
            diagnostics.push(Diagnostic::warning(requirement.place, summary).help(
                "the components behave as those of the version that is built in; widen the constraint".to_owned(),
            ));
        }
    }
}

/// Warns of required plugins of which nothing is built in, unless a component of theirs has been refused already.
pub(crate) fn check_missing(requirements: &[Requirement], refused: &BTreeSet<String>, diagnostics: &mut Diagnostics) {
    for requirement in requirements {
        let source = &requirement.source;
        if built_in(source).is_some() || refused.contains(source) {
            continue;
        }
        let built_in = PLUGINS.iter().filter(|plugin| plugin.version.is_some());
        let known: Vec<String> = built_in.map(|plugin| format!("`{}`", plugin.source)).collect();
        diagnostics.push(
            Diagnostic::warning(requirement.place, format!("plugin `{source}` is not built in"))
                .detail("bakelite has its components built in and runs no plugins.")
                .help(format!(
                    "built in are components of {}; nothing else can be used by a build that runs",
                    known.join(" and ")
                )),
        );
    }
}

/// The built-in name of a component that a template calls by its plugin's local name: with `aws = { source = ".../amazon" }`,
/// `aws-ebs` is `amazon-ebs`.
pub(crate) fn built_in_name(requirements: &[Requirement], name: &str) -> Option<String> {
    requirements.iter().find_map(|requirement| {
        let plugin = built_in(&requirement.source)?;
        Some(format!("{}{}", plugin.name(), requirement.rest_of(name)?))
    })
}

/// The plugin that a component is required of, where nothing of it is built in.
pub(crate) fn foreign_source<'a>(requirements: &'a [Requirement], name: &str) -> Option<&'a str> {
    let mut own = requirements
        .iter()
        .filter(|requirement| requirement.rest_of(name).is_some());
    let first = own.next()?;
    let is_foreign = |requirement: &Requirement| built_in(&requirement.source).is_none();
    (is_foreign(first) && own.all(is_foreign)).then_some(first.source.as_str())
}

impl Requirement {
    /// What follows the plugin's local name in the name of a component: nothing, or `-` and more.
    fn rest_of<'a>(&self, component: &'a str) -> Option<&'a str> {
        let rest = component.strip_prefix(self.name.as_str())?;
        (rest.is_empty() || rest.starts_with('-')).then_some(rest)
    }
}
