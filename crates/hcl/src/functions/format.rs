//! `format` and `formatlist`: text with places for values.

use super::arguments::{any, bounded, failed, text, wrong};
use super::verb::{Piece, Verb, pieces};
use super::{Call, Function, FunctionError, Parameter, Returns, Run, verb};
use crate::types::Type;
use crate::value::{Kind, Value};

/// Values that go into a format. A null is let in because `%v` shows it; an unknown one is looked at because lists of unequal length
/// are an error in any case.
const ARGUMENTS: Parameter = any("args").or_null();

/// Formats.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "format",
        doc: "A string with values in the places of its verbs: `%s` string, `%d` integer, `%f %e %g` number, `%b %o %x %X` \
              binary, octal, hexadecimal, `%t` boolean, `%q` quoted, `%v` anything, `%#v` JSON, `%%` a percent sign. Between \
              `%` and the letter: flags `+ - space 0 #`, width, `.precision`, `[n]` for the n-th value.",
        parameters: &[text("format")],
        variadic: Some(&ARGUMENTS),
        result: Returns::STRING,
        examples: &[
            ("format(\"%s-%03d\", \"web\", 7)", "web-007"),
            ("format(\"%.2f%%\", 99.5)", "99.50%"),
            ("format(\"%v\", [\"a\", {b = 1}])", "[\"a\",{\"b\":1}]"),
        ],
        run: Run::Plain(format),
    },
    Function {
        name: "formatlist",
        doc: "`format` for every element of the lists among the arguments, which must be of one length; the others are the \
              same every time.",
        parameters: &[text("format")],
        variadic: Some(&ARGUMENTS),
        result: Returns::STRINGS,
        examples: &[(
            "jsonencode(formatlist(\"%s-%s\", \"web\", [\"a\", \"b\"]))",
            "[\"web-a\",\"web-b\"]",
        )],
        run: Run::Plain(formatlist),
    },
];

fn format(call: &Call<'_>) -> Result<Value, FunctionError> {
    let values = call.arguments.get(1..).unwrap_or_default();
    if values.iter().any(is_undecided) {
        return Ok(Value::unknown(Type::String));
    }
    let pieces = pieces(call.text(0)?).map_err(failed)?;
    Ok(Value::string(formatted(&pieces, values)?))
}

/// Unknown, or a null of no type: nothing is known about what it would look like.
fn is_undecided(value: &Value) -> bool {
    matches!(value.kind, Kind::Null(Type::Dynamic)) || !value.is_wholly_known()
}

fn formatlist(call: &Call<'_>) -> Result<Value, FunctionError> {
    let arguments = call.arguments.get(1..).unwrap_or_default();
    if arguments.iter().any(is_undecided) {
        return Ok(Value::unknown(Type::list(Type::String)));
    }
    let mut length = None;
    for (index, argument) in arguments.iter().enumerate() {
        let Some(elements) = argument.elements() else { continue };
        let first = *length.get_or_insert(elements.len());
        if first != elements.len() {
            let message = format!("the list has {} elements, an earlier one {first}", elements.len());
            return Err(wrong(index + 1, message));
        }
    }
    let pieces = pieces(call.text(0)?).map_err(failed)?;
    let mut total = 0;
    let mut texts = Vec::new();
    for place in 0..length.unwrap_or(1) {
        let values: Vec<Value> = arguments
            .iter()
            .map(|argument| {
                argument
                    .elements()
                    .and_then(|elements| elements.get(place))
                    .unwrap_or(argument)
                    .clone()
            })
            .collect();
        let text = formatted(&pieces, &values)?;
        total += text.len();
        bounded(total)?;
        texts.push(Value::string(text));
    }
    Ok(Value::list(Type::String, texts))
}

/// The text with values in the places of the verbs.
fn formatted(pieces: &[Piece<'_>], values: &[Value]) -> Result<String, FunctionError> {
    let mut text = String::new();
    let mut next = 0;
    let mut used = 0;
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Verb(verb) => {
                let place = verb.argument.unwrap_or(next);
                let value = values.get(place).ok_or_else(|| missing(verb, place, values.len()))?;
                text.push_str(&verb::show(verb, value).map_err(|message| failed(format!("{verb}: {message}")))?);
                next = place + 1;
                used = used.max(next);
            }
        }
        bounded(text.len())?;
    }
    if values.len() > used {
        return Err(wrong(
            used + 1,
            format!("the format has places for {used} values, not for {}", values.len()),
        ));
    }
    Ok(text)
}

fn missing(verb: &Verb<'_>, place: usize, given: usize) -> FunctionError {
    failed(format!("{verb} wants value {}, but there are only {given}", place + 1))
}
