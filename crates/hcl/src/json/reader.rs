//! The JSON reader: recursive, bounded in depth, and going on after errors at the next comma or closing bracket.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::native::MAX_COMPLAINTS;
use crate::source::{FileId, Place};
use crate::syntax::{JsonKind, JsonValue, Name};

/// Reads a text of at most `levels` levels.
pub(super) fn read(text: &str, file: FileId, levels: usize, diagnostics: &mut Diagnostics) -> Option<JsonValue> {
    let mut reader = Reader {
        text,
        at: 0,
        file,
        levels,
        open: Vec::new(),
        complaints: Vec::new(),
        stopped: false,
    };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    reader.space();
    let value = reader.value();
    if value.is_some() {
        reader.space();
        if !reader.at_end() {
            let rest = reader.at..text.len().min(reader.at + 1);
            reader.complain(
                rest,
                "the JSON value is complete, but the text goes on",
                Some("a JSON text holds one value"),
            );
        }
    }
    reader
        .complaints
        .sort_by_key(|complaint| complaint.place.map(|place| place.start));
    diagnostics.extend(reader.complaints);
    value
}

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    file: FileId,
    /// How many levels may be open.
    levels: usize,
    /// The closing brackets of the levels that are open.
    open: Vec<u8>,
    complaints: Vec<Diagnostic>,
    stopped: bool,
}

impl Reader<'_> {
    pub(super) fn byte(&self) -> u8 {
        if self.stopped {
            0
        } else {
            self.text.as_bytes().get(self.at).copied().unwrap_or(0)
        }
    }

    pub(super) fn at_end(&self) -> bool {
        self.stopped || self.at >= self.text.len()
    }

    pub(super) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn place(&self, range: std::ops::Range<usize>) -> Place {
        let start = self.text.floor_char_boundary(range.start);
        Place::new(self.file, start..self.text.ceil_char_boundary(range.end))
    }

    pub(super) fn complain(&mut self, range: std::ops::Range<usize>, summary: impl Into<String>, help: Option<&str>) {
        if self.stopped {
            return;
        }
        let place = self.place(range);
        self.complaints
            .push(Diagnostic::error(place, summary).help(help.map(str::to_owned)));
        if self.complaints.len() >= MAX_COMPLAINTS {
            self.stopped = true;
            let summary = "too many errors, the rest of this text is not read";
            self.complaints.push(Diagnostic::error(place, summary));
        }
    }

    /// Reads no further: after a quote that is missing, what is inside of strings and what is between them are mistaken for each other.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Skips space, and comments with a complaint.
    fn space(&mut self) {
        loop {
            let rest = self.rest();
            match self.byte() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => self.comment(rest.find('\n')),
                b'/' if rest.starts_with("//") => self.comment(rest.find('\n')),
                b'/' if rest.starts_with("/*") => self.comment(rest.find("*/").map(|length| length + 2)),
                _ => return,
            }
        }
    }

    /// Skips a comment of a length, or up to the end of the text.
    fn comment(&mut self, length: Option<usize>) {
        let start = self.at;
        self.at = length.map_or(self.text.len(), |length| start + length);
        self.complain(
            start..start + 2,
            "JSON has no comments",
            Some("write a comment as a property: \"//\": \"…\""),
        );
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
        Some(JsonValue {
            kind,
            place: self.place(start..self.at),
        })
    }

    /// Opens a level, unless there are too many.
    fn nested(&mut self, close: u8, read: impl FnOnce(&mut Self) -> JsonKind) -> Option<JsonKind> {
        if self.open.len() >= self.levels {
            self.complain(
                self.at..self.at + 1,
                "this is nested too deeply",
                Some("flatten the structure"),
            );
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
        let name = Name {
            text,
            place: self.place(start..self.at),
        };
        if self.runs_on() {
            return None;
        }
        self.space();
        if self.byte() != b':' {
            let help = if self.byte() == b'=' {
                "write `:` instead of `=`"
            } else {
                "write each property as \"name\": value"
            };
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
        let name: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if self.closes_a_string(&name) {
            self.complain(self.at..self.at + name.len(), "a `\"` is missing before this", None);
            return self.stop();
        }
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
        self.complain(
            start..start + 1,
            format!("no `{close}` closes this up to the end of the text"),
            Some("add it"),
        );
        // What encloses it is not closed either, for the same reason.
        self.stopped = true;
    }

    /// A word right behind a string's end, or a quote right behind a word: a quote is missing, or there is one too many. Complains and
    /// stops.
    fn runs_on(&mut self) -> bool {
        let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        let before = self.text.as_bytes().get(self.at.wrapping_sub(1)).copied().unwrap_or(0);
        let here = self.byte();
        if !(before == b'"' && is_word(here) || is_word(before) && here == b'"') {
            return false;
        }
        let help = "each string begins and ends with a `\"`; inside of a string a quote is written `\\\"`";
        self.complain(
            self.at..self.at + 1,
            "a quote or a comma is missing before this",
            Some(help),
        );
        self.stop();
        true
    }

    /// After an element: a comma with something behind it, or the closing bracket, which is left.
    fn separator(&mut self, opening: usize, close: u8) {
        if self.runs_on() {
            return;
        }
        self.space();
        match self.byte() {
            b',' => {
                let comma = self.at;
                self.at += 1;
                self.space();
                let told = self.complaints.last().and_then(|complaint| complaint.place);
                if self.byte() == close && told != Some(self.place(comma..comma + 1)) {
                    self.complain(
                        comma..comma + 1,
                        "a comma stands behind the last element",
                        Some("remove the comma"),
                    );
                }
            }
            b'}' | b']' => {}
            _ if self.at_end() => {}
            _ => {
                let place = self.place(opening..opening + 1);
                let what = if close == b'}' { "properties" } else { "elements" };
                self.complain(
                    self.at..self.at + 1,
                    format!("a comma is missing between {what} here"),
                    None,
                );
                if let Some(complaint) = self.complaints.last_mut() {
                    complaint
                        .related
                        .push((place, "inside of what is opened here".to_owned()));
                }
                if !matches!(
                    self.byte(),
                    b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
                ) {
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
}
