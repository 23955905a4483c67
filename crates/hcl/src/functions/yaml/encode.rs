//! Values to YAML, line for line as libyaml's emitter lays them out in block style; its rules are kept one by one, because what is
//! written ends up in files that are compared.

use crate::functions::arguments::LONGEST_TEXT;
use crate::value::{Kind, Members, Value};

/// Lines of quoted text are folded at the first space beyond this column.
const WIDTH: usize = 80;
/// Spaces for each level.
const STEP: usize = 2;
/// Longer keys (in bytes) are written after a `?`.
const LONGEST_KEY: usize = 128;

/// A wholly known value as a document.
pub(super) fn encode(value: &Value) -> String {
    let mut emitter = Emitter {
        at_start_of_line: true,
        after_space: true,
        ..Emitter::default()
    };
    emitter.node(value, None, Context::Root);
    emitter.line(0);
    if emitter.open_ended {
        // Without an end mark a reader would not know where the text ends.
        emitter.indicator("...", true);
        emitter.line(0);
    }
    emitter.yaml
}

#[derive(Clone, Copy, PartialEq)]
enum Context {
    Root,
    Element,
    /// The key of a mapping, followed by a colon on the same line.
    SimpleKey,
    /// The key of a mapping after a `?`, or a value.
    Member,
}

#[derive(Default)]
struct Emitter {
    yaml: String,
    /// In characters.
    column: usize,
    /// What was written last is white space.
    after_space: bool,
    /// Only indentation, and dashes that count as such, stand in the line.
    at_start_of_line: bool,
    /// The end of the text is not marked by itself.
    open_ended: bool,
}

impl Emitter {
    /// A value; `indent` is that of the mapping or sequence around it.
    fn node(&mut self, value: &Value, indent: Option<usize>, context: Context) {
        if self.yaml.len() > LONGEST_TEXT {
            // The caller complains about the length.
            return;
        }
        match &value.kind {
            Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
                self.sequence(elements, indent, context);
            }
            Kind::Map(_, members) | Kind::Object(members) => self.mapping(members, indent),
            Kind::String(text) => self.text(text, indent, context),
            Kind::Bool(truth) => self.plain(if *truth { "true" } else { "false" }, context),
            Kind::Number(number) if number.is_infinite() => {
                self.plain(if number.is_negative() { "-.Inf" } else { "+.Inf" }, context);
            }
            Kind::Number(number) => self.plain(&number.to_string(), context),
            Kind::Null(_) | Kind::Unknown(_) => self.plain("null", context),
        }
    }

    fn sequence(&mut self, elements: &[Value], indent: Option<usize>, context: Context) {
        if elements.is_empty() {
            return self.indicator_pair("[", "]");
        }
        // Under a key the dashes stand where the key does.
        let same_level = context == Context::Member && !self.at_start_of_line;
        let inner = match indent {
            None => 0,
            Some(indent) if same_level => indent,
            Some(indent) => indent + STEP,
        };
        for element in elements {
            self.line(inner);
            self.dash("-");
            self.node(element, Some(inner), Context::Element);
        }
    }

    fn mapping(&mut self, members: &Members, indent: Option<usize>) {
        if members.is_empty() {
            return self.indicator_pair("{", "}");
        }
        let inner = indent.map_or(0, |indent| indent + STEP);
        for (name, member) in members {
            self.line(inner);
            if name.len() <= LONGEST_KEY && !name.contains(is_break) {
                self.text(name, Some(inner), Context::SimpleKey);
                self.indicator(":", false);
            } else {
                self.dash("?");
                self.text(name, Some(inner), Context::Member);
                self.line(inner);
                self.dash(":");
            }
            self.node(member, Some(inner), Context::Member);
        }
    }

    fn text(&mut self, text: &str, indent: Option<usize>, context: Context) {
        let indent = indent.map_or(STEP, |indent| indent + STEP);
        if text.contains('\n') && context != Context::SimpleKey && fits_literal_block(text) {
            self.literal_block(text, indent);
        } else {
            self.quoted(text, indent, context != Context::SimpleKey);
        }
    }

    fn plain(&mut self, text: &str, context: Context) {
        if !self.after_space {
            self.put(' ');
        }
        text.chars().for_each(|character| self.put(character));
        self.after_space = false;
        self.at_start_of_line = false;
        self.open_ended |= context == Context::Root;
    }

    fn literal_block(&mut self, text: &str, indent: usize) {
        self.indicator("|", true);
        if text.starts_with(|first: char| first == ' ' || is_break(first)) {
            self.put_all(&STEP.to_string());
        }
        let without_last = text.strip_suffix(is_break);
        match without_last {
            None => self.put('-'),
            Some(rest) if rest.is_empty() || rest.ends_with(is_break) => self.put('+'),
            Some(_) => {}
        }
        self.new_line();
        let mut line_starts = true;
        for character in text.chars() {
            if is_break(character) {
                self.put_break(character);
            } else {
                if line_starts {
                    self.line(indent);
                }
                self.put(character);
                self.at_start_of_line = false;
            }
            line_starts = is_break(character);
        }
    }

    fn quoted(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.indicator("\"", true);
        let mut after_space = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            if character != ' ' {
                self.quoted_character(character);
                after_space = false;
                continue;
            }
            let inside = at > 0 && characters.peek().is_some();
            if may_fold && !after_space && self.column > WIDTH && inside {
                self.line(indent);
                if characters.peek().is_some_and(|(_, next)| *next == ' ') {
                    self.put('\\');
                }
            } else {
                self.put(' ');
            }
            after_space = true;
        }
        self.indicator("\"", false);
    }

    fn quoted_character(&mut self, character: char) {
        let code = u32::from(character);
        let escape = match character {
            '"' | '\\' => format!("\\{character}"),
            '\0' => "\\0".to_owned(),
            '\u{7}' => "\\a".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\u{b}' => "\\v".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            '\r' => "\\r".to_owned(),
            '\u{1b}' => "\\e".to_owned(),
            '\u{85}' => "\\N".to_owned(),
            '\u{2028}' => "\\L".to_owned(),
            '\u{2029}' => "\\P".to_owned(),
            _ if is_printable(character) => return self.put(character),
            _ if code <= 0xff => format!("\\x{code:02X}"),
            _ if code <= 0xffff => format!("\\u{code:04X}"),
            _ => format!("\\U{code:08X}"),
        };
        self.put_all(&escape);
    }

    fn indicator_pair(&mut self, open: &str, close: &str) {
        self.indicator(open, true);
        self.indicator(close, false);
    }

    fn indicator(&mut self, text: &str, needs_space: bool) {
        if needs_space && !self.after_space {
            self.put(' ');
        }
        self.put_all(text);
        self.after_space = false;
        self.at_start_of_line = false;
        self.open_ended = false;
    }

    /// An indicator after which a block may begin in the same line.
    fn dash(&mut self, text: &str) {
        let at_start = self.at_start_of_line;
        self.indicator(text, true);
        self.at_start_of_line = at_start;
    }

    /// Goes to a column in a line with nothing before it, a new one where needed.
    fn line(&mut self, indent: usize) {
        if !self.at_start_of_line || self.column > indent || (self.column == indent && !self.after_space) {
            self.new_line();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.after_space = true;
        self.at_start_of_line = true;
    }

    fn new_line(&mut self) {
        self.put_break('\n');
        self.after_space = true;
    }

    fn put_break(&mut self, character: char) {
        self.yaml.push(character);
        self.column = 0;
        self.at_start_of_line = true;
    }

    fn put_all(&mut self, text: &str) {
        text.chars().for_each(|character| self.put(character));
    }

    fn put(&mut self, character: char) {
        self.yaml.push(character);
        self.column += 1;
    }
}

/// Text that is the same when it is read back from a literal block: no space at the end of a line, nothing that needs an escape.
fn fits_literal_block(text: &str) -> bool {
    let mut before_break = false;
    for character in text.chars() {
        if (is_break(character) && before_break) || !is_printable(character) && !matches!(character, '\n' | '\u{85}') {
            return false;
        }
        before_break = character == ' ';
    }
    !before_break
}

fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters of the basic plane that a reader sees; a tab is none, nor is anything beyond that plane.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> String {
        encode(&crate::functions::json::decode(json).unwrap())
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
