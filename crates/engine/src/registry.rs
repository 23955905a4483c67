//! All components there are: declarations from the component crates' slices, each with its constructor.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, Components, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use crate::builder::Builder;
use crate::data_source::DataSource;
use crate::error::Error;
use crate::options::{Unusable, construct};
use crate::post_processor::PostProcessor;
use crate::private_file::ThisMachine;
use crate::provisioner::{Provisioner, RunContext};
use crate::undo::Undo;

pub use crate::options::Constructor;

/// A component with its constructor; each component crate has a slice of these.
pub struct Registration {
    /// What it declares.
    pub component: Component,
    /// How one is made.
    pub make: Make,
    /// For a builder that makes temporary resources: what removes them, with the credentials of this environment. Clean-up after a bake
    /// and `gc` use the same.
    pub undo: Option<MakeUndo>,
}

/// Makes what removes an owner's resources, from a run's environment variables.
pub type MakeUndo = fn(Arc<BTreeMap<String, String>>) -> Arc<dyn Undo>;

/// The constructor, by kind.
#[derive(Clone, Copy)]
pub enum Make {
    /// Of a builder.
    Builder(Constructor<dyn Builder>),
    /// Of a provisioner.
    Provisioner(Constructor<dyn Provisioner>),
    /// Of a post-processor.
    PostProcessor(Constructor<dyn PostProcessor>),
    /// Of a data source.
    DataSource(Constructor<dyn DataSource>),
}

impl Make {
    const fn kind(&self) -> ComponentKind {
        match self {
            Make::Builder(_) => ComponentKind::Builder,
            Make::Provisioner(_) => ComponentKind::Provisioner,
            Make::PostProcessor(_) => ComponentKind::PostProcessor,
            Make::DataSource(_) => ComponentKind::DataSource,
        }
    }
}

impl Registration {
    /// A component of the kind that `make` makes, which yields nothing of its own and has nothing to undo.
    pub const fn plain(name: &'static str, doc: &'static str, schema: fn() -> Schema, make: Make) -> Self {
        let yields = match make {
            Make::Builder(_) => Yields::BuildData(&[]),
            _ => Yields::Nothing,
        };
        let component = Component {
            kind: make.kind(),
            name,
            doc,
            schema,
            yields,
        };
        Self {
            component,
            make,
            undo: None,
        }
    }

    /// The same for a component that yields this.
    #[must_use]
    pub const fn yielding(mut self, yields: Yields) -> Self {
        self.component.yields = yields;
        self
    }

    /// The same for a builder whose temporary resources are removed by this.
    #[must_use]
    pub const fn undone_by(mut self, undo: MakeUndo) -> Self {
        self.undo = Some(undo);
        self
    }
}

/// The components of all slices.
#[derive(Clone)]
pub struct Registry {
    registrations: Vec<&'static Registration>,
}

impl Registry {
    /// The components of these slices.
    pub fn new(slices: &[&'static [Registration]]) -> Self {
        Self {
            registrations: slices.iter().flat_map(|slice| slice.iter()).collect(),
        }
    }

    /// All of them, in the order of the slices.
    pub fn iter(&self) -> impl Iterator<Item = &'static Registration> + '_ {
        self.registrations.iter().copied()
    }

    /// The constructor of a component.
    pub fn make(&self, kind: ComponentKind, name: &str) -> Option<Make> {
        self.registration(kind, name).map(|registration| registration.make)
    }

    /// What removes the temporary resources that components of this program make: theirs, and the private files of this machine. One for
    /// each owner.
    pub fn owners(&self, environment: &Arc<BTreeMap<String, String>>) -> Vec<Arc<dyn Undo>> {
        let mut owners: Vec<Arc<dyn Undo>> = vec![Arc::new(ThisMachine)];
        for make in self.iter().filter_map(|registration| registration.undo) {
            let owner = make(Arc::clone(environment));
            if owners.iter().all(|known| known.owner() != owner.owner()) {
                owners.push(owner);
            }
        }
        owners
    }

    /// The value of a data source, `data.TYPE.NAME`, for these options.
    pub async fn read(&self, name: &str, options: &Decoded, run: &RunContext) -> Result<Value, Error> {
        let kind = ComponentKind::DataSource;
        let Some(Make::DataSource(make)) = self.make(kind, name) else {
            return Err(Unusable::unknown(kind, name).into());
        };
        // What it warns of was reported when the template was checked.
        let (source, _) = construct(kind, name, options, make)?;
        source.read(run).await
    }

    fn registration(&self, kind: ComponentKind, name: &str) -> Option<&'static Registration> {
        self.iter()
            .find(|registration| registration.component.kind == kind && registration.component.name == name)
    }
}

impl Components for Registry {
    fn find(&self, kind: ComponentKind, name: &str) -> Option<&Component> {
        self.registration(kind, name)
            .map(|registration| &registration.component)
    }

    fn names(&self, kind: ComponentKind) -> Vec<&'static str> {
        let of_kind = self.iter().filter(|registration| registration.component.kind == kind);
        let mut names: Vec<_> = of_kind.map(|registration| registration.component.name).collect();
        names.sort_unstable();
        names
    }

    fn check(&self, kind: ComponentKind, name: &str, options: &Decoded) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        match self.make(kind, name) {
            Some(Make::Builder(make)) => drop(make(options, &mut complaints)),
            Some(Make::Provisioner(make)) => drop(make(options, &mut complaints)),
            Some(Make::PostProcessor(make)) => drop(make(options, &mut complaints)),
            Some(Make::DataSource(make)) => drop(make(options, &mut complaints)),
            None => complaints.push(Complaint::error("", format!("{kind} `{name}` is unknown"))),
        }
        complaints
    }
}

/// The options of a component as its own type; a newtype that refuses a value becomes a complaint. For constructors.
pub fn read_options<T: serde::de::DeserializeOwned>(options: &Decoded, complaints: &mut Vec<Complaint>) -> Option<T> {
    options
        .options()
        .map_err(|error| complaints.push(Complaint::error("", error.to_string())))
        .ok()
}
