//! The values of JSON without structure: words, numbers and strings.

use super::reader::Reader;
use crate::syntax::JsonKind;

impl Reader<'_> {
    pub(super) fn word(&mut self) -> Option<JsonKind> {
        let word: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
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
            _ if self.closes_a_string(&word) => {
                let length = word.len();
                self.complain(self.at..self.at + length, "a `\"` is missing before this", None);
                self.stop();
                return None;
            }
            _ => Some("put a string into double quotes"),
        };
        let length = word.len().max(usize::from(!self.at_end()));
        self.complain(self.at..self.at + length, "a value is expected here", help);
        None
    }

    /// A quote stands behind a word before anything that could end a value: the opening one is missing.
    pub(super) fn closes_a_string(&self, word: &str) -> bool {
        let behind = self.rest().get(word.len()..).unwrap_or_default();
        !word.is_empty() && behind.chars().find(|c| "\",:{}[]\n".contains(*c)) == Some('"')
    }

    /// `-? (0 | 1-9 digits) [. digits] [e [+-] digits]`
    pub(super) fn number(&mut self) -> Option<JsonKind> {
        let start = self.at;
        let bytes = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z'))
            .count();
        self.at += length;
        let text = self.text.get(start..self.at).unwrap_or("");
        if is_number(text) {
            return Some(JsonKind::Number(text.to_owned()));
        }
        let text = text.to_owned();
        self.complain(
            start..start + length,
            format!("`{text}` is not a number"),
            Some("write numbers as `1`, `-1`, `0.5` or `1e6`"),
        );
        None
    }

    /// The string at whose quote the reader stands, unescaped.
    pub(super) fn string(&mut self) -> String {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let plain = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .unwrap_or(rest.len());
            text.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain;
            match self.byte() {
                b'"' => break self.at += 1,
                b'\\' => self.escape(&mut text),
                b'\n' | b'\r' | 0 if self.at_end() || self.byte() != 0 => {
                    let help = "add the missing `\"`; write a line end inside of a string as `\\n`";
                    self.complain(start..self.at, "this string is not closed on its line", Some(help));
                    break self.stop();
                }
                control => {
                    let help = format!("write it as `\\u{control:04x}`");
                    self.complain(
                        self.at..self.at + 1,
                        "a control character stands in a string",
                        Some(&help),
                    );
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
        let second = if (0xd800..0xdc00).contains(&first) {
            self.code_unit(self.at)
        } else {
            None
        };
        let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        if pair.is_some() {
            self.at += 6;
        }
        let single = || char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER);
        text.push(pair.unwrap_or_else(single));
    }

    fn code_unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u16::from_str_radix(digits, 16).ok())?
    }
}

fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text
        .split_once(['e', 'E'])
        .map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (whole, fraction) = mantissa
        .split_once('.')
        .map_or((mantissa, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
