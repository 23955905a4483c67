//! The `{{ }}` engine: Go's text/template with the functions that Packer adds, as far as templates of images use it.

mod builtin;
mod datum;
mod execute;
mod functions;
mod lexer;
mod parser;
mod printf;
mod shield;
mod tree;

pub(crate) use datum::Datum;
pub(crate) use shield::{shielded, unshielded, until_rendered};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use bakelite_hcl::scope::World;

use crate::environment::Environment;
use crate::secrets::Derived;

/// What a `{{ }}` text can refer to.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// `{{ build_name }}`: the source's name.
    pub build_name: String,
    /// `{{ build_type }}`: the builder.
    pub build_type: String,
    /// `{{ .Name }}`: strings, or maps and lists of them.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// `{{ build `KEY` }}`; absent where build data is not to be had.
    pub build_data: Option<BTreeMap<String, String>>,
    /// `{{ user `NAME` }}`: variables of a legacy template; absent in HCL.
    pub user: Option<BTreeMap<String, String>>,
    /// `{{ env `NAME` }}`: allowed in variables of a legacy template only.
    pub environment: Option<BTreeMap<String, String>>,
    /// `{{ template_dir }}`; absent in HCL.
    pub template_folder: Option<PathBuf>,
    /// `{{ pwd }}`
    pub working_folder: PathBuf,
    /// `{{ timestamp }}`, `{{ isotime }}`: when the run started.
    pub started: SystemTime,
    /// Keys of `{{ build `KEY` }}` that have no value yet, while planning.
    pub unknown_build_data: Vec<String>,
    /// Where it is noted what functions make of secrets.
    pub derived: Derived,
}

impl Rendering {
    /// What `{{ }}` can refer to in a component of an HCL template.
    pub(crate) fn in_hcl(environment: &Environment, build_name: &str, build_type: &str) -> Self {
        Self {
            build_name: build_name.to_owned(),
            build_type: build_type.to_owned(),
            fields: serde_json::Map::new(),
            build_data: Some(BTreeMap::new()),
            user: None,
            environment: None,
            template_folder: None,
            working_folder: environment.working_folder.clone(),
            started: environment.started,
            unknown_build_data: Vec::new(),
            derived: environment.answers.derived().clone(),
        }
    }

    /// The same with the data of the build as fields, too: `{{ .ID }}`.
    #[must_use]
    pub fn with_build_data(&self) -> Self {
        let mut rendering = self.clone();
        for (name, value) in self.build_data.iter().flatten() {
            rendering.fields.insert(name.clone(), value.as_str().into());
        }
        rendering
    }

    /// The same where it is rendered while baking: there is no build data yet.
    pub(crate) fn while_baking(environment: &Environment, build_name: &str, build_type: &str) -> Self {
        Self {
            build_data: None,
            ..Self::in_hcl(environment, build_name, build_type)
        }
    }
}

/// No function makes text much longer than this, in bytes.
const LONGEST: usize = 32 << 20;

/// Why a text could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The text is not a template: unclosed braces, an unknown function.
    #[error("template is not valid at byte {at}: {message}")]
    Syntax {
        /// Byte offset in the text.
        at: usize,
        /// What is wrong.
        message: String,
    },
    /// It refers to what is not known yet.
    #[error("`{function}` at byte {at} is not known yet")]
    Unknown {
        /// Byte offset in the text.
        at: usize,
        /// The function that has no answer yet.
        function: String,
    },
    /// Something in it has no value.
    #[error("template cannot be rendered at byte {at}: {message}")]
    Execution {
        /// Byte offset in the text.
        at: usize,
        /// What is wrong.
        message: String,
    },
}

/// Renders a text. A text without `{{` is returned as it is.
pub fn render(text: &str, rendering: &Rendering) -> Result<String, RenderError> {
    render_asking(text, rendering, None)
}

/// The same where functions that need a server may be used: in variables of a legacy template.
pub(crate) fn render_asking(
    text: &str,
    rendering: &Rendering,
    world: Option<&dyn World>,
) -> Result<String, RenderError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let functions = functions::Functions { rendering, world };
    render_by(text, &rendering.fields, &functions)
}

/// The functions that a text can call besides those of text/template itself.
pub(crate) trait Library {
    /// Is there a function of that name?
    fn is_known(&self, name: &str) -> bool;

    /// Calls it: `None` when its value is not known yet, an error why there is none.
    fn call(&self, name: &str, arguments: &[Datum]) -> Result<Option<Datum>, String>;

    /// Hears what a function made of its arguments.
    fn made(&self, _arguments: &[Datum], _made: &Datum) {}
}

/// Renders a text with functions of one's own.
pub(crate) fn render_by(
    text: &str,
    fields: &serde_json::Map<String, serde_json::Value>,
    library: &dyn Library,
) -> Result<String, RenderError> {
    let tree = parser::parse(text, &|name| library.is_known(name) || builtin::NAMES.contains(&name))?;
    let fields = fields
        .iter()
        .map(|(name, field)| (name.clone(), Datum::from_json(field)));
    execute::execute(&tree, &Datum::Map(fields.collect()), library)
}

#[cfg(test)]
mod tests;
