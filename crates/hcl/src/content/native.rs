//! Native bodies by a schema.

use super::{BodySchema, Content, set_twice};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::{Attribute, Block, Item, Name, NativeBody};

/// What the schema names, and the other items.
pub(super) fn split<'b>(
    body: &'b NativeBody,
    schema: &BodySchema<'_>,
    diagnostics: &mut Diagnostics,
) -> (Content, Vec<&'b Item>) {
    let mut content = Content::default();
    let mut rest = Vec::new();
    for item in &body.items {
        match item {
            Item::Attribute(attribute) if schema.has_attribute(&attribute.name.text) => {
                keep(&mut content.attributes, attribute, diagnostics);
            }
            Item::Block(block) => match schema.labels(&block.kind.text) {
                Some(labels) if labels_fit(block, labels, diagnostics) => content.blocks.push(block.clone()),
                Some(_) => {}
                None => rest.push(item),
            },
            Item::Attribute(_) => rest.push(item),
        }
    }
    schema.complain_about_missing(&content.attributes, body.incomplete, diagnostics);
    (content, rest)
}

/// Complains about items that the schema does not name.
pub(super) fn complain_about(items: Vec<&Item>, schema: &BodySchema<'_>, diagnostics: &mut Diagnostics) {
    diagnostics.extend(items.into_iter().map(|item| match item {
        Item::Attribute(attribute) => schema.unknown_attribute(&attribute.name),
        Item::Block(block) => schema.unknown_block(&block.kind, block.kind.place),
    }));
}

/// All attributes; blocks are complained about.
pub(super) fn attributes(body: &NativeBody, diagnostics: &mut Diagnostics) -> Vec<Attribute> {
    let mut found = Vec::with_capacity(body.items.len());
    for item in &body.items {
        match item {
            // The reader lets no attribute pass that is set twice.
            Item::Attribute(attribute) => found.push(attribute.clone()),
            Item::Block(block) => diagnostics.push(
                Diagnostic::error(
                    block.kind.place,
                    format!("a block `{}` cannot stand here", block.kind.text),
                )
                .detail("Only arguments are allowed here.")
                .help(format!("to set a value, write `{} = {{ … }}`", block.kind.text)),
            ),
        }
    }
    found
}

fn keep(found: &mut Vec<Attribute>, attribute: &Attribute, diagnostics: &mut Diagnostics) {
    match found.iter().find(|before| before.name.text == attribute.name.text) {
        Some(first) => diagnostics.push(set_twice(&attribute.name, first.name.place)),
        None => found.push(attribute.clone()),
    }
}

/// Complains when a block has not exactly the labels it must have.
fn labels_fit(block: &Block, names: &[&str], diagnostics: &mut Diagnostics) -> bool {
    let kind = &block.kind.text;
    let wanted = || {
        let labels = names
            .iter()
            .map(|name| format!("\"{}\" ", name.to_uppercase()))
            .collect::<Vec<_>>()
            .concat();
        format!("write `{kind} {labels}{{ … }}`")
    };
    if let Some(Name { text, place }) = block.labels.get(names.len()) {
        let detail = match names {
            [] => format!("A block `{kind}` has no labels."),
            names => format!("A block `{kind}` has these labels: {}.", names.join(", ")),
        };
        let complaint = Diagnostic::error(
            *place,
            format!("the label `{text}` of the block `{kind}` is one too many"),
        );
        diagnostics.push(complaint.detail(detail).help(wanted()));
        return false;
    }
    if let Some(missing) = names.get(block.labels.len()) {
        let complaint = Diagnostic::error(block.place, format!("the block `{kind}` has no {missing}"));
        let detail = format!("A block `{kind}` has these labels: {}.", names.join(", "));
        diagnostics.push(complaint.detail(detail).help(wanted()));
        return false;
    }
    true
}
