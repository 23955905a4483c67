//! Values to YAML: events for libyaml's emitter, with the choices of style that Go's port of it makes.

use std::fmt::Write as _;
use std::io::{Error, Write};

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};

use crate::functions::arguments::LONGEST_TEXT;
use crate::value::{Kind, Value};

/// A wholly known value as a document; the error is a fragment.
pub(super) fn encode(value: &Value) -> Result<String, String> {
    let mut written = Bounded(Vec::new());
    emit(value, &mut written).map_err(|error| error.to_string())?;
    let yaml = String::from_utf8(written.0).map_err(|error| error.to_string())?;
    Ok(with_escapes(&yaml))
}

fn emit(value: &Value, output: &mut Bounded) -> Result<(), libyaml_safer::Error> {
    let mut emitter = Emitter::new();
    emitter.set_output(output);
    emitter.set_unicode(true);
    emitter.emit(Event::stream_start(Encoding::Utf8))?;
    emitter.emit(Event::document_start(None, &[], true))?;
    node(&mut emitter, value)?;
    // A lone plain scalar gets the mark `...` at its end, and nothing else does, not even a block that keeps its last empty lines: the
    // stream, at whose end it would be marked, is not ended.
    let is_plain = matches!(
        value.kind,
        Kind::Bool(_) | Kind::Number(_) | Kind::Null(_) | Kind::Unknown(_)
    );
    emitter.emit(Event::document_end(!is_plain))?;
    emitter.flush()
}

fn node(emitter: &mut Emitter<'_>, value: &Value) -> Result<(), libyaml_safer::Error> {
    match &value.kind {
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            emitter.emit(Event::sequence_start(None, None, true, SequenceStyle::Block))?;
            for element in elements.iter() {
                node(emitter, element)?;
            }
            emitter.emit(Event::sequence_end())
        }
        Kind::Map(_, members) | Kind::Object(members) => {
            emitter.emit(Event::mapping_start(None, None, true, MappingStyle::Block))?;
            for (name, member) in members.iter() {
                string(emitter, name)?;
                node(emitter, member)?;
            }
            emitter.emit(Event::mapping_end())
        }
        Kind::String(text) => string(emitter, text),
        Kind::Bool(truth) => plain(emitter, if *truth { "true" } else { "false" }),
        Kind::Number(number) if number.is_infinite() => {
            plain(emitter, if number.is_negative() { "-.Inf" } else { "+.Inf" })
        }
        Kind::Number(number) => plain(emitter, &number.to_string()),
        Kind::Null(_) | Kind::Unknown(_) => plain(emitter, "null"),
    }
}

/// A literal block for several lines where the emitter finds it possible, double quotes otherwise.
fn string(emitter: &mut Emitter<'_>, text: &str) -> Result<(), libyaml_safer::Error> {
    let style = if text.contains('\n') && !text.contains(needs_escape) {
        ScalarStyle::Literal
    } else {
        ScalarStyle::DoubleQuoted
    };
    emitter.emit(Event::scalar(None, None, text, true, true, style))
}

fn plain(emitter: &mut Emitter<'_>, text: &str) -> Result<(), libyaml_safer::Error> {
    emitter.emit(Event::scalar(None, None, text, true, true, ScalarStyle::Plain))
}

/// Go's port escapes what lies beyond the basic plane, the emitter does not.
fn needs_escape(character: char) -> bool {
    character > '\u{ffff}'
}

/// What needs an escape stands between double quotes only.
fn with_escapes(yaml: &str) -> String {
    let mut escaped = String::with_capacity(yaml.len());
    for character in yaml.chars() {
        if needs_escape(character) {
            let _ = write!(escaped, "\\U{:08X}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Output that ends with an error where it gets too long.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + part.len() > LONGEST_TEXT {
            return Err(Error::other(format!(
                "the result would be longer than {LONGEST_TEXT} bytes"
            )));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> String {
        encode(&crate::functions::json::decode(json).unwrap()).unwrap()
    }

    #[test]
    fn nesting() {
        assert_eq!(
            encoded(r#"[[1,[2]],{"a":[],"b":{"c":[3]}},[{"d":4}]]"#),
            "- - 1\n  - - 2\n- \"a\": []\n  \"b\":\n    \"c\":\n    - 3\n- - \"d\": 4\n"
        );
        assert_eq!(
            encoded(r#"{"a":["x\ny",{"b":"z\n"}],"c":"\n"}"#),
            "\"a\":\n- |-\n  x\n  y\n- \"b\": |\n    z\n\"c\": |2+\n\n"
        );
    }

    #[test]
    fn texts() {
        assert_eq!(encoded(r#""a \nb""#), "\"a \\nb\"\n");
        assert_eq!(encoded(r#""\ta\nb""#), "\"\\ta\\nb\"\n");
        assert_eq!(encoded(r#"" a\nb\n\n""#), "|2+\n   a\n  b\n\n");
        assert_eq!(
            encoded(r#""\u0001\u001b\u0085😀\u00a0\"\\""#),
            "\"\\x01\\e\\N\\U0001F600\u{a0}\\\"\\\\\"\n"
        );
        let long = "word ".repeat(40);
        let folded = encoded(&format!("{{\"a\":\"{}\"}}", long.trim_end()));
        assert!(
            folded.lines().all(|line| line.len() < 90) && folded.lines().count() == 3,
            "{folded}"
        );
        let key = "k".repeat(129);
        assert_eq!(
            encoded(&format!("{{\"{key}\":[1],\"l\\nm\":2}}")),
            format!("? \"{key}\"\n: - 1\n? |-\n  l\n  m\n: 2\n")
        );
    }

    #[test]
    fn documents_end() {
        assert_eq!(encoded("1"), "1\n...\n");
        assert_eq!(encoded("null"), "null\n...\n");
        assert_eq!(encoded("[null]"), "- null\n");
        assert_eq!(encoded("\"\""), "\"\"\n");
    }
}
