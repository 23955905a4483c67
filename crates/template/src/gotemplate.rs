//! The `{{ }}` engine: Go's text/template with the functions of language.md §9, as far as templates of images use it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

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
    /// Keep what cannot be known yet (`{{ build … }}` while planning) as it stands.
    pub keep_unknown: bool,
}

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
    let _ = rendering;
    Ok(text.to_owned())
}
