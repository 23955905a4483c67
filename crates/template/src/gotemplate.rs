//! The `{{ }}` engine: Go's text/template with the functions that Packer adds, as far as templates of images use it.

mod builtin;
mod execute;
mod functions;
mod lexer;
mod parser;
mod printf;
mod shield;
mod tree;
mod value;

pub(crate) use shield::{shielded, unshielded, until_rendered};
pub(crate) use value::GoValue;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use bakelite_hcl::scope::Externals;
use regex::Regex;

use crate::secrets::Derived;

/// What a `{{ }}` string can refer to.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// `{{ build_name }}`: the source's name.
    pub build_name: String,
    /// `{{ build_type }}`: the builder.
    pub build_type: String,
    /// `{{ .Name }}`: strings, or maps and lists of them.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// `{{ pwd }}`
    pub working_directory: PathBuf,
    /// `{{ timestamp }}`, `{{ isotime }}`: when the run started.
    pub started: SystemTime,
    /// Where it is noted what functions make of secrets.
    pub derived: Derived,
    pub(crate) context: Context,
    /// Absent in HCL.
    pub(crate) legacy: Option<Arc<LegacyNames>>,
}

/// What a string is rendered for: it decides which functions have something to refer to.
#[derive(Debug, Clone, Default)]
pub(crate) enum Context {
    /// A default of a variable of a legacy template, which may read these variables of the environment.
    Variable(BTreeMap<String, String>),
    /// A builder's options, or anything else while there is no build.
    #[default]
    Planning,
    /// A provisioner's or post-processor's options.
    Baking {
        /// `{{ build `KEY` }}`
        data: BTreeMap<String, String>,
        /// Keys that have no value yet.
        open: Arc<Vec<String>>,
    },
}

/// What only a legacy template has.
#[derive(Debug, Clone, Default)]
pub(crate) struct LegacyNames {
    /// `{{ user `NAME` }}`
    pub(crate) user: BTreeMap<String, String>,
    /// `{{ template_dir }}`
    pub(crate) directory: PathBuf,
}

impl Rendering {
    /// What `{{ }}` can refer to in a component of an HCL template, without data of a build.
    pub fn new(build_name: &str, build_type: &str, working_directory: PathBuf, started: SystemTime) -> Self {
        Self {
            build_name: build_name.to_owned(),
            build_type: build_type.to_owned(),
            fields: serde_json::Map::new(),
            working_directory,
            started,
            derived: Derived::default(),
            context: Context::Planning,
            legacy: None,
        }
    }

    /// From now on, `{{ build `KEY` }}` has these values.
    pub fn set_build_data(&mut self, data: BTreeMap<String, String>) {
        let open = Arc::default();
        self.context = Context::Baking { data, open };
    }

    /// The same with the data of the build as fields, too: `{{ .ID }}`.
    #[must_use]
    pub fn with_build_data(&self) -> Self {
        let mut rendering = self.clone();
        if let Context::Baking { data, .. } = &self.context {
            let fields = data.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
            rendering.fields.extend(fields);
        }
        rendering
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

impl RenderError {
    /// Byte offset in the text.
    pub(crate) fn at(&self) -> usize {
        match self {
            RenderError::Syntax { at, .. } | RenderError::Unknown { at, .. } | RenderError::Execution { at, .. } => *at,
        }
    }

    /// What is wrong, for a reader who sees the place.
    pub(crate) fn message(&self) -> String {
        match self {
            RenderError::Syntax { message, .. } | RenderError::Execution { message, .. } => message.clone(),
            RenderError::Unknown { function, .. } => format!("`{function}` is not known yet"),
        }
    }
}

/// Renders a text. A text without `{{` is returned as it is.
pub fn render(text: &str, rendering: &Rendering) -> Result<String, RenderError> {
    render_asking(text, rendering, None)
}

/// The same where functions that need a server may be used: in variables of a legacy template.
pub(crate) fn render_asking(
    text: &str,
    rendering: &Rendering,
    externals: Option<&dyn Externals>,
) -> Result<String, RenderError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let functions = functions::Functions { rendering, externals };
    render_by(text, &rendering.fields, &functions)
}

#[expect(clippy::unwrap_used, reason = "the expression is a constant that a test reads")]
static EARLY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\{\{-?\s*(?:user\s+(?:`[^`]*`|"[^"]*")|template_dir)\s*-?\}\}"#).unwrap());

/// A string that its component renders later, with what only a legacy template knows put in already.
pub(crate) fn render_early(text: &str, rendering: &Rendering) -> String {
    let replace = |found: &regex::Captures<'_>| {
        let whole = found.get(0).map_or("", |whole| whole.as_str());
        render(whole, rendering).unwrap_or_else(|_| whole.to_owned())
    };
    EARLY.replace_all(text, replace).into_owned()
}

/// The functions that a text can call besides those of text/template itself.
pub(crate) trait Library {
    /// Is there a function of that name?
    fn is_known(&self, name: &str) -> bool;

    /// Calls it: `None` when its value is not known yet, an error why there is none.
    fn call(&self, name: &str, arguments: &[GoValue]) -> Result<Option<GoValue>, String>;

    /// Hears what a function made of its arguments.
    fn made(&self, _arguments: &[GoValue], _made: &GoValue) {}
}

fn parsed(text: &str, library: &dyn Library) -> Result<tree::Tree, RenderError> {
    parser::parse(text, &|name| library.is_known(name) || builtin::NAMES.contains(&name))
}

/// Checks that a text is a template whose functions there are, without rendering it.
pub(crate) fn check(text: &str, rendering: &Rendering) -> Result<(), RenderError> {
    let externals = None;
    parsed(text, &functions::Functions { rendering, externals }).map(drop)
}

/// Renders a text with functions of one's own.
pub(crate) fn render_by(
    text: &str,
    fields: &serde_json::Map<String, serde_json::Value>,
    library: &dyn Library,
) -> Result<String, RenderError> {
    let tree = parsed(text, library)?;
    let fields = fields
        .iter()
        .map(|(name, field)| (name.clone(), GoValue::from_json(field)));
    execute::execute(&tree, &GoValue::Map(fields.collect()), library)
}

#[cfg(test)]
mod tests;
