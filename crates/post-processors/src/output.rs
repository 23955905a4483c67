//! Names of files that are made of a template: what is filled in of a build is part of a name and never a way to another directory.

use std::borrow::Cow;

use bakelite_engine::error::Explain;
use bakelite_engine::post_processor::PostProcessing;
use bakelite_engine::untrusted::quoted;
use bakelite_template::gotemplate::{RenderError, Rendering, render};

/// Why a file has no name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("failed to render `output`")]
    Render(#[from] RenderError),
    #[error(
        "`output` contains the name of the build, `{}`, which cannot be part of a file's name",
        quoted(name)
    )]
    Name { name: String },
}

impl Explain for OutputError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            OutputError::Render(_) => None,
            OutputError::Name { .. } => {
                Some("give the build another `name`, or remove `{{.BuildName}}` from `output`".into())
            }
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("output".into())
    }
}

/// The name of a file; `{{.BuildName}}`, `{{.BuilderType}}` and `more` are filled in.
pub(crate) fn output(
    template: &str,
    processing: &PostProcessing,
    more: Option<(&str, &str)>,
) -> Result<String, OutputError> {
    let named = |name: &str| {
        let mut rendering: Rendering = processing.rendering.clone();
        name.clone_into(&mut rendering.build_name);
        let fields = [("BuildName", name), ("BuilderType", processing.builder.as_str())];
        let fields = fields.into_iter().chain(more);
        rendering
            .fields
            .extend(fields.map(|(name, value)| (name.to_owned(), value.into())));
        render(template, &rendering)
    };
    let name = &processing.source_name;
    let rendered = named(name)?;
    // Only a template that says the name is made different by another one.
    if !is_part_of_a_name(name) && named("another")? != rendered {
        return Err(OutputError::Name { name: name.clone() });
    }
    Ok(rendered)
}

fn is_part_of_a_name(name: &str) -> bool {
    !name.contains(|character: char| character == '/' || character.is_control()) && !matches!(name, "." | "..")
}
