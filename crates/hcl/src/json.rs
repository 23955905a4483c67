//! JSON: text to [`JsonValue`], and how HCL reads such a value as a body or an expression. The reader is our own because it keeps the
//! place of every value and name, goes on after an error, and tells what people used to other notations meant.

mod reader;
mod scalars;
#[cfg(test)]
#[expect(clippy::format_collect, reason = "speed does not matter in tests")]
mod tests;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::native::positions::Positions;
use crate::native::{MAX_BYTES, MAX_DEPTH, parse_template_at};
use crate::number::Number;
use crate::source::{FileId, Place};
use crate::syntax::{Body, Expression, ExpressionKind, JsonBody, JsonKind, JsonValue, Name, ObjectKey};
use crate::types::Type;
use crate::value::Value;

/// The name of properties that are comments.
const COMMENT: &str = "//";

/// Reads a JSON text of at most [`MAX_BYTES`] bytes and [`MAX_DEPTH`] levels. `None` when there is no value at all; with errors in
/// `diagnostics` the value holds what could be read.
pub fn parse_file(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Option<JsonValue> {
    if text.len() > MAX_BYTES {
        let complaint = Diagnostic::error(Place::new(file, 0..0), "this text is too long to be a template")
            .detail(format!("It has {} bytes; at most {MAX_BYTES} are read.", text.len()));
        diagnostics.push(complaint);
        return None;
    }
    reader::read(text, file, MAX_DEPTH, diagnostics)
}

/// A JSON value as an HCL body: an object, or an array of objects taken together. Properties named `//` are comments.
pub fn body(value: JsonValue, diagnostics: &mut Diagnostics) -> Body {
    let place = value.place;
    let mut properties = Vec::new();
    match value.kind {
        JsonKind::Object(found) => properties = found,
        JsonKind::Array(elements) => {
            for element in elements {
                match element.kind {
                    JsonKind::Object(found) => properties.extend(found),
                    other => diagnostics.push(not_an_object(element.place, &other)),
                }
            }
        }
        other => diagnostics.push(not_an_object(place, &other)),
    }
    properties.retain(|(name, _)| name.text != COMMENT);
    Body::Json(JsonBody { properties, place })
}

/// The complaint about a value that had to be an object.
pub(crate) fn not_an_object(place: Place, kind: &JsonKind) -> Diagnostic {
    Diagnostic::error(place, "a JSON object is expected here").detail(format!("Found {}.", describe(kind)))
}

/// A kind of value in words.
fn describe(kind: &JsonKind) -> &'static str {
    match kind {
        JsonKind::Null => "`null`",
        JsonKind::Bool(_) => "`true` or `false`",
        JsonKind::Number(_) => "a number",
        JsonKind::String(_) => "a string",
        JsonKind::Array(_) => "an array",
        JsonKind::Object(_) => "an object",
    }
}

/// A JSON value as an expression: strings, those of object keys too, are templates unless they are evaluated as literals.
pub fn expression(value: &JsonValue) -> Expression {
    let place = value.place;
    let kind = match &value.kind {
        JsonKind::Null => ExpressionKind::Literal(Value::null(Type::Dynamic)),
        JsonKind::Bool(truth) => ExpressionKind::Literal(Value::bool(*truth)),
        JsonKind::Number(text) => number(text, place),
        JsonKind::String(text) => return string(text, place),
        JsonKind::Array(elements) => ExpressionKind::Tuple(elements.iter().map(expression).collect()),
        JsonKind::Object(properties) => ExpressionKind::Object(
            properties
                .iter()
                .map(|(name, value)| (ObjectKey::Expression(key(name)), expression(value)))
                .collect(),
        ),
    };
    Expression { kind, place }
}

fn number(text: &str, place: Place) -> ExpressionKind {
    let parsed = match text.strip_prefix('-') {
        Some(magnitude) => Number::parse(magnitude).map(|number| number.neg()),
        None => Number::parse(text),
    };
    match parsed {
        Some(number) => ExpressionKind::Literal(Value::number(number)),
        None => ExpressionKind::Unreadable(
            Diagnostic::error(place, "this number is out of range")
                .detail("Its exponent is larger than the language can hold.")
                .into(),
        ),
    }
}

fn key(name: &Name) -> Expression {
    string(&name.text, name.place)
}

/// A string with its template. Errors in the template are kept for whoever evaluates it as one.
fn string(text: &str, place: Place) -> Expression {
    let template = if text.contains("${") || text.contains("%{") {
        // Without escapes the text stands between the quotes as it is.
        let unescaped = (place.end - place.start) as usize == text.len() + 2;
        let positions = if unescaped {
            Positions::From(place.file, place.start as usize + 1)
        } else {
            Positions::Within(place)
        };
        let mut errors = Diagnostics::default();
        let template = parse_template_at(text, &positions, &mut errors);
        if errors.has_errors() {
            Expression {
                kind: ExpressionKind::Unreadable(errors),
                place,
            }
        } else {
            template
        }
    } else {
        Expression {
            kind: ExpressionKind::Literal(Value::string(text)),
            place,
        }
    };
    Expression {
        kind: ExpressionKind::JsonString(Box::new(template), text.to_owned()),
        place,
    }
}
