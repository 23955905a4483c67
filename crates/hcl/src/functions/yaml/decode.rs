//! YAML to values: events of the parser are put together from the inside out, without recursion.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::scalar;
use crate::convert;
use crate::types::Type;
use crate::value::{Kind, Value};

/// Mappings and sequences within each other.
const DEEPEST: usize = 512;
/// Values of a document, those that aliases repeat counted every time: a few lines can stand for billions.
const MOST_VALUES: usize = 1 << 20;

/// The value of a document; the error is a fragment.
pub(super) fn decode(yaml: &str) -> Result<Value, String> {
    let lines: Vec<&str> = yaml.split('\n').collect();
    let mut builder = Builder::default();
    for event in Parser::new_from_str(yaml) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let at = span.start;
        let place = |message| format!("line {}, column {}: {message}", at.line(), at.col() + 1);
        let line = lines.get(at.line().saturating_sub(1)).copied().unwrap_or_default();
        builder.check_tabs(&event, line, at.col()).map_err(place)?;
        builder.take(event).map_err(place)?;
    }
    builder
        .document
        .map(|(value, _)| value)
        .ok_or_else(|| "there is no document".to_owned())
}

/// A value and how many values it is made of.
type Counted = (Value, usize);

#[derive(Default)]
struct Builder {
    documents: usize,
    /// Mappings and sequences that are not finished, the outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Counted>,
    document: Option<Counted>,
    /// What starts next lies between brackets or braces.
    flow: bool,
}

/// A mapping or sequence that is not finished.
struct Open {
    anchor: usize,
    count: usize,
    /// Between brackets or braces, where white space is only white space.
    flow: bool,
    content: Content,
}

enum Content {
    Sequence(Vec<Value>),
    Mapping {
        members: BTreeMap<String, Value>,
        key: Option<Key>,
    },
}

/// The key whose value comes next.
enum Key {
    Name(String),
    /// `<<`: the members of the value become members here.
    Merge,
}

impl Builder {
    /// In blocks a tab is no indentation, though the parser takes some for it.
    fn check_tabs(&mut self, event: &Event<'_>, line: &str, column: usize) -> Result<(), String> {
        if !matches!(
            event,
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_)
        ) {
            return Ok(());
        }
        let mut before = line.chars().take(column);
        let in_flow = self.open.last().is_some_and(|open| open.flow);
        self.flow = in_flow || line.chars().nth(column).is_some_and(|first| matches!(first, '[' | '{'));
        let indents = before
            .clone()
            .all(|character| matches!(character, ' ' | '\t' | '-' | '?'));
        if !in_flow && indents && before.any(|character| character == '\t') {
            return Err("a tab stands where only spaces indent".to_owned());
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref()),
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq")?;
                self.open(anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map")?;
                self.open(
                    anchor,
                    Content::Mapping {
                        members: BTreeMap::new(),
                        key: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let repeated = self.anchors.get(&anchor).cloned();
                self.add(repeated.ok_or("an alias stands within what it refers to")?)
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    Err("only one document is allowed".to_owned())
                } else {
                    Ok(())
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> Result<(), String> {
        if self.awaits_key() && text == "<<" && style == ScalarStyle::Plain && tag.is_none() {
            self.key(Key::Merge);
            return Ok(());
        }
        let value = scalar::resolve(text, style, short_tag(tag)?.as_deref())?;
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), 1));
        }
        self.add((value, 1))
    }

    fn awaits_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| matches!(open.content, Content::Mapping { key: None, .. }))
    }

    fn open(&mut self, anchor: usize, content: Content) -> Result<(), String> {
        if self.awaits_key() {
            return Err("the key of a mapping must be a scalar".to_owned());
        }
        if self.open.len() == DEEPEST {
            return Err(format!(
                "mappings and sequences lie more than {DEEPEST} deep in each other"
            ));
        }
        self.open.push(Open {
            anchor,
            count: 1,
            flow: self.flow,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::Sequence(elements) => Value::tuple(elements),
            Content::Mapping { members, .. } => Value::object(members),
        };
        let counted = (value, open.count);
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, counted.clone());
        }
        self.add(counted)
    }

    fn key(&mut self, next: Key) {
        if let Some(Open {
            content: Content::Mapping { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Some(next);
        }
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, (value, count): Counted) -> Result<(), String> {
        if self.awaits_key() {
            self.key(Key::Name(name(&value)?));
            return Ok(());
        }
        let Some(open) = self.open.last_mut() else {
            self.document = Some((value, count));
            return Ok(());
        };
        open.count += count;
        if open.count > MOST_VALUES {
            return Err(format!(
                "with its aliases the document has more than {MOST_VALUES} values"
            ));
        }
        match &mut open.content {
            Content::Sequence(elements) => elements.push(value),
            Content::Mapping { members, key } => match key.take() {
                Some(Key::Merge) => merge(members, &value)?,
                Some(Key::Name(name)) => {
                    members.insert(name, value);
                }
                None => {}
            },
        }
        Ok(())
    }
}

/// The name that a key stands for: numbers and truths count as they are written after being understood, so that `y` is `true`.
fn name(key: &Value) -> Result<String, String> {
    let name = convert::convert(key, &Type::String).map_err(|_| "the key of a mapping must be a scalar")?;
    name.as_str()
        .map(str::to_owned)
        .ok_or_else(|| "the key of a mapping must not be null".to_owned())
}

/// Members of a mapping, or of each mapping of a sequence; what comes later replaces what is there.
fn merge(members: &mut BTreeMap<String, Value>, value: &Value) -> Result<(), String> {
    let mappings = match &value.kind {
        Kind::Tuple(elements) => elements.to_vec(),
        _ => vec![value.clone()],
    };
    for mapping in &mappings {
        let merged = mapping.members().ok_or("only mappings can be merged into a mapping")?;
        members.extend(merged.iter().map(|(name, value)| (name.to_string(), value.clone())));
    }
    Ok(())
}

const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// A tag of YAML's own without its prefix; `None` without a tag, or with `!`, which says nothing.
fn short_tag(tag: Option<&Tag>) -> Result<Option<String>, String> {
    let Some(tag) = tag else { return Ok(None) };
    let whole = format!("{}{}", tag.handle, tag.suffix);
    match whole.strip_prefix(YAML_TAGS).or_else(|| whole.strip_prefix("!!")) {
        Some(short) => Ok(Some(short.to_owned())),
        None if whole == "!" => Ok(None),
        None => Err(format!("the tag `{whole}` is not supported")),
    }
}

fn check_tag(tag: Option<&Tag>, allowed: &str) -> Result<(), String> {
    match short_tag(tag)? {
        Some(other) if other != allowed => Err(format!("the tag `!!{other}` does not fit here")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn decoded(yaml: &str) -> String {
        decode(yaml).unwrap().to_string()
    }

    #[test]
    fn structures() {
        assert_eq!(
            decoded("a: &x [1, {b: ~}]\nc: *x"),
            r#"{"a" = [1, {"b" = null}], "c" = [1, {"b" = null}]}"#
        );
        assert_eq!(decoded("y: 1\n? 1.50\n: 2\n"), r#"{"1.5" = 2, "true" = 1}"#);
        assert_eq!(
            decoded("a: &a {x: 1, y1: 1}\nb:\n  <<: *a\n  x: 2"),
            r#"{"a" = {"x" = 1, "y1" = 1}, "b" = {"x" = 2, "y1" = 1}}"#
        );
        assert_eq!(decoded("<<: [{a: 1}, {a: 2, b: 3}]"), r#"{"a" = 2, "b" = 3}"#);
        assert_eq!(decoded("'<<': 1"), r#"{"<<" = 1}"#);
        assert_eq!(decoded("--- |\n  x\n  y\n"), r#""x\ny\n""#);
        assert_eq!(decoded("---\n"), "null");
    }

    #[test]
    fn errors() {
        for yaml in [
            "",
            "# only this",
            "a: b: c",
            "--- 1\n--- 2",
            "\ta: 1",
            "a: *b",
            "[1] : 2",
            "~: 1",
            "a: !foo 1",
            "!!map [1]",
            "a: .nan",
            "<<: 1",
            "a: &a [*a]",
            "[1",
            "\"a",
        ] {
            assert!(decode(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn hostile_documents() {
        assert!(decode(&"[".repeat(100_000)).is_err());
        assert!(decode(&"- ".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            let _ = writeln!(bomb, "a{level}: &a{level} [{}]", [below.as_str(); 9].join(", "));
        }
        assert!(decode(&bomb).unwrap_err().contains("more than"));
    }
}
