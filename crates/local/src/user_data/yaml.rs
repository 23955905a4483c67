//! YAML as far as `#cloud-config` needs it: strings, lists and mappings. What a plain scalar means is up to whoever asks for it.

use std::collections::HashMap;
use std::panic::catch_unwind;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libyaml_safer::{Encoding, Event, EventData, Parser, ScalarStyle};

/// Mappings and lists within each other.
const DEEPEST: usize = 64;
/// Nodes of a document, those that aliases repeat counted every time.
const MOST_NODES: usize = 1 << 16;
/// The tag of bytes in base64.
const BINARY: &str = "tag:yaml.org,2002:binary";

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A string, a number, a boolean or nothing, as it is written; `is_plain` without quotes.
    Scalar { text: String, is_plain: bool },
    /// What a scalar with the tag `!!binary` stands for.
    Bytes(Vec<u8>),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the document.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A scalar's text; `null` has none.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Node::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Whether it is YAML's `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Node::Scalar { text, is_plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// A boolean of YAML 1.1. cloud-init takes them in quotes as well.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Some(true),
            "false" | "no" | "off" | "n" | "0" => Some(false),
            _ => None,
        }
    }
}

/// The one document of a text; the error is a sentence with the place.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    // The parser panics where a comma follows a tag at once, and may do so elsewhere.
    catch_unwind(|| build(text)).unwrap_or_else(|_| Err("the YAML parser failed on the document".to_owned()))
}

fn build(text: &str) -> Result<Node, String> {
    let mut bytes = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_encoding(Encoding::Utf8);
    parser.set_input_string(&mut bytes);
    let mut builder = Builder::default();
    for event in parser {
        let Event { data, start_mark, .. } = event.map_err(|error| error.to_string())?;
        builder
            .take(data)
            .map_err(|message| format!("{start_mark}: {message}"))?;
    }
    Ok(builder.document.map_or_else(
        || Node::Scalar {
            text: String::new(),
            is_plain: true,
        },
        |(node, _)| node,
    ))
}

/// A node and how many nodes it is made of.
type Counted = (Node, usize);

#[derive(Default)]
struct Builder {
    documents: usize,
    /// Mappings and lists that are not finished, the outermost first.
    open: Vec<Open>,
    anchors: HashMap<String, Counted>,
    document: Option<Counted>,
}

/// A mapping or list that is not finished.
struct Open {
    anchor: Option<String>,
    count: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        members: Vec<(String, Node)>,
        key: Option<String>,
    },
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
            } => {
                let node = if tag.as_deref() == Some(BINARY) {
                    let letters: String = value.split_whitespace().collect();
                    let bytes = BASE64_STANDARD.decode(letters);
                    Node::Bytes(bytes.map_err(|_| "the value with the tag `!!binary` is not base64")?)
                } else {
                    Node::Scalar {
                        text: value,
                        is_plain: style == ScalarStyle::Plain && tag.is_none(),
                    }
                };
                self.finish(anchor, (node, 1))
            }
            EventData::SequenceStart { anchor, .. } => self.open(anchor, Content::List(Vec::new())),
            EventData::MappingStart { anchor, .. } => {
                let (members, key) = (Vec::new(), None);
                self.open(anchor, Content::Map { members, key })
            }
            EventData::SequenceEnd | EventData::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let node = match open.content {
                    Content::List(elements) => Node::List(elements),
                    Content::Map { members, .. } => Node::Map(members),
                };
                self.finish(open.anchor, (node, open.count))
            }
            EventData::Alias { anchor } => {
                let repeated = self.anchors.get(&anchor).cloned();
                self.add(repeated.ok_or_else(|| format!("there is no anchor `{anchor}`"))?)
            }
            EventData::DocumentStart { .. } => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err("only one document is allowed".to_owned()),
                }
            }
            EventData::StreamStart { .. } | EventData::StreamEnd | EventData::DocumentEnd { .. } => Ok(()),
        }
    }

    fn open(&mut self, anchor: Option<String>, content: Content) -> Result<(), String> {
        if self.open.len() == DEEPEST {
            return Err(format!("mappings and lists are nested more than {DEEPEST} deep"));
        }
        self.open.push(Open {
            anchor,
            count: 1,
            content,
        });
        Ok(())
    }

    fn finish(&mut self, anchor: Option<String>, counted: Counted) -> Result<(), String> {
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, counted.clone());
        }
        self.add(counted)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, (node, count): Counted) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            self.document = Some((node, count));
            return Ok(());
        };
        open.count += count;
        if open.count > MOST_NODES {
            return Err(format!(
                "with its aliases the document has more than {MOST_NODES} values"
            ));
        }
        match &mut open.content {
            Content::List(elements) => elements.push(node),
            Content::Map { members, key } => match (key.take(), node) {
                (None, Node::Scalar { text, .. }) => *key = Some(text),
                (None, _) => return Err("the key of a mapping must be a scalar".to_owned()),
                (Some(name), node) if name == "<<" => merge(members, node)?,
                (Some(name), node) => {
                    members.retain(|(other, _)| *other != name);
                    members.push((name, node));
                }
            },
        }
        Ok(())
    }
}

/// Adds the members of another mapping that are not there.
fn merge(members: &mut Vec<(String, Node)>, node: Node) -> Result<(), String> {
    let mappings = match node {
        Node::List(mappings) => mappings,
        mapping => vec![mapping],
    };
    for mapping in mappings {
        let Node::Map(merged) = mapping else {
            return Err("only a mapping can be merged into a mapping".to_owned());
        };
        for (name, node) in merged {
            if !members.iter().any(|(other, _)| *other == name) {
                members.push((name, node));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn shown(node: &Node) -> String {
        match node {
            Node::Scalar { text, is_plain: true } => text.clone(),
            Node::Scalar { text, is_plain: false } => format!("{text:?}"),
            Node::Bytes(bytes) => format!("{bytes:?}"),
            Node::List(elements) => format!("[{}]", elements.iter().map(shown).collect::<Vec<_>>().join(", ")),
            Node::Map(members) => {
                let members = members.iter().map(|(name, node)| format!("{name}: {}", shown(node)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[test]
    fn documents_keep_what_is_written() {
        for (text, expected) in [
            ("#cloud-config\na: 0644\nb: '0644'\n", "{a: 0644, b: \"0644\"}"),
            ("a: |\n  x\n  y\nb: !!binary aGk=\n", "{a: \"x\\ny\\n\", b: [104, 105]}"),
            ("a: &x [1, {b: ~}]\nc: *x", "{a: [1, {b: ~}], c: [1, {b: ~}]}"),
            (
                "a: &a {x: 1, y: 1}\nb:\n  x: 2\n  <<: *a\n",
                "{a: {x: 1, y: 1}, b: {x: 2, y: 1}}",
            ),
            ("a: 1\na: 2", "{a: 2}"),
            ("#cloud-config\n", ""),
        ] {
            assert_eq!(shown(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn broken_documents_are_errors_with_their_place() {
        for text in [
            "a: b: c",
            "--- 1\n--- 2",
            "a: *b",
            "[1] : 2",
            "<<: 1",
            "[1",
            "a: !!binary '%'",
            "a: &a [*a]",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.is_empty(), "{text}");
        }
        assert!(
            parse("a: 1\nb: *c\n").unwrap_err().contains("line 2"),
            "{:?}",
            parse("a: 1\nb: *c\n")
        );
    }

    #[test]
    fn documents_are_bounded() {
        assert!(parse(&"[".repeat(10_000)).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            let _ = writeln!(bomb, "a{level}: &a{level} [{}]", [below.as_str(); 9].join(", "));
        }
        assert!(parse(&bomb).unwrap_err().contains("more than"));
    }
}
