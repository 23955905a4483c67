//! The JSON reader: recursive, bounded in depth, and going on after errors at the next comma or closing bracket.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::native::MAX_COMPLAINTS;
use crate::source::{FileId, Place};
use crate::syntax::{JsonKind, JsonValue, Name};

/// Reads a text of at most `levels` levels.
pub(super) fn read(text: &str, file: FileId, levels: usize, diagnostics: &mut Diagnostics) -> Option<JsonValue> {
    let mut reader = Reader { text, at: 0, file, levels, open: Vec::new(), complaints: Vec::new(), stopped: false };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    reader.space();
    let value = reader.value();
    if value.is_some() {
        reader.space();
        if !reader.at_end() {
            let rest = reader.at..text.len().min(reader.at + 1);
            reader.complain(rest, "the JSON value is complete, but the text goes on", Some("a JSON text holds one value"));
        }
    }
    reader.complaints.sort_by_key(|complaint| complaint.place.map(|place| place.start));
    diagnostics.extend(reader.complaints);
    value
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    file: FileId,
    /// How many levels may be open.
    levels: usize,
    /// The closing brackets of the levels that are open.
    open: Vec<u8>,
    complaints: Vec<Diagnostic>,
    stopped: bool,
}

impl Reader<'_> {
    fn byte(&self) -> u8 {
        if self.stopped { 0 } else { self.text.as_bytes().get(self.at).copied().unwrap_or(0) }
    }

    fn at_end(&self) -> bool {
        self.stopped || self.at >= self.text.len()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn place(&self, range: std::ops::Range<usize>) -> Place {
        let start = self.text.floor_char_boundary(range.start);
        Place::new(self.file, start..self.text.ceil_char_boundary(range.end))
    }

    fn complain(&mut self, range: std::ops::Range<usize>, summary: impl Into<String>, help: Option<&str>) {
        if self.stopped {
            return;
        }
        let place = self.place(range);
        self.complaints.push(Diagnostic::error(place, summary).help(help.map(str::to_owned)));
        if self.complaints.len() >= MAX_COMPLAINTS {
            self.stopped = true;
            let summary = "too many errors, the rest of this text is not read";
            self.complaints.push(Diagnostic::error(place, summary));
        }
    }

    /// Skips space, and comments with a complaint.
    fn space(&mut self) {
        loop {
            match self.byte() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => self.comment(self.rest().find('\n').unwrap_or(self.rest().len())),
                b'/' if self.rest().starts_with("//") => self.comment(self.rest().find('\n').unwrap_or(self.rest().len())),
                b'/' if self.rest().starts_with("/*") => {
                    self.comment(self.rest().find("*/").map_or(self.rest().len(), |length| length + 2));
                }
                _ => return,
            }
        }
    }

    fn comment(&mut self, length: usize) {
        let start = self.at;
        self.at += length;
        self.complain(start..start + 2, "JSON has no comments", Some("write a comment as a property: \"//\": \"…\""));
    }

    /// The value that begins here. `None` after a complaint that there is none.
    fn value(&mut self) -> Option<JsonValue> {
        let start = self.at;
        let kind = match self.byte() {
            b'{' => self.nested(b'}', Self::object)?,
            b'[' => self.nested(b']', Self::array)?,
            b'"' => JsonKind::String(self.string()),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word()?,
        };
        Some(JsonValue { kind, place: self.place(start..self.at) })
    }

    /// Opens a level, unless there are too many.
    fn nested(&mut self, close: u8, read: impl FnOnce(&mut Self) -> JsonKind) -> Option<JsonKind> {
        if self.open.len() >= self.levels {
            self.complain(self.at..self.at + 1, "this is nested too deeply", Some("flatten the structure"));
            // Whatever follows is inside of this level and would only be complained about again.
            self.stopped = true;
            return None;
        }
        self.open.push(close);
        let kind = read(self);
        self.open.pop();
        Some(kind)
    }

    /// At the closing bracket of the other kind: complains, and takes it unless it closes what is around this level.
    fn wrong_close(&mut self, summary: &str) {
        self.complain(self.at..self.at + 1, summary, None);
        let around = self.open.iter().rev().nth(1).copied();
        if around != Some(self.byte()) {
            self.at += 1;
        }
    }

    fn object(&mut self) -> JsonKind {
        let start = self.at;
        let mut properties = Vec::new();
        self.at += 1;
        loop {
            self.space();
            match self.byte() {
                b'}' => break self.at += 1,
                b'"' => {
                    if let Some(property) = self.property() {
                        properties.push(property);
                    }
                    self.separator(start, b'}');
                }
                _ if self.at_end() => break self.unclosed(start, '}'),
                b']' => break self.wrong_close("an object is closed by `}`, not by `]`"),
                _ => {
                    self.no_property();
                    self.separator(start, b'}');
                }
            }
        }
        JsonKind::Object(properties)
    }

    /// `"name": value`
    fn property(&mut self) -> Option<(Name, JsonValue)> {
        let start = self.at;
        let text = self.string();
        let name = Name { text, place: self.place(start..self.at) };
        self.space();
        if self.byte() != b':' {
            let help = if self.byte() == b'=' { "write `:` instead of `=`" } else { "write each property as \"name\": value" };
            let next = self.at..self.at + 1;
            self.complain(next, format!("the property `{}` has no `:`", name.text), Some(help));
            self.skip_to_separator();
            return None;
        }
        self.at += 1;
        self.space();
        let Some(value) = self.value() else {
            self.skip_to_separator();
            return None;
        };
        Some((name, value))
    }

    fn no_property(&mut self) {
        let help = match self.byte() {
            b',' => "one comma between two properties is enough",
            b'\'' => "JSON strings stand in double quotes",
            byte if byte == b'_' || byte.is_ascii_alphabetic() => "put the name into double quotes",
            _ => "write each property as \"name\": value",
        };
        self.complain(self.at..self.at + 1, "a property's name is expected here", Some(help));
        self.skip_to_separator();
    }

    fn array(&mut self) -> JsonKind {
        let start = self.at;
        let mut elements = Vec::new();
        self.at += 1;
        loop {
            self.space();
            match self.byte() {
                b']' => break self.at += 1,
                _ if self.at_end() => break self.unclosed(start, ']'),
                b'}' => break self.wrong_close("an array is closed by `]`, not by `}`"),
                _ => {
                    match self.value() {
                        Some(element) => elements.push(element),
                        None => self.skip_to_separator(),
                    }
                    self.separator(start, b']');
                }
            }
        }
        JsonKind::Array(elements)
    }

    fn unclosed(&mut self, start: usize, close: char) {
        self.complain(start..start + 1, format!("no `{close}` closes this up to the end of the text"), Some("add it"));
        // What encloses it is not closed either, for the same reason.
        self.stopped = true;
    }

    /// After an element: a comma with something behind it, or the closing bracket, which is left.
    fn separator(&mut self, opening: usize, close: u8) {
        self.space();
        match self.byte() {
            b',' => {
                let comma = self.at;
                self.at += 1;
                self.space();
                let told = self.complaints.last().and_then(|complaint| complaint.place);
                if self.byte() == close && told != Some(self.place(comma..comma + 1)) {
                    self.complain(comma..comma + 1, "a comma stands behind the last element", Some("remove the comma"));
                }
            }
            b'}' | b']' => {}
            _ if self.at_end() => {}
            _ => {
                let place = self.place(opening..opening + 1);
                let what = if close == b'}' { "properties" } else { "elements" };
                self.complain(self.at..self.at + 1, format!("a comma is missing between {what} here"), None);
                if let Some(complaint) = self.complaints.last_mut() {
                    complaint.related.push((place, "inside of what is opened here".to_owned()));
                }
                if !matches!(self.byte(), b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
                    self.skip_to_separator();
                    if self.byte() == b',' {
                        self.at += 1;
                    }
                }
            }
        }
    }

    /// Skips to the next comma or closing bracket of this level.
    fn skip_to_separator(&mut self) {
        let mut depth = 0_usize;
        while !self.at_end() {
            match self.byte() {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b',' if depth == 0 => return,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => match depth.checked_sub(1) {
                    Some(less) => depth = less,
                    None => return,
                },
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Skips a string, or what looks like one up to the line's end.
    fn skip_string(&mut self) {
        self.at += 1;
        while !self.at_end() {
            match self.byte() {
                b'\\' => self.at += 2,
                b'"' | b'\n' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self) -> Option<JsonKind> {
        let word: String = self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let known = match word.as_str() {
            "null" => Some(JsonKind::Null),
            "true" => Some(JsonKind::Bool(true)),
            "false" => Some(JsonKind::Bool(false)),
            _ => None,
        };
        if known.is_some() {
            self.at += word.len();
            return known;
        }
        let help = match (self.byte(), word.to_ascii_lowercase().as_str()) {
            (b'\'', _) => Some("JSON strings stand in double quotes"),
            (b'`', _) => Some("JSON strings stand in double quotes; write a line end as `\\n`"),
            (b'+' | b'.', _) => Some("write numbers as `1`, `-1`, `0.5` or `1e6`"),
            (_, "none" | "nil" | "undefined") => Some("write `null`"),
            (_, "true" | "false") => Some("write it in lower case"),
            (_, "") => None,
            _ => Some("put text into double quotes"),
        };
        let length = word.len().max(usize::from(!self.at_end()));
        self.complain(self.at..self.at + length, "a value is expected here", help);
        None
    }

    /// `-? (0 | 1-9 digits) [. digits] [e [+-] digits]`
    fn number(&mut self) -> Option<JsonKind> {
        let start = self.at;
        let bytes = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = bytes.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z')).count();
        self.at += length;
        let text = self.text.get(start..self.at).unwrap_or("");
        if is_number(text) {
            return Some(JsonKind::Number(text.to_owned()));
        }
        let text = text.to_owned();
        self.complain(start..start + length, format!("`{text}` is not a number"), Some("write numbers as `1`, `-1`, `0.5` or `1e6`"));
        None
    }

    /// The string at whose quote the reader stands, unescaped.
    fn string(&mut self) -> String {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            text.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain;
            match self.byte() {
                b'"' => break self.at += 1,
                b'\\' => self.escape(&mut text),
                b'\n' | b'\r' | 0 if self.at_end() || self.byte() != 0 => {
                    let help = "add the missing `\"`; write a line end inside of a string as `\\n`";
                    break self.complain(start..self.at, "this string is not closed on its line", Some(help));
                }
                control => {
                    let help = format!("write it as `\\u{control:04x}`");
                    self.complain(self.at..self.at + 1, "a control character stands in a string", Some(&help));
                    text.push(char::from(control));
                    self.at += 1;
                }
            }
        }
        text
    }

    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        let letter = self.text.as_bytes().get(self.at + 1).copied().unwrap_or(0);
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(text),
            _ => {
                self.at += 1;
                let help = "write `\\\\` for a backslash";
                self.complain(start..start + 2, "this is not an escape of JSON", Some(help));
                return text.push('\\');
            }
        };
        text.push(character);
        self.at += 2;
    }

    /// `\uXXXX`, and a second one when the first is half of a pair.
    fn unicode_escape(&mut self, text: &mut String) {
        let start = self.at;
        let Some(first) = self.code_unit(start) else {
            self.at += 2;
            self.complain(start..start + 2, "`\\u` needs 4 hexadecimal digits", None);
            return text.push(char::REPLACEMENT_CHARACTER);
        };
        self.at += 6;
        let second = if (0xd800..0xdc00).contains(&first) { self.code_unit(self.at) } else { None };
        let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        if pair.is_some() {
            self.at += 6;
        }
        let single = || char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER);
        text.push(pair.unwrap_or_else(single));
    }

    fn code_unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    }
}

fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
