//! Reading a body by a schema: which of its items are attributes, which are blocks with how many labels. A native body is only
//! checked; a JSON body becomes items this way, because only the schema tells a property that is a block from one that is an attribute.

mod json;
mod native;
#[cfg(test)]
#[expect(clippy::format_collect, reason = "speed does not matter in tests")]
mod tests;

use crate::diagnostic::{Diagnostic, Diagnostics, similar_name};
use crate::source::Place;
use crate::syntax::{Attribute, Block, Body, JsonBody, Name, NativeBody};

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
}

impl Body {
    /// Reads the body by a schema. Unknown items, wrong label counts, attributes given twice and missing ones are complained about
    /// (with the nearest known name), and left out of the answer.
    pub fn content(&self, schema: &BodySchema<'_>, diagnostics: &mut Diagnostics) -> Content {
        match self {
            Body::Native(body) => {
                let (content, rest) = native::split(body, schema, diagnostics);
                native::complain_about(rest, schema, diagnostics);
                content
            }
            Body::Json(body) => {
                let (content, rest) = json::split(body, schema, diagnostics);
                json::complain_about(rest, schema, diagnostics);
                content
            }
        }
    }

    /// The same, but what the schema does not name comes back as a second body instead of as complaints.
    pub fn partial_content(&self, schema: &BodySchema<'_>, diagnostics: &mut Diagnostics) -> (Content, Body) {
        match self {
            Body::Native(body) => {
                let (content, rest) = native::split(body, schema, diagnostics);
                let items = rest.into_iter().cloned().collect();
                (
                    content,
                    Body::Native(NativeBody {
                        items,
                        place: body.place,
                        incomplete: body.incomplete,
                    }),
                )
            }
            Body::Json(body) => {
                let (content, rest) = json::split(body, schema, diagnostics);
                let properties = rest.into_iter().cloned().collect();
                (
                    content,
                    Body::Json(JsonBody {
                        properties,
                        place: body.place,
                    }),
                )
            }
        }
    }

    /// All items as attributes; blocks are complained about.
    pub fn attributes(&self, diagnostics: &mut Diagnostics) -> Vec<Attribute> {
        match self {
            Body::Native(body) => native::attributes(body, diagnostics),
            Body::Json(body) => json::attributes(body, diagnostics),
        }
    }
}

impl BodySchema<'_> {
    fn has_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|(known, _)| *known == name)
    }

    fn labels(&self, kind: &str) -> Option<&[&str]> {
        self.blocks
            .iter()
            .find(|(known, _)| *known == kind)
            .map(|(_, labels)| *labels)
    }

    /// Complains about required attributes that are not among those found.
    fn complain_about_missing(&self, found: &[Attribute], place: Place, diagnostics: &mut Diagnostics) {
        let missing = self
            .attributes
            .iter()
            .filter(|(name, required)| *required && !found.iter().any(|attribute| attribute.name.text == *name));
        for (name, _) in missing {
            diagnostics.push(
                Diagnostic::error(place, format!("the argument `{name}` is missing"))
                    .detail(format!("`{name}` is required here."))
                    .help(format!("add `{name} = …`")),
            );
        }
    }

    /// The complaint about an attribute that the schema does not know, or knows as a block.
    fn unknown_attribute(&self, name: &Name) -> Diagnostic {
        let complaint = Diagnostic::error(name.place, format!("there is no argument `{}` here", name.text));
        if self.labels(&name.text).is_some() {
            return complaint
                .detail(format!("`{}` is the type of a block.", name.text))
                .help(format!("write it as a block, without `=`: `{} {{ … }}`", name.text));
        }
        let attributes = self.attributes.iter().map(|(known, _)| *known);
        if let Some(known) = similar_name(&name.text, attributes) {
            return complaint.help(format!("did you mean `{known}`?"));
        }
        let block = similar_name(&name.text, self.blocks.iter().map(|(known, _)| *known));
        complaint.help(block.map(|known| format!("did you mean a block `{known} {{ … }}`?")))
    }

    /// The complaint about a block that the schema does not know, or knows as an attribute.
    fn unknown_block(&self, kind: &Name, place: Place) -> Diagnostic {
        let complaint = Diagnostic::error(place, format!("there is no block type `{}` here", kind.text));
        if self.has_attribute(&kind.text) {
            return complaint
                .detail(format!("`{}` is an argument.", kind.text))
                .help(format!("set it by `=`: `{} = …`", kind.text));
        }
        let blocks = self.blocks.iter().map(|(known, _)| *known);
        if let Some(known) = similar_name(&kind.text, blocks) {
            return complaint.help(format!("did you mean `{known}`?"));
        }
        let attribute = similar_name(&kind.text, self.attributes.iter().map(|(known, _)| *known));
        complaint.help(attribute.map(|known| format!("did you mean the argument `{known} = …`?")))
    }
}

/// The complaint about an attribute that was set before.
fn set_twice(name: &Name, first: Place) -> Diagnostic {
    Diagnostic::error(name.place, format!("`{}` is set twice", name.text))
        .detail("Each argument may be set only once in a block.")
        .related(first, "first set here")
}
