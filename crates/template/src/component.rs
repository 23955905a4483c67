//! What a component (builder, provisioner, post-processor, data source) declares about itself, and what planning asks of all of
//! them together. The constructor is not here: a trait lives where it is called, and the engine calls components.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bakelite_hcl::diagnostic::Severity;
use bakelite_hcl::scope::NoAnswer;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;

use crate::decode::Decoded;
use crate::schema::Schema;

/// The kinds of component, as templates name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    /// `source "TYPE" "NAME"`
    Builder,
    /// `provisioner "TYPE"`
    Provisioner,
    /// `post-processor "TYPE"`
    PostProcessor,
    /// `data "TYPE" "NAME"`
    DataSource,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ComponentKind::Builder => "builder",
            ComponentKind::Provisioner => "provisioner",
            ComponentKind::PostProcessor => "post-processor",
            ComponentKind::DataSource => "data source",
        })
    }
}

/// One component's declaration.
#[derive(Clone, Copy)]
pub struct Component {
    /// Its kind.
    pub kind: ComponentKind,
    /// Its name in templates: `amazon-ebs`, `shell`.
    pub name: &'static str,
    /// What it is for, one or two sentences (Markdown).
    pub doc: &'static str,
    /// Its options.
    pub schema: fn() -> Schema,
    /// What it yields.
    pub yields: Yields,
}

/// What the rest of the template can refer to because of a component.
#[derive(Clone, Copy)]
pub enum Yields {
    /// Nothing.
    Nothing,
    /// A builder: the `build.KEY`s that it adds to those of every builder.
    BuildData(&'static [&'static str]),
    /// A data source: the type of `data.TYPE.NAME`.
    Data(fn() -> Type),
}

/// Schemas that have been made: a component that a template uses five hundred times declares its options once.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    made: Mutex<BTreeMap<(ComponentKind, &'static str), Arc<Schema>>>,
}

impl Schemas {
    /// The schema of a component.
    pub(crate) fn of(&self, component: &Component) -> Arc<Schema> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry((component.kind, component.name))
            .or_insert_with(|| Arc::new((component.schema)()))
            .clone()
    }
}

/// One complaint of a component about its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Error or warning.
    pub severity: Severity,
    /// Which option is at fault, as a path (`tags`, `launch_block_device_mappings[0].volume_size`); empty: the block itself.
    pub option: String,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
}

impl Complaint {
    /// An error about one option; an empty name means the block itself.
    pub fn error(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            option: option.into(),
            message: message.into(),
            help: None,
        }
    }

    /// A warning about one option.
    pub fn warning(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(option, message)
        }
    }

    /// What is wrong, and with which option unless the message names it by itself.
    pub fn summary(&self) -> String {
        let option = format!("`{}`", self.option);
        if self.option.is_empty() || self.message.contains(&option) {
            self.message.clone()
        } else {
            format!("{option}: {}", self.message)
        }
    }

    /// The paths of the options that it depends on: the one it is about, and those that its message names in backticks, at the top
    /// or beside that one. None at all: it may depend on any.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if !self.option.is_empty() {
            options.push(self.option.clone());
        }
        let beside = self.option.rfind('.').and_then(|dot| self.option.get(..dot));
        for named in self.message.split('`').skip(1).step_by(2) {
            let end = named.find(|c: char| !c.is_alphanumeric() && !"_-.[]".contains(c));
            let Some(name) = named.get(..end.unwrap_or(named.len())).filter(|name| !name.is_empty()) else {
                continue;
            };
            options.extend(beside.map(|beside| format!("{beside}.{name}")));
            options.push(name.to_owned());
        }
        options
    }

    /// The same with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All components there are, as planning sees them. The engine's registry implements it.
pub trait Components: Send + Sync {
    /// The component of a kind and name.
    fn find(&self, kind: ComponentKind, name: &str) -> Option<&Component>;

    /// All names of a kind, sorted.
    fn names(&self, kind: ComponentKind) -> Vec<&'static str>;

    /// Rules across options: constructs the component and says what it complains about.
    fn check(&self, kind: ComponentKind, name: &str, options: &Decoded) -> Vec<Complaint>;
}

/// Questions to the world that planning has to ask: data sources and the functions that need a server.
#[async_trait]
pub trait DataSources: Send + Sync {
    /// The value of `data.TYPE.NAME` for these options, or why there is none and at which option.
    async fn read(&self, name: &str, options: &Decoded) -> Result<Value, Complaint>;

    /// The answer to `vault(…)`, `consul_key(…)`, `aws_secretsmanager(…)`, `aws_secretsmanager_raw(…)`, or why there is none.
    async fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, NoAnswer>;
}
