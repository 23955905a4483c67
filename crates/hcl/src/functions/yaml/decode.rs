//! YAML to values: events of the parser are put together from the inside out, without recursion.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{self, UnwindSafe};
use std::sync::Once;

use libyaml_safer::{Encoding, Event, EventData, Parser, ScalarStyle};

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
    let yaml = yaml.strip_prefix('\u{feff}').unwrap_or(yaml);
    // The parser panics where a comma follows a tag at once, and may do so elsewhere.
    quietly(|| build(yaml)).unwrap_or_else(|| Err("the YAML parser gave up on the document".to_owned()))
}

/// Runs what may panic; a panic is `None` and leaves no trace on the terminal. The hook that was set before is still called for every
/// other panic, also for one of another thread in the meantime.
fn quietly<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = panic::catch_unwind(work);
    QUIET.set(false);
    done.ok()
}

fn build(yaml: &str) -> Result<Value, String> {
    // The parser wants every line ended.
    let lines = if yaml.ends_with('\n') {
        yaml.to_owned()
    } else {
        format!("{yaml}\n")
    };
    let mut bytes = lines.as_bytes();
    let mut parser = Parser::new();
    parser.set_encoding(Encoding::Utf8);
    parser.set_input_string(&mut bytes);
    let mut builder = Builder::default();
    for event in parser {
        let Event {
            mut data,
            start_mark,
            end_mark,
            ..
        } = event.map_err(|error| error.to_string())?;
        if end_mark.index > yaml.len() as u64 {
            without_added_line_end(&mut data, yaml);
        }
        builder
            .take(data)
            .map_err(|message| format!("{start_mark}: {message}"))?;
    }
    builder.document.ok_or_else(|| "there is no document".to_owned())
}

/// A block of text ends where the document does, without a line end that is not there.
fn without_added_line_end(data: &mut EventData, yaml: &str) {
    let EventData::Scalar {
        value,
        style: ScalarStyle::Literal | ScalarStyle::Folded,
        ..
    } = data
    else {
        return;
    };
    // A last line without text does not end the one before it a second time.
    let is_blank = yaml
        .rsplit('\n')
        .next()
        .is_some_and(|last| last.trim_end_matches(' ').is_empty());
    if value.ends_with('\n') && (!is_blank || value == "\n" || value.ends_with("\n\n")) {
        value.pop();
    }
}

/// A value and how many values it is made of.
type Counted = (Value, usize);

#[derive(Default)]
struct Builder {
    documents: usize,
    /// Mappings and sequences that are not finished, the outermost first.
    open: Vec<Open>,
    anchors: HashMap<String, Counted>,
    document: Option<Value>,
}

/// A mapping or sequence that is not finished.
struct Open {
    anchor: Option<String>,
    count: usize,
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
    fn take(&mut self, event: EventData) -> Result<(), String> {
        match event {
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => self.scalar(&value, style, anchor, tag.as_deref()),
            EventData::SequenceStart { anchor, tag, .. } => {
                check_tag(tag.as_deref(), "seq")?;
                self.open(anchor, Content::Sequence(Vec::new()))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                check_tag(tag.as_deref(), "map")?;
                let (members, key) = (BTreeMap::new(), None);
                self.open(anchor, Content::Mapping { members, key })
            }
            EventData::SequenceEnd | EventData::MappingEnd => self.close(),
            EventData::Alias { anchor } => {
                if self.open.iter().any(|open| open.anchor.as_ref() == Some(&anchor)) {
                    return Err(format!("the alias `{anchor}` stands within what it refers to"));
                }
                let repeated = self.anchors.get(&anchor).cloned();
                self.add(repeated.ok_or_else(|| format!("there is no anchor `{anchor}`"))?)
            }
            EventData::DocumentStart { .. } => {
                self.documents += 1;
                if self.documents > 1 {
                    Err("only one document is allowed".to_owned())
                } else {
                    Ok(())
                }
            }
            EventData::StreamStart { .. } | EventData::StreamEnd | EventData::DocumentEnd { .. } => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: Option<String>,
        tag: Option<&str>,
    ) -> Result<(), String> {
        if self.awaits_key() && text == "<<" && tag.is_none() {
            self.key(Key::Merge);
            return Ok(());
        }
        let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let mut value = scalar::resolve(text, is_quoted, short_tag(tag)?)?;
        if tag.is_none() && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            // A block is text, but that of what it means: `yes` is "true" there.
            value = convert::convert(&value, &Type::String).map_err(|error| error.to_string())?;
        }
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (value.clone(), 1));
        }
        self.add((value, 1))
    }

    fn awaits_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| matches!(open.content, Content::Mapping { key: None, .. }))
    }

    fn open(&mut self, anchor: Option<String>, content: Content) -> Result<(), String> {
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
        if let Some(anchor) = open.anchor {
            self.anchors.insert(anchor, counted.clone());
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
            self.document = Some(value);
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

/// The name that a key stands for: numbers and booleans count as they are printed after being parsed, so that `y` is `true`.
fn name(key: &Value) -> Result<String, String> {
    let name = convert::convert(key, &Type::String).map_err(|_| "the key of a mapping must be a scalar")?;
    name.as_str()
        .map(str::to_owned)
        .ok_or_else(|| "the key of a mapping must not be null".to_owned())
}

/// Members of another mapping, which replace those that are there.
fn merge(members: &mut BTreeMap<String, Value>, value: &Value) -> Result<(), String> {
    let Kind::Object(merged) = &value.kind else {
        return Err("only a mapping can be merged into a mapping".to_owned());
    };
    members.extend(merged.iter().map(|(name, value)| (name.to_string(), value.clone())));
    Ok(())
}

/// A tag of YAML's own without its prefix; there are no others.
fn short_tag(tag: Option<&str>) -> Result<Option<&str>, String> {
    let Some(tag) = tag else { return Ok(None) };
    match tag.strip_prefix("tag:yaml.org,2002:") {
        Some(short) => Ok(Some(short)),
        None => Err(format!("the tag `{tag}` is not supported")),
    }
}

fn check_tag(tag: Option<&str>, allowed: &str) -> Result<(), String> {
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
        assert_eq!(decoded("a: [\n1,\n]\nb:\tx"), r#"{"a" = [1], "b" = "x"}"#);
        assert_eq!(decoded("|-\n  5"), r#""5""#);
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
            "<<: [{a: 1}]",
            "! 5",
            "[!!str, x]",
            "\"\\",
            "\u{1}",
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
