//! Cuts a text into tokens. It never fails: what cannot be a token becomes [`TokenKind::Invalid`] with a complaint, and everything
//! that opens is closed, if need be with an empty token, so that the parser can rely on the balance of strings and templates.

use super::MAX_COMPLAINTS;
use super::positions::Positions;
use super::strings;
use super::token::{Token, TokenKind};
use crate::diagnostic::Diagnostic;

/// What a text is from its first byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// A file or an expression.
    Code,
    /// A template without quotes around it.
    Template,
}

/// The tokens of a text, the last one being [`TokenKind::End`], and what was wrong.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The tokens.
    pub(crate) tokens: Vec<Token>,
    /// The complaints with the byte each begins at, in the order of the text.
    pub(crate) complaints: Vec<(u32, Diagnostic)>,
}

/// Where the lexer is inside of the text.
#[derive(Debug, Clone)]
pub(super) enum Mode {
    /// Code; inside of a template sequence it ends with the brace that no other one has opened.
    Code { sequence: Option<usize>, braces: usize },
    /// A quoted string, with the offset of its quote.
    Quoted { start: usize },
    /// A heredoc, with its opening and its closing name.
    Heredoc {
        start: usize,
        marker: std::ops::Range<usize>,
    },
    /// A template without quotes.
    Bare,
}

/// The lexer at work.
pub(super) struct Lexer<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) modes: Vec<Mode>,
    pub(super) positions: &'t Positions,
    pub(super) found: Tokens,
    comments: bool,
}

/// Cuts `text` into tokens; comments are left out unless asked for.
pub(crate) fn tokenize(text: &str, start: Start, positions: &Positions, comments: bool) -> Tokens {
    let mode = match start {
        Start::Code => Mode::Code {
            sequence: None,
            braces: 0,
        },
        Start::Template => Mode::Bare,
    };
    let found = Tokens {
        tokens: Vec::with_capacity(text.len() / 4 + 1),
        complaints: Vec::new(),
    };
    let at = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    let mut lexer = Lexer {
        text,
        at,
        modes: vec![mode],
        positions,
        found,
        comments,
    };
    while lexer.at < text.len() {
        // The parser stops at so many complaints. The formatter needs every token.
        if !comments && lexer.found.complaints.len() > MAX_COMPLAINTS {
            lexer.at = text.len();
            break;
        }
        match lexer.modes.last().cloned() {
            Some(Mode::Code { sequence, braces }) => lexer.code(sequence.is_some() && braces == 0),
            Some(Mode::Quoted { start }) => lexer.quoted(start),
            Some(Mode::Heredoc { marker, .. }) => lexer.heredoc(&marker),
            Some(Mode::Bare) | None => lexer.line_of_template(),
        }
    }
    lexer.close_all();
    lexer.push(TokenKind::End, text.len());
    lexer.found.complaints.sort_by_key(|(start, _)| *start);
    lexer.found
}

impl Lexer<'_> {
    pub(super) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Adds the token that ends at `end` and goes there.
    pub(super) fn push(&mut self, kind: TokenKind, end: usize) {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.found.tokens.push(Token {
            kind,
            start: clamp(self.at),
            end: clamp(end),
        });
        self.at = end;
    }

    pub(super) fn complain(&mut self, start: usize, diagnostic: Diagnostic) {
        self.found
            .complaints
            .push((u32::try_from(start).unwrap_or(u32::MAX), diagnostic));
    }

    /// One token of code, or the space before it.
    fn code(&mut self, may_end: bool) {
        match self.byte(0) {
            b' ' | b'\t' => self.at += 1,
            b'\n' => self.push(TokenKind::Newline, self.at + 1),
            b'\r' if self.byte(1) == b'\n' => self.push(TokenKind::Newline, self.at + 2),
            b'#' => self.line_comment(),
            b'/' if self.byte(1) == b'/' => self.line_comment(),
            b'/' if self.byte(1) == b'*' => self.block_comment(),
            b'0'..=b'9' => self.number(),
            b'"' => {
                self.modes.push(Mode::Quoted { start: self.at });
                self.push(TokenKind::StringOpen, self.at + 1);
            }
            b'<' if self.byte(1) == b'<' => self.heredoc_open(),
            b'}' if may_end => self.sequence_end(1),
            b'~' if may_end && self.byte(1) == b'}' => self.sequence_end(2),
            _ => self.name_or_sign(),
        }
    }

    fn line_comment(&mut self) {
        let line = self
            .rest()
            .find('\n')
            .map_or(self.text.len(), |length| self.at + length);
        let carriage_return = self
            .text
            .get(..line)
            .is_some_and(|before| line < self.text.len() && before.ends_with('\r'));
        self.comment(line - usize::from(carriage_return));
    }

    fn block_comment(&mut self) {
        let length = self.rest().get(2..).and_then(|inside| inside.find("*/"));
        let Some(length) = length else {
            let place = self.positions.place(self.at..self.at + 2);
            let complaint = Diagnostic::error(place, "this comment is never closed")
                .detail("A comment that begins with `/*` lasts until `*/`; none follows.")
                .help("close it with `*/`, or begin it with `#` to end it with the line".to_owned());
            self.complain(self.at, complaint);
            // The rest of the line alone is taken as the comment, so that what follows is still read.
            self.line_comment();
            return;
        };
        self.comment(self.at + length + 4);
    }

    fn comment(&mut self, end: usize) {
        if self.comments {
            self.push(TokenKind::Comment, end);
        } else {
            self.at = end;
        }
    }

    /// `digits [. digits] [e [+-] digits]`
    fn number(&mut self) {
        let bytes = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let mut length = digits(0);
        if byte(length) == b'.' && digits(length + 1) > 0 {
            length += 1 + digits(length + 1);
        }
        if matches!(byte(length), b'e' | b'E') {
            let sign = usize::from(matches!(byte(length + 1), b'+' | b'-'));
            let exponent = digits(length + 1 + sign);
            if exponent > 0 {
                length += 1 + sign + exponent;
            }
        }
        self.push(TokenKind::Number, self.at + length);
    }

    fn sequence_end(&mut self, length: usize) {
        self.push(TokenKind::SequenceEnd, self.at + length);
        self.modes.pop();
    }

    fn name_or_sign(&mut self) {
        let rest = self.rest();
        let length = identifier_length(rest);
        if length > 0 {
            self.push(TokenKind::Identifier, self.at + length);
            return;
        }
        let Some((kind, length)) = sign(rest.as_bytes()) else {
            return self.invalid();
        };
        if let Some(Mode::Code { braces, .. }) = self.modes.last_mut() {
            match kind {
                TokenKind::OpenBrace => *braces += 1,
                TokenKind::CloseBrace => *braces = braces.saturating_sub(1),
                _ => {}
            }
        }
        self.push(kind, self.at + length);
    }

    /// Characters that are no part of the language: one complaint for a run of them, or for what stands in wrong quotes.
    fn invalid(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        let line = rest.split('\n').next().unwrap_or(rest);
        let quoted = line
            .get(first.len_utf8()..)
            .and_then(|after| after.find(first))
            .map(|at| at + 2 * first.len_utf8());
        let length = match first {
            '\'' | '`' | '\u{2018}' | '\u{201c}' => quoted.unwrap_or(first.len_utf8()),
            _ => rest.chars().take_while(|c| *c == first).map(char::len_utf8).sum(),
        };
        let place = self.positions.place(self.at..self.at + length);
        let complaint = strings::invalid_character(first, place);
        self.complain(self.at, complaint);
        self.push(TokenKind::Invalid, self.at + length);
    }

    /// At the end of the text: closes what is open, and complains about the innermost of it.
    fn close_all(&mut self) {
        let end = self.text.len();
        match self.modes.last().cloned() {
            Some(Mode::Heredoc { start, marker }) => {
                let name = self.text.get(marker).unwrap_or("").to_owned();
                let complaint = Diagnostic::error(self.positions.place(end..end), "this heredoc is never closed")
                    .detail(format!(
                        "Its text lasts until a line that holds nothing but `{name}`; the file ends before one."
                    ))
                    .related(self.positions.place(start..start + 2), "the heredoc begins here")
                    .help(format!("close it with a line `{name}`"));
                self.complain(end, complaint);
            }
            Some(Mode::Code {
                sequence: Some(start), ..
            }) => {
                let complaint = Diagnostic::error(self.positions.place(start..start + 2), "this `{` is never closed")
                    .detail("An interpolation `${ … }` or a directive `%{ … }` lasts until its closing brace; none follows.")
                    .help("add the missing `}`, or write `$${` or `%%{` for the characters themselves".to_owned());
                self.complain(start, complaint);
            }
            Some(Mode::Quoted { start }) => {
                self.unterminated(start, end);
                return self.close_all();
            }
            _ => {}
        }
        while let Some(mode) = self.modes.pop() {
            match mode {
                Mode::Code { sequence: None, .. } | Mode::Bare => {}
                Mode::Code { .. } => self.push(TokenKind::SequenceEnd, end),
                Mode::Quoted { .. } => self.push(TokenKind::StringClose, end),
                Mode::Heredoc { .. } => self.push(TokenKind::HeredocClose, end),
            }
        }
    }
}

/// How many bytes of the beginning of `text` are an identifier: a letter or `_`, then letters, digits, marks, `_` and `-`.
pub(super) fn identifier_length(text: &str) -> usize {
    let first = |c: char| c == '_' || unicode_ident::is_xid_start(c);
    let next = |c: char| c == '-' || unicode_ident::is_xid_continue(c);
    let mut characters = text.chars();
    match characters.next() {
        Some(c) if first(c) => c.len_utf8() + characters.take_while(|c| next(*c)).map(char::len_utf8).sum::<usize>(),
        _ => 0,
    }
}

/// Signs and operators, longest first.
fn sign(bytes: &[u8]) -> Option<(TokenKind, usize)> {
    let long = match bytes {
        [b'.', b'.', b'.', ..] => Some((TokenKind::Ellipsis, 3)),
        [b'=', b'=', ..] => Some((TokenKind::Equal, 2)),
        [b'=', b'>', ..] => Some((TokenKind::Arrow, 2)),
        [b'!', b'=', ..] => Some((TokenKind::NotEqual, 2)),
        [b'<', b'=', ..] => Some((TokenKind::LessOrEqual, 2)),
        [b'>', b'=', ..] => Some((TokenKind::GreaterOrEqual, 2)),
        [b'&', b'&', ..] => Some((TokenKind::And, 2)),
        [b'|', b'|', ..] => Some((TokenKind::Or, 2)),
        [b':', b':', ..] => Some((TokenKind::DoubleColon, 2)),
        _ => None,
    };
    let short = || {
        let kind = match bytes.first()? {
            b'{' => TokenKind::OpenBrace,
            b'}' => TokenKind::CloseBrace,
            b'[' => TokenKind::OpenBracket,
            b']' => TokenKind::CloseBracket,
            b'(' => TokenKind::OpenParenthesis,
            b')' => TokenKind::CloseParenthesis,
            b'=' => TokenKind::Assign,
            b'<' => TokenKind::Less,
            b'>' => TokenKind::Greater,
            b'+' => TokenKind::Plus,
            b'-' => TokenKind::Minus,
            b'*' => TokenKind::Star,
            b'/' => TokenKind::Slash,
            b'%' => TokenKind::Percent,
            b'!' => TokenKind::Not,
            b'?' => TokenKind::Question,
            b':' => TokenKind::Colon,
            b',' => TokenKind::Comma,
            b'.' => TokenKind::Dot,
            _ => return None,
        };
        Some((kind, 1))
    };
    long.or_else(short)
}
