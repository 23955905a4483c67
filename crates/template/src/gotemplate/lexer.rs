//! Text cut into what stands outside of `{{ }}` and the words inside.

use super::RenderError;

/// A piece of a text.
#[derive(Debug)]
pub(super) enum Piece {
    /// Outside, trimmed where the neighbouring braces say so.
    Text(String),
    /// Inside, with the byte where it begins.
    Action(Vec<Token>, usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: usize,
    /// Nothing but the word before it touches it.
    pub(super) after_space: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// A bare word.
    Word(String),
    /// `.name`
    Field(String),
    /// `.`
    Dot,
    /// `$name`, or `$`
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    /// `( ) | , := =`
    Sign(&'static str),
}

fn wrong(at: usize, message: impl Into<String>) -> RenderError {
    RenderError::Syntax {
        at,
        message: message.into(),
    }
}

/// Cuts a text.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, RenderError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim = false;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let start = rest.find("{{");
        let mut outside = rest.get(..start.unwrap_or(rest.len())).unwrap_or_default();
        if trim {
            outside = outside.trim_start_matches(SPACE);
        }
        let Some(start) = start else {
            pieces.push(Piece::Text(outside.to_owned()));
            return Ok(pieces);
        };
        let inside = at + start + 2;
        let after = text.get(inside..).unwrap_or_default();
        let trims_left = after.starts_with('-') && after.get(1..).is_some_and(|after| after.starts_with(SPACE));
        if trims_left {
            outside = outside.trim_end_matches(SPACE);
        }
        pieces.push(Piece::Text(outside.to_owned()));
        let content = inside + usize::from(trims_left);
        let (end, trims_right) = if let Some(end) = comment(text, content)? {
            end
        } else {
            let mut lexer = Lexer {
                text,
                at: content,
                tokens: Vec::new(),
            };
            let end = lexer.run(inside - 2)?;
            pieces.push(Piece::Action(lexer.tokens, inside));
            end
        };
        trim = trims_right;
        at = end;
    }
}

/// What Go takes for space in a template.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// `{{/* … */}}`, with trim markers: the end of it, and whether it trims what follows.
fn comment(text: &str, content: usize) -> Result<Option<(usize, bool)>, RenderError> {
    let rest = text.get(content..).unwrap_or_default();
    let trimmed = rest.trim_start_matches(SPACE);
    if !trimmed.starts_with("/*") {
        return Ok(None);
    }
    let start = content + rest.len() - trimmed.len();
    let Some(length) = trimmed.find("*/") else {
        return Err(wrong(start, "the comment is not closed"));
    };
    let after = start + length + 2;
    let rest = text.get(after..).unwrap_or_default();
    if rest.starts_with("}}") {
        return Ok(Some((after + 2, false)));
    }
    let trimmed = rest.trim_start_matches(SPACE);
    if trimmed.starts_with("-}}") && trimmed.len() < rest.len() {
        return Ok(Some((after + rest.len() - trimmed.len() + 3, true)));
    }
    Err(wrong(after, "a comment stands alone between its braces"))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Reads to the closing braces: the byte after them, and whether they trim what follows.
    fn run(&mut self, open: usize) -> Result<(usize, bool), RenderError> {
        loop {
            let before = self.at;
            let skipped = self.rest().len() - self.rest().trim_start_matches(SPACE).len();
            self.at += skipped;
            let after_space = self.at > before || self.tokens.is_empty();
            let rest = self.rest();
            if rest.starts_with("}}") {
                return Ok((self.at + 2, false));
            }
            if after_space && rest.starts_with("-}}") {
                return Ok((self.at + 3, true));
            }
            let at = self.at;
            let Some(first) = rest.chars().next() else {
                return Err(wrong(open, "the braces are not closed"));
            };
            let kind = self.token(first)?;
            self.tokens.push(Token { kind, at, after_space });
        }
    }

    fn token(&mut self, first: char) -> Result<TokenKind, RenderError> {
        let at = self.at;
        let second = self.rest().chars().nth(1);
        let digit_follows = second.is_some_and(|c| c.is_ascii_digit());
        match first {
            '"' => self.quoted(),
            '`' => {
                let Some(length) = self.rest().get(1..).and_then(|rest| rest.find('`')) else {
                    return Err(wrong(at, "the raw string is not closed"));
                };
                let text = self.rest().get(1..=length).unwrap_or_default().to_owned();
                self.at += length + 2;
                Ok(TokenKind::Text(text))
            }
            '\'' => self.character(),
            '(' | ')' | '|' | ',' | '=' => {
                self.at += 1;
                let signs = ["(", ")", "|", ",", "="];
                Ok(TokenKind::Sign(
                    signs.into_iter().find(|sign| sign.starts_with(first)).unwrap_or("="),
                ))
            }
            ':' if second == Some('=') => {
                self.at += 2;
                Ok(TokenKind::Sign(":="))
            }
            '$' => {
                self.at += 1;
                Ok(TokenKind::Variable(self.word()))
            }
            '.' if !digit_follows => {
                self.at += 1;
                let name = self.word();
                Ok(if name.is_empty() {
                    TokenKind::Dot
                } else {
                    TokenKind::Field(name)
                })
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            _ if first.is_alphabetic() || first == '_' => Ok(TokenKind::Word(self.word())),
            _ => Err(wrong(at, format!("`{}` is not expected here", first.escape_debug()))),
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default().to_owned();
        self.at += length;
        word
    }

    fn number(&mut self) -> Result<TokenKind, RenderError> {
        let at = self.at;
        let rest = self.rest();
        let is_exponent_sign = |index: usize| {
            let before = rest.get(..index).unwrap_or_default();
            before.ends_with(['e', 'E']) && !before.starts_with("0x")
        };
        let part = |(index, c): &(usize, char)| {
            c.is_alphanumeric()
                || matches!(c, '_' | '.')
                || (matches!(c, '+' | '-') && (*index == 0 || is_exponent_sign(*index)))
        };
        let length: usize = rest.char_indices().take_while(part).map(|(_, c)| c.len_utf8()).sum();
        let written = rest.get(..length).unwrap_or_default().to_owned();
        self.at += length.max(1);
        let plain = written.replace('_', "");
        let (sign, digits) = match plain.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
        };
        let based = |prefixes: [&str; 2], radix| {
            let digits = prefixes.into_iter().find_map(|prefix| digits.strip_prefix(prefix))?;
            i64::from_str_radix(digits, radix).ok()
        };
        let whole = based(["0x", "0X"], 16)
            .or_else(|| based(["0o", "0O"], 8))
            .or_else(|| based(["0b", "0B"], 2))
            .or_else(|| {
                let octal = digits.len() > 1 && digits.starts_with('0');
                i64::from_str_radix(digits, if octal { 8 } else { 10 }).ok()
            });
        match (whole, plain.parse::<f64>()) {
            (Some(whole), _) => Ok(TokenKind::Int(sign * whole)),
            (None, Ok(float)) if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                Ok(TokenKind::Float(float))
            }
            _ => Err(wrong(at, format!("`{written}` is not a number"))),
        }
    }

    fn quoted(&mut self) -> Result<TokenKind, RenderError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.rest().chars().next() {
                None | Some('\n') => return Err(wrong(start, "the string is not closed")),
                Some('"') => {
                    self.at += 1;
                    return Ok(TokenKind::Text(text));
                }
                Some('\\') => text.push(self.escape('"')?),
                Some(c) => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
    }

    /// `'a'` is a number: the character's code.
    fn character(&mut self) -> Result<TokenKind, RenderError> {
        let start = self.at;
        self.at += 1;
        let c = match self.rest().chars().next() {
            Some('\\') => self.escape('\'')?,
            Some(c) if c != '\'' && c != '\n' => {
                self.at += c.len_utf8();
                c
            }
            _ => return Err(wrong(start, "the character constant is not valid")),
        };
        if !self.rest().starts_with('\'') {
            return Err(wrong(start, "the character constant is not closed"));
        }
        self.at += 1;
        Ok(TokenKind::Int(i64::from(u32::from(c))))
    }

    fn escape(&mut self, quote: char) -> Result<char, RenderError> {
        let start = self.at;
        let invalid = || wrong(start, "the escape sequence is not valid");
        let c = self.rest().chars().nth(1).ok_or_else(invalid)?;
        let plain = match c {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' => Some('\\'),
            _ if c == quote => Some(c),
            _ => None,
        };
        if let Some(plain) = plain {
            self.at += 2;
            return Ok(plain);
        }
        let (from, length, radix) = match c {
            'x' => (2, 2, 16),
            'u' => (2, 4, 16),
            'U' => (2, 8, 16),
            '0'..='7' => (1, 3, 8),
            _ => return Err(invalid()),
        };
        let digits = self.rest().get(from..from + length).ok_or_else(invalid)?;
        let code = u32::from_str_radix(digits, radix).map_err(|_| invalid())?;
        self.at += from + length;
        char::from_u32(code).ok_or_else(invalid)
    }
}
