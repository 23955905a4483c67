//! RE2's syntax of regular expressions in terms of the `regex` crate's. Both match in linear time and alike; but there `\d`, `\w`,
//! `\s` and `\b` are about ASCII, `\Q…\E` quotes, `\012` is octal, a class has no operators, and a repetition cannot be repeated.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// Most repetitions that a count may ask for.
const MOST_REPETITIONS: u32 = 1000;

/// Why a pattern is no regular expression, as a fragment.
#[derive(Debug, thiserror::Error)]
pub(super) enum PatternError {
    #[error("a repetition cannot itself be repeated")]
    Repeated,
    #[error("a part of the pattern can be repeated at most {MOST_REPETITIONS} times")]
    TooOften,
    #[error("`(?{0}` has no meaning in a pattern")]
    Flag(char),
    #[error("a group is not closed")]
    OpenGroup,
    #[error("the name of a group consists of letters, digits and underscores")]
    GroupName,
    #[error("the name of a group is not closed")]
    OpenGroupName,
    #[error("the pattern ends with a backslash")]
    OpenEscape,
    #[error("`\\{0}` has no meaning in a pattern")]
    Escape(char),
    #[error("the pattern ends within the name of a class of characters")]
    OpenProperty,
    #[error("`\\x{0}` is no character in a pattern")]
    Code(String),
    #[error("`\\{0}` would refer to a group, which patterns cannot")]
    Reference(char),
    #[error("an octal number is no character")]
    Octal,
    #[error("a class of characters is not closed")]
    OpenClass,
    #[error("`[:{0}:]` is no class of characters")]
    NamedClass(String),
    #[error("a range of characters ends with a class")]
    RangeToClass,
    #[error("a range of characters ends before it begins")]
    Backwards,
    #[error("the pattern is too large")]
    TooLarge,
    #[error("the pattern is not a regular expression: {0}")]
    Refused(String),
}

/// A pattern for the `regex` crate. What is not understood here is left to the crate to refuse.
pub(super) fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut translation = Translation {
        rest: pattern.chars().peekable(),
        regex: String::with_capacity(pattern.len() + 16),
    };
    let mut after_repetition = false;
    while let Some(next) = translation.rest.next() {
        let repeats = match next {
            '*' | '+' | '?' => {
                translation.regex.push(next);
                true
            }
            '{' => translation.count()?,
            _ => {
                translation.simple(next)?;
                false
            }
        };
        if repeats && after_repetition {
            return Err(PatternError::Repeated);
        }
        if repeats && translation.rest.next_if_eq(&'?').is_some() {
            translation.regex.push('?');
        }
        after_repetition = repeats;
    }
    Ok(translation.regex)
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    regex: String,
}

impl Translation<'_> {
    /// What is not a repetition.
    fn simple(&mut self, next: char) -> Result<(), PatternError> {
        match next {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.group(),
            '.' | '^' | '$' | '|' | ')' => {
                self.regex.push(next);
                Ok(())
            }
            literal => {
                self.literal(literal);
                Ok(())
            }
        }
    }

    fn literal(&mut self, literal: char) {
        self.regex.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }

    /// `{n}`, `{n,}` or `{n,m}` after its brace; anything else after a brace makes it an ordinary character.
    fn count(&mut self) -> Result<bool, PatternError> {
        let ahead: String = self.rest.clone().take_while(|next| *next != '}').take(24).collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (least, most) = ahead
            .split_once(',')
            .map_or((ahead.as_str(), None), |(least, most)| (least, Some(most)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !closed || !digits(least) || !most.is_none_or(|most| most.is_empty() || digits(most)) {
            self.literal('{');
            return Ok(false);
        }
        for bound in [Some(least), most]
            .into_iter()
            .flatten()
            .filter(|bound| !bound.is_empty())
        {
            if bound.parse::<u32>().is_ok_and(|count| count <= MOST_REPETITIONS) {
                continue;
            }
            return Err(PatternError::TooOften);
        }
        self.rest.nth(ahead.chars().count());
        let _ = write!(self.regex, "{{{ahead}}}");
        Ok(true)
    }

    /// After `(`: flags and names.
    fn group(&mut self) -> Result<(), PatternError> {
        self.regex.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.regex.push('?');
        while let Some(next) = self.rest.next() {
            match next {
                'P' | '<' => {
                    self.regex.push(next);
                    return self.group_name(next);
                }
                'i' | 'm' | 's' | 'U' | '-' => self.regex.push(next),
                ':' | ')' => {
                    self.regex.push(next);
                    return Ok(());
                }
                other => return Err(PatternError::Flag(other)),
            }
        }
        Err(PatternError::OpenGroup)
    }

    /// `P<name>` or `<name>` after its first character.
    fn group_name(&mut self, first: char) -> Result<(), PatternError> {
        if first == 'P' && self.rest.next_if_eq(&'<').is_some() {
            self.regex.push('<');
        }
        for next in self.rest.by_ref() {
            self.regex.push(next);
            if next == '>' {
                return Ok(());
            }
            if !next.is_alphanumeric() && next != '_' {
                return Err(PatternError::GroupName);
            }
        }
        Err(PatternError::OpenGroupName)
    }

    /// After `\` outside of a class.
    fn escape(&mut self) -> Result<(), PatternError> {
        match self.rest.peek().copied() {
            Some('Q') => {
                self.rest.next();
                self.quoted();
            }
            Some('b' | 'B' | 'A' | 'z') => match self.rest.next() {
                Some('b') => self.regex.push_str("(?-u:\\b)"),
                Some('B') => self.regex.push_str("(?-u:\\B)"),
                Some(anchor) => {
                    let _ = write!(self.regex, "\\{anchor}");
                }
                None => {}
            },
            _ => match self.escaped()? {
                Escaped::Character(character) => self.literal(character),
                Escaped::Class(class) => {
                    let _ = write!(self.regex, "[{class}]");
                }
            },
        }
        Ok(())
    }

    /// `\Q…\E`: everything between is ordinary characters.
    fn quoted(&mut self) {
        while let Some(next) = self.rest.next() {
            if next == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(next);
        }
    }

    /// After `\`: what means the same within a class and outside.
    fn escaped(&mut self) -> Result<Escaped, PatternError> {
        let next = self.rest.next().ok_or(PatternError::OpenEscape)?;
        let class = |class: &str| Ok(Escaped::Class(class.to_owned()));
        match next {
            'd' => class("0-9"),
            'D' => class("[^0-9]"),
            's' => class("\\t\\n\\x0c\\r "),
            'S' => class("[^\\t\\n\\x0c\\r ]"),
            'w' => class("0-9A-Za-z_"),
            'W' => class("[^0-9A-Za-z_]"),
            'p' | 'P' => self.property(next == 'P').map(Escaped::Class),
            'a' => Ok(Escaped::Character('\x07')),
            'f' => Ok(Escaped::Character('\x0c')),
            't' => Ok(Escaped::Character('\t')),
            'n' => Ok(Escaped::Character('\n')),
            'r' => Ok(Escaped::Character('\r')),
            'v' => Ok(Escaped::Character('\x0b')),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(next),
            punctuation if punctuation.is_ascii() && !punctuation.is_ascii_alphanumeric() => {
                Ok(Escaped::Character(punctuation))
            }
            other => Err(PatternError::Escape(other)),
        }
    }

    /// `\pN`, `\p{Greek}`, `\p{^Greek}`
    fn property(&mut self, mut negated: bool) -> Result<String, PatternError> {
        let mut name = String::new();
        match self.rest.next().ok_or(PatternError::OpenProperty)? {
            '{' => loop {
                match self.rest.next().ok_or(PatternError::OpenProperty)? {
                    '}' => break,
                    '^' if name.is_empty() => negated = !negated,
                    letter => name.push(letter),
                }
            },
            letter => name.push(letter),
        }
        Ok(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }))
    }

    /// `\x7F` or `\x{10FFFF}`
    fn hexadecimal(&mut self) -> Result<Escaped, PatternError> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let digits: String = if braced {
            self.rest.by_ref().take_while(|next| *next != '}').collect()
        } else {
            self.rest.by_ref().take(2).collect()
        };
        let code = if (braced || digits.len() == 2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            u32::from_str_radix(&digits, 16).ok()
        } else {
            None
        };
        code.and_then(char::from_u32)
            .map(Escaped::Character)
            .ok_or(PatternError::Code(digits))
    }

    /// `\0`, `\012`, `\123`; a single digit from 1 to 7 would refer to a group, which patterns cannot.
    fn octal(&mut self, first: char) -> Result<Escaped, PatternError> {
        let mut code = first.to_digit(8).unwrap_or(0);
        let mut digits = 1;
        while digits < 3 {
            let Some(digit) = self.rest.peek().and_then(|next| next.to_digit(8)) else {
                break;
            };
            self.rest.next();
            code = code * 8 + digit;
            digits += 1;
        }
        if digits == 1 && first != '0' {
            return Err(PatternError::Reference(first));
        }
        char::from_u32(code).map(Escaped::Character).ok_or(PatternError::Octal)
    }

    /// After `[`.
    fn class(&mut self) -> Result<(), PatternError> {
        self.regex.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.regex.push('^');
        }
        let mut first = true;
        loop {
            let next = self.rest.next().ok_or(PatternError::OpenClass)?;
            match next {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') && self.named_class()? => {}
                '\\' => match self.escaped()? {
                    Escaped::Class(class) => self.regex.push_str(&class),
                    Escaped::Character(character) => self.range_from(character)?,
                },
                character => self.range_from(character)?,
            }
            first = false;
        }
        self.regex.push(']');
        Ok(())
    }

    /// `[:alpha:]` after its first bracket; false when it is none.
    fn named_class(&mut self) -> Result<bool, PatternError> {
        let ahead: String = self
            .rest
            .clone()
            .skip(1)
            .take_while(|next| *next != ':')
            .take(12)
            .collect();
        let length = ahead.chars().count();
        let mut end = self.rest.clone().skip(1 + length);
        if end.next() != Some(':') || end.next() != Some(']') {
            return Ok(false);
        }
        let name = ahead.strip_prefix('^').unwrap_or(&ahead);
        if !NAMED_CLASSES.contains(&name) {
            return Err(PatternError::NamedClass(ahead));
        }
        let _ = write!(self.regex, "[:{ahead}:]");
        self.rest.nth(length + 2);
        Ok(true)
    }

    /// A character in a class, and the other end of the range that it may begin.
    fn range_from(&mut self, start: char) -> Result<(), PatternError> {
        let mut end = start;
        let mut ahead = self.rest.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
            self.rest.next();
            end = match self.rest.next() {
                Some('\\') => match self.escaped()? {
                    Escaped::Character(character) => character,
                    Escaped::Class(_) => return Err(PatternError::RangeToClass),
                },
                Some(character) => character,
                None => return Err(PatternError::OpenClass),
            };
            if end < start {
                return Err(PatternError::Backwards);
            }
        }
        // Numbers instead of the characters themselves: none of them has a meaning then.
        let _ = write!(self.regex, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(start), u32::from(end));
        Ok(())
    }
}

const NAMED_CLASSES: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// What an escape stands for.
enum Escaped {
    Character(char),
    /// Members of a class, without its brackets.
    Class(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
        let translated = translate(pattern).unwrap();
        regex::Regex::new(&translated)
            .unwrap_or_else(|error| panic!("{translated}: {error}"))
            .find(text)
            .map(|found| found.as_str())
    }

    #[test]
    fn classes_are_about_ascii() {
        assert_eq!(found("\\d+", "٣3"), Some("3"));
        assert_eq!(found("\\w+", "éa_1"), Some("a_1"));
        assert_eq!(found("[\\W]+", "aé-b"), Some("é-"));
        assert_eq!(found("[^\\D]+", "a12"), Some("12"));
        assert_eq!(found("\\bé", "é"), None);
        assert_eq!(found("\\B-", "--"), Some("-"));
        assert_eq!(found("\\s", "\u{a0}\u{b} "), Some(" "));
    }

    #[test]
    fn what_only_one_syntax_has() {
        assert_eq!(found("\\Qa.b\\E+", "a.bb"), Some("a.bb"));
        assert_eq!(found("[a&&b]+", "a&b"), Some("a&b"));
        assert_eq!(found("[[a]+", "[a]"), Some("[a"));
        assert_eq!(found("[]a]+", "]a"), Some("]a"));
        assert_eq!(found("[+--]+", "+,-."), Some("+,-"));
        assert_eq!(found("a{,2}", "a{,2}"), Some("a{,2}"));
        assert_eq!(found("a{2", "a{2"), Some("a{2"));
        assert_eq!(found("\\x41\\x{42}\\103\\0", "ABC\0"), Some("ABC\0"));
        assert_eq!(found("\\p{^Greek}", "αb"), Some("b"));
        assert_eq!(found("[[:^alpha:]]", "a1"), Some("1"));
        assert_eq!(found("\\<x\\>", "<x>"), Some("<x>"));
        assert_eq!(found("(?i:A)b*?c", "aBabbc"), Some("abbc"));
        assert_eq!(found("^*a", "a"), Some("a"));
    }

    #[test]
    fn errors() {
        for wrong in [
            "a**",
            "a*{2}",
            "a{1001}",
            "(?x)a",
            "(?=a)",
            "\\1",
            "\\C",
            "\\y",
            "[z-a]",
            "[a-\\d]",
            "[",
            "[^]",
            "a\\",
            "(?P<a-b>x)",
            "[[:nope:]]",
            "\\x{zz}",
            "(?",
            "\\p{",
        ] {
            assert!(translate(wrong).is_err(), "{wrong}");
        }
    }
}
