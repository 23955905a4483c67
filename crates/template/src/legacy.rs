//! Legacy JSON templates: builders, provisioners, post-processors and variables in one object.

mod fix;
mod inspect;
mod lower;
mod read;
mod upgrade;
mod variables;

use std::path::PathBuf;
use std::sync::Arc;

use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{JsonKind, JsonValue, Name};
use indexmap::IndexMap;

pub use fix::fix;
pub use inspect::Inspected;
pub(crate) use inspect::inspect;
pub(crate) use lower::{lower, names_of};
pub(crate) use read::read;
pub(crate) use upgrade::upgrade;
pub(crate) use variables::{REFERENCE, resolve};

/// A legacy template, checked in its structure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Legacy {
    /// `min_packer_version`
    pub(crate) min_version: Option<String>,
    /// `description`
    pub(crate) description: Option<String>,
    /// Defaults of variables; `None`: required.
    pub(crate) variables: IndexMap<String, Variable>,
    /// Values from the command line and from files.
    pub(crate) given: IndexMap<String, String>,
    /// Names of variables whose values must not be shown.
    pub(crate) sensitive: Vec<String>,
    /// `"builders": {}`: there is nothing to bake, and that is meant.
    pub(crate) is_empty: bool,
    /// `builders`
    pub(crate) builders: Vec<Builder>,
    /// `provisioners`
    pub(crate) provisioners: Vec<Step>,
    /// `error-cleanup-provisioner`
    pub(crate) error_cleanup: Option<Step>,
    /// `post-processors`
    pub(crate) chains: Vec<Vec<Step>>,
    /// `{{ template_dir }}`
    pub(crate) directory: PathBuf,
}

impl Legacy {
    /// Does every variable have a default or a value?
    pub(crate) fn is_complete(&self) -> bool {
        let mut variables = self.variables.iter();
        variables.all(|(name, variable)| variable.default.is_some() || self.given.contains_key(name))
    }
}

/// A variable's default.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) default: Option<String>,
    pub(crate) place: Place,
}

/// One of `builders`.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    /// `type`
    pub(crate) component: String,
    /// `name`, as it stands; the type where there is none.
    pub(crate) name: String,
    /// The options.
    pub(crate) properties: Arc<[(Name, JsonValue)]>,
    /// The object.
    pub(crate) place: Place,
}

/// A provisioner or a post-processor.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// `type`
    pub(crate) component: String,
    /// Meta-arguments by name.
    pub(crate) meta: IndexMap<String, JsonValue>,
    /// The options.
    pub(crate) properties: Arc<[(Name, JsonValue)]>,
    /// The object.
    pub(crate) place: Place,
}

impl Step {
    /// The texts of a meta-argument that is a list of names.
    pub(crate) fn names(&self, meta: &str) -> Vec<(String, Place)> {
        let text = |value: &JsonValue| match &value.kind {
            JsonKind::String(text) => Some((text.clone(), value.place)),
            _ => None,
        };
        match self.meta.get(meta) {
            Some(JsonValue {
                kind: JsonKind::Array(all),
                ..
            }) => all.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// How `-except` names it, where it is a post-processor.
    pub(crate) fn name(&self) -> String {
        match self.meta.get("name").map(|name| &name.kind) {
            Some(JsonKind::String(name)) => name.clone(),
            _ => self.component.clone(),
        }
    }

    /// Does it run for the builder of that name?
    pub(crate) fn applies_to(&self, builder: &str) -> bool {
        let is_named = |meta: &str| self.names(meta).iter().any(|(name, _)| name == builder);
        (self.names("only").is_empty() || is_named("only")) && !is_named("except")
    }
}
