//! Bodies read by a schema with their `dynamic` blocks expanded in place.

use bakelite_hcl::content::BodySchema;
use bakelite_hcl::convert::convert;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::scope::Scope;
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{Attribute, Block, Body, Expression, ExpressionKind, Name};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::{Kind, Value};

use crate::scope::{Iterations, Within};

/// What a body holds.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    /// Its attributes.
    pub(crate) attributes: Vec<Attribute>,
    /// Its blocks, in the order of the text.
    pub(crate) blocks: Vec<ExpandedBlock>,
}

/// A block, written as such or made by a dynamic one.
#[derive(Debug)]
pub(crate) struct ExpandedBlock {
    /// Its type.
    pub(crate) kind: String,
    /// Its labels.
    pub(crate) labels: Vec<Name>,
    /// Its body.
    pub(crate) body: Body,
    /// Its header, or that of the dynamic block.
    pub(crate) place: Place,
    /// What its expressions can refer to besides.
    pub(crate) iterations: Iterations,
}

/// Reads a body; blocks in it see the iterators of the dynamic blocks that they came from.
pub(crate) fn read(
    body: &Body,
    schema: &BodySchema<'_>,
    scope: &dyn Scope,
    iterations: &Iterations,
    diagnostics: &mut Diagnostics,
) -> Expanded {
    let mut with_dynamic = schema.clone();
    with_dynamic.blocks.push(("dynamic", &["type"]));
    let content = body.content(&with_dynamic, diagnostics);
    let mut expanded = Expanded {
        attributes: content.attributes,
        blocks: Vec::new(),
    };
    for block in content.blocks {
        if block.kind.text == "dynamic" {
            expand(&block, schema, scope, iterations, &mut expanded.blocks, diagnostics);
        } else {
            expanded.blocks.push(ExpandedBlock {
                kind: block.kind.text,
                labels: block.labels,
                body: block.body,
                place: block.place,
                iterations: iterations.clone(),
            });
        }
    }
    expanded
}

fn expand(
    block: &Block,
    schema: &BodySchema<'_>,
    scope: &dyn Scope,
    iterations: &Iterations,
    blocks: &mut Vec<ExpandedBlock>,
    diagnostics: &mut Diagnostics,
) {
    let Some(kind) = block.labels.first() else { return };
    let Some((_, label_names)) = schema.blocks.iter().find(|(name, _)| *name == kind.text) else {
        let similar = similar_name(&kind.text, schema.blocks.iter().map(|(name, _)| *name));
        diagnostics.push(
            Diagnostic::error(kind.place, format!("block `{}` is not expected here", kind.text))
                .help(similar.map(|similar| format!("did you mean `{similar}`?"))),
        );
        return;
    };
    let parts = BodySchema {
        attributes: vec![("for_each", true), ("labels", false), ("iterator", false)],
        blocks: vec![("content", &[])],
    };
    let header = block.body.content(&parts, diagnostics);
    let [content] = header.blocks.as_slice() else {
        diagnostics.push(Diagnostic::error(
            header.blocks.get(1).map_or(block.place, |second| second.place),
            format!("dynamic block `{}` needs exactly one `content` block", kind.text),
        ));
        return;
    };
    let attribute = |name: &str| header.attributes.iter().find(|attribute| attribute.name.text == name);
    let Some(for_each) = attribute("for_each") else { return };
    let iterator = match attribute("iterator").map(|attribute| &attribute.expression) {
        None => kind.text.clone(),
        Some(Expression {
            kind: ExpressionKind::Variable(name) | ExpressionKind::JsonString(_, name),
            ..
        }) => name.clone(),
        Some(other) => {
            diagnostics.push(
                Diagnostic::error(other.place, "iterator is not a name")
                    .help("write a bare name, without quotes".to_owned()),
            );
            return;
        }
    };
    for element in elements(&for_each.expression, scope, iterations, diagnostics) {
        let iterations = iterations.enter(&iterator, element);
        let labels = attribute("labels").map(|labels| &labels.expression);
        let Some(labels) = labels_of(labels, label_names, scope, &iterations, block, diagnostics) else {
            return;
        };
        blocks.push(ExpandedBlock {
            kind: kind.text.clone(),
            labels,
            body: content.body.clone(),
            place: block.place,
            iterations,
        });
    }
}

/// The value of an expression within iterations; nothing when it is wrong, which is then said.
fn evaluated(
    expression: &Expression,
    scope: &dyn Scope,
    iterations: &Iterations,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let within = Within {
        outer: scope,
        iterations,
    };
    let mut found = Diagnostics::default();
    let value = evaluate(expression, &within, &mut found);
    let failed = found.has_errors();
    diagnostics.extend(found);
    (!failed).then_some(value)
}

/// `{key, value}` of each element of what a dynamic block iterates; a single unknown one when that is not known at all.
fn elements(
    for_each: &Expression,
    scope: &dyn Scope,
    iterations: &Iterations,
    diagnostics: &mut Diagnostics,
) -> Vec<Value> {
    let Some(collection) = evaluated(for_each, scope, iterations, diagnostics) else {
        return Vec::new();
    };
    let marks = collection.marks;
    let pair = |key: Value, value: &Value| Value::object([("key", key), ("value", value.clone().with_marks(marks))]);
    match &collection.kind {
        Kind::List(_, elements) | Kind::Tuple(elements) => {
            let index = |at: usize| Value::int(i64::try_from(at).unwrap_or(i64::MAX));
            elements
                .iter()
                .enumerate()
                .map(|(at, element)| pair(index(at), element))
                .collect()
        }
        Kind::Set(_, elements) => elements.iter().map(|element| pair(element.clone(), element)).collect(),
        Kind::Map(_, members) | Kind::Object(members) => members
            .iter()
            .map(|(name, member)| pair(Value::string(name), member))
            .collect(),
        Kind::Unknown(_) => vec![pair(Value::dynamic(), &Value::dynamic())],
        kind => {
            let what = if matches!(kind, Kind::Null(_)) {
                "null"
            } else {
                "a single value"
            };
            diagnostics.push(
                Diagnostic::error(for_each.place, format!("`for_each` is {what}"))
                    .help("give it a list, a set, a map or an object".to_owned()),
            );
            Vec::new()
        }
    }
}

fn labels_of(
    expression: Option<&Expression>,
    names: &[&str],
    scope: &dyn Scope,
    iterations: &Iterations,
    block: &Block,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Name>> {
    let place = expression.map_or(block.place, |expression| expression.place);
    let mut labels = Vec::new();
    if let Some(expression) = expression {
        let value = evaluated(expression, scope, iterations, diagnostics)?;
        for element in value.elements().unwrap_or_default() {
            let text = convert(element, &Type::String)
                .ok()
                .and_then(|text| text.as_str().map(str::to_owned));
            let Some(text) = text else {
                diagnostics.push(Diagnostic::error(
                    place,
                    "label of a dynamic block is not a known string",
                ));
                return None;
            };
            labels.push(Name { text, place });
        }
    }
    if labels.len() != names.len() {
        diagnostics.push(
            Diagnostic::error(
                place,
                format!("dynamic block has {} labels instead of {}", labels.len(), names.len()),
            )
            .help((!names.is_empty()).then(|| format!("give it `labels = [{}]`", names.join(", ")))),
        );
        return None;
    }
    Some(labels)
}
