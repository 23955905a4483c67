//! Where something stands in a template, on its own: for errors at run time, when nobody keeps the texts of the template.

use std::fmt;

use bakelite_hcl::source::{Place, SourceMap};
use serde::{Deserialize, Serialize};

use crate::secrets::Secrets;

/// A line of a template and a column in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The path as the user gave it, or a name in angle brackets such as `<stdin>`.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In grapheme clusters, from 1.
    pub column: u32,
    /// The whole line without its line end, as it stands in the file: it may hold secrets and is masked where it is shown.
    pub source_line: String,
}

impl Location {
    /// Where a place begins; `None` when the place is not of these texts.
    pub fn of(place: Place, sources: &SourceMap) -> Option<Self> {
        let source = sources.get(place.file)?;
        let at = source.line_column(place.start as usize);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Self {
            file: source.name.clone(),
            line: count(at.line),
            column: count(at.column),
            source_line: source.line(at.line).to_owned(),
        })
    }

    pub(crate) fn masked(self, secrets: &Secrets) -> Self {
        Self {
            source_line: secrets.mask(&self.source_line),
            ..self
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
