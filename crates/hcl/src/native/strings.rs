//! Literal text of templates: its escapes, and characters that do not belong into code.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::source::Place;

/// Resolves the escapes of a quoted string (`backslashes`) or of a heredoc or bare template (only `$${` and `%%{`). An escape that
/// means nothing is kept as it stands and handed to `complain` with its range in `raw`.
pub(crate) fn unescape(raw: &str, backslashes: bool, mut complain: impl FnMut(Range<usize>, BadEscape)) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(next) = rest.find(['\\', '$', '%']) {
        let (plain, from) = rest.split_at(next);
        text.push_str(plain);
        let at = raw.len() - from.len();
        let length = if let Some(escape) = from.strip_prefix('\\').filter(|_| backslashes) {
            match resolve(escape) {
                Ok((character, length)) => {
                    text.push(character);
                    1 + length
                }
                Err((bad, length)) => {
                    let kept = from.get(..=length).unwrap_or(from);
                    text.push_str(kept);
                    complain(at..at + kept.len(), bad);
                    kept.len()
                }
            }
        } else if from.starts_with("$${") || from.starts_with("%%{") {
            text.push_str(from.get(1..3).unwrap_or(""));
            3
        } else {
            text.push_str(from.get(..1).unwrap_or(""));
            1
        };
        rest = from.get(length..).unwrap_or("");
    }
    text.push_str(rest);
    text
}

/// What is wrong with an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadEscape {
    /// No such escape.
    Unknown,
    /// `\u` without four, or `\U` without eight hexadecimal digits; the number of digits it needs.
    Digits(usize),
}

/// The character that the letters after a backslash stand for, and how many bytes they are; or how many are wrong.
fn resolve(escape: &str) -> Result<(char, usize), (BadEscape, usize)> {
    let letter = escape.chars().next();
    let hexadecimal = |count: usize| {
        let digits = escape
            .get(1..=count)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            let found = escape
                .bytes()
                .skip(1)
                .take_while(u8::is_ascii_hexdigit)
                .take(count)
                .count();
            return Err((BadEscape::Digits(count), 1 + found));
        };
        // Half of a surrogate pair is no character.
        let character = char::from_u32(code).ok_or((BadEscape::Unknown, 1 + count))?;
        Ok((character, 1 + count))
    };
    match letter {
        Some('n') => Ok(('\n', 1)),
        Some('r') => Ok(('\r', 1)),
        Some('t') => Ok(('\t', 1)),
        Some('"') => Ok(('"', 1)),
        Some('\\') => Ok(('\\', 1)),
        Some('u') => hexadecimal(4),
        Some('U') => hexadecimal(8),
        other => Err((BadEscape::Unknown, other.map_or(0, char::len_utf8))),
    }
}

/// The complaint about a bad escape, `written` as it stands in the text.
pub(crate) fn bad_escape(written: &str, bad: BadEscape, place: Place) -> Diagnostic {
    match bad {
        BadEscape::Unknown => Diagnostic::error(place, format!("`{written}` is not an escape"))
            .detail("A string knows the escapes `\\n`, `\\r`, `\\t`, `\\\"`, `\\\\`, `\\uXXXX` and `\\UXXXXXXXX`.")
            .help("write `\\\\` for a backslash".to_owned()),
        BadEscape::Digits(count) => Diagnostic::error(place, format!("`{written}` needs {count} hexadecimal digits"))
            .detail("`\\u` is followed by four hexadecimal digits, `\\U` by eight.")
            .help("fill up with zeros, as in `\\u00e9`".to_owned()),
    }
}

/// The complaint about a character that is no part of the language outside of strings.
pub(crate) fn invalid_character(character: char, place: Place) -> Diagnostic {
    let (summary, help) = match character {
        '\'' | '`' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => (
            format!("`{character}` does not quote a string"),
            Some("strings are written in straight double quotes: \"…\""),
        ),
        ';' => (
            "`;` does not separate items".to_owned(),
            Some("put each item on a line of its own"),
        ),
        '&' => ("`&` is not an operator".to_owned(), Some("the logical \"and\" is `&&`")),
        '|' => ("`|` is not an operator".to_owned(), Some("the logical \"or\" is `||`")),
        '^' => (
            "`^` is not an operator".to_owned(),
            Some("powers are computed by `pow(base, exponent)`"),
        ),
        '~' => (
            "`~` is not an operator".to_owned(),
            Some("as a strip marker it stands only in `${~ … ~}` and `%{~ … ~}`"),
        ),
        '$' => (
            "`$` stands only in strings".to_owned(),
            Some("outside of strings write the expression alone, without `${ }`"),
        ),
        '\\' => (
            "`\\` stands only in strings".to_owned(),
            Some("an expression is continued on the next line inside of parentheses"),
        ),
        '\r' => (
            "a carriage return stands here without a line feed".to_owned(),
            Some("end lines by LF or CRLF"),
        ),
        c if c.is_whitespace() || c.is_control() || c == '\u{feff}' => (
            format!("an invisible character (U+{:04X}) stands here", u32::from(c)),
            Some("replace it by a space"),
        ),
        c => (
            format!("`{c}` has no meaning here"),
            Some("if it is text, put it into double quotes"),
        ),
    };
    Diagnostic::error(place, summary).help(help.map(str::to_owned))
}
