//! The parser's ground: walking over tokens, complaining, and getting back on the road after an error.

use std::cell::OnceCell;

use super::MAX_COMPLAINTS;
use super::lexer::{Start, tokenize};
use super::pairs::Pairs;
use super::positions::Positions;
use super::token::{Token, TokenKind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Place;

/// How deep expressions, templates and blocks may be nested, and how high the tree of one expression may be. The tree is walked by
/// recursion; this depth is far beyond any template, and safe on a stack of 2 MB.
pub const MAX_DEPTH: usize = 100;

/// Marks that something could not be read and that the complaint about it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed;

/// The parser at work on one text.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) positions: &'t Positions,
    tokens: Vec<Token>,
    pub(super) at: usize,
    /// Whether line ends count here; inside of brackets they do not.
    pub(super) newlines: bool,
    /// How deep the parser is.
    pub(super) depth: usize,
    /// How high the tree of the expression is that was parsed last.
    pub(super) height: usize,
    complaints: Vec<Diagnostic>,
    /// Where the lexer complained.
    lexical: Vec<u32>,
    /// Where the attribute or block header begins that is being read.
    pub(super) item_start: u32,
    pairs: OnceCell<Pairs>,
    stopped: bool,
}

impl<'t> Parser<'t> {
    /// Cuts the text into tokens and stands before the first one.
    pub(super) fn new(text: &'t str, start: Start, positions: &'t Positions) -> Self {
        let found = tokenize(text, start, positions, false);
        let lexical: Vec<u32> = found.complaints.iter().map(|(start, _)| *start).collect();
        let complaints = found
            .complaints
            .into_iter()
            .map(|(_, complaint)| complaint)
            .take(MAX_COMPLAINTS)
            .collect();
        let mut parser = Self {
            text,
            positions,
            tokens: found.tokens,
            at: 0,
            newlines: true,
            depth: 0,
            height: 0,
            complaints,
            lexical,
            item_start: 0,
            pairs: OnceCell::new(),
            stopped: false,
        };
        if let Some(start) = parser.lexical.get(MAX_COMPLAINTS).copied() {
            parser.stop(positions.place(start as usize..start as usize));
        }
        parser
    }

    /// Hands the complaints over, in the order of the text.
    pub(super) fn finish(mut self, diagnostics: &mut Diagnostics) {
        self.complaints
            .sort_by_key(|complaint| complaint.place.map(|place| (place.start, place.end)));
        diagnostics.extend(self.complaints);
    }

    /// The token at an index, as if the text ended where reading has stopped.
    pub(super) fn token(&self, index: usize) -> Token {
        match self.tokens.get(index) {
            Some(token) if !self.stopped => *token,
            _ => self.tokens.last().copied().unwrap_or(Token {
                kind: TokenKind::End,
                start: 0,
                end: 0,
            }),
        }
    }

    /// The next token that counts.
    pub(super) fn peek(&mut self) -> Token {
        while !self.newlines && self.token(self.at).kind == TokenKind::Newline {
            self.at += 1;
        }
        self.token(self.at)
    }

    /// The kind of the next token that counts.
    pub(super) fn next_is(&mut self, kind: TokenKind) -> bool {
        self.peek().kind == kind
    }

    /// The token after the next one.
    pub(super) fn peek_second(&mut self) -> Token {
        self.peek();
        let mut index = self.at + 1;
        while !self.newlines && self.token(index).kind == TokenKind::Newline {
            index += 1;
        }
        self.token(index)
    }

    /// Takes the next token that counts.
    pub(super) fn advance(&mut self) -> Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    /// Takes the next token if it is of a kind.
    pub(super) fn accept(&mut self, kind: TokenKind) -> Option<Token> {
        self.next_is(kind).then(|| self.advance())
    }

    /// True when the next token is a certain word.
    pub(super) fn next_is_word(&mut self, word: &str) -> bool {
        let token = self.peek();
        token.kind == TokenKind::Identifier && token.text(self.text) == word
    }

    /// Takes the next token if it is a certain word.
    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.next_is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn place(&self, token: Token) -> Place {
        self.positions.place(token.start as usize..token.end as usize)
    }

    /// From the start of one token to the end of the last one taken.
    pub(super) fn place_since(&self, first: Token) -> Place {
        let last = self.at.checked_sub(1).map_or(first, |index| self.token(index));
        self.positions
            .place(first.start as usize..last.end.max(first.end) as usize)
    }

    /// Complains, unless the lexer did so between the beginning of the item and this place: then the one is only the consequence
    /// of the other.
    pub(super) fn complain(&mut self, at: Token, complaint: Diagnostic) -> Failed {
        let from = self.lexical.partition_point(|start| *start < self.item_start);
        let consequence = self.lexical.get(from).is_some_and(|start| *start <= at.start);
        if !consequence && !self.stopped {
            if self.complaints.len() < MAX_COMPLAINTS {
                self.complaints.push(complaint);
            } else {
                self.stop(self.place(at));
            }
        }
        Failed
    }

    /// From here on the parser sees the end of the text.
    fn stop(&mut self, place: Place) {
        self.stopped = true;
        self.complaints.push(
            Diagnostic::error(place, "too many errors, the rest of this text is not read")
                .detail(format!("Reading stops after {MAX_COMPLAINTS} errors.")),
        );
    }

    /// Complains about the next token: the place is the token, a line end counts as such.
    pub(super) fn unexpected(&mut self, summary: impl Into<String>, help: impl Into<Option<String>>) -> Failed {
        let token = self.peek();
        let found = self.describe(token);
        let complaint = Diagnostic::error(self.place(token), summary)
            .detail(format!("Found {found}."))
            .help(help);
        self.complain(token, complaint)
    }

    /// A token in words.
    pub(super) fn describe(&self, token: Token) -> String {
        match token.kind {
            TokenKind::Newline => "the end of the line".to_owned(),
            TokenKind::End => "the end of the text".to_owned(),
            TokenKind::StringOpen => "a string".to_owned(),
            TokenKind::HeredocOpen => "a heredoc".to_owned(),
            TokenKind::SequenceEnd => "the end of the interpolation or directive".to_owned(),
            _ => format!("`{}`", token.text(self.text)),
        }
    }

    /// Runs `parse` one level deeper, or complains that this is too deep.
    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Failed>) -> Result<T, Failed> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Notes that the expression just parsed is one level higher than its highest part.
    pub(super) fn grow(&mut self, highest_part: usize) -> Result<(), Failed> {
        self.height = highest_part + 1;
        if self.height > MAX_DEPTH {
            Err(self.too_deep())
        } else {
            Ok(())
        }
    }

    pub(super) fn too_deep(&mut self) -> Failed {
        let token = self.peek();
        let complaint = Diagnostic::error(self.place(token), "this is nested too deeply")
            .detail(format!("Expressions and blocks may be nested {MAX_DEPTH} levels deep."))
            .help("name a part of it by a local value".to_owned());
        self.complain(token, complaint)
    }

    /// The index of the token that closes the one at `opening`.
    pub(super) fn closing(&self, opening: usize) -> Option<usize> {
        let closing = self.pairs.get_or_init(|| Pairs::new(&self.tokens)).closing(opening);
        closing.filter(|_| !self.stopped)
    }

    /// After an error inside of the bracket at `opening`: goes to its closing token, if it has one.
    pub(super) fn skip_to_close(&mut self, opening: usize) -> Result<(), Failed> {
        self.at = self.closing(opening).ok_or(Failed)?;
        Ok(())
    }

    /// After an error in an element of the bracket at `opening`: goes to the next separator, or to the closing token.
    pub(super) fn skip_element(&mut self, opening: usize, separators: &[TokenKind]) -> Result<(), Failed> {
        let closing = self.closing(opening).ok_or(Failed)?;
        while self.at < closing && !separators.contains(&self.token(self.at).kind) {
            self.at = self.past(self.at);
        }
        self.at = self.at.min(closing);
        Ok(())
    }

    /// The index after a token, or after what it opens.
    fn past(&self, index: usize) -> usize {
        let closing = if self.token(index).kind.opens() {
            self.closing(index)
        } else {
            None
        };
        closing.unwrap_or(index) + 1
    }

    /// After an error in an attribute or block that begins at the token `start`: goes to the end of its line, brackets included.
    pub(super) fn skip_item(&mut self, start: usize) {
        let mut index = start;
        while !matches!(
            self.token(index).kind,
            TokenKind::Newline | TokenKind::CloseBrace | TokenKind::End
        ) {
            index = self.past(index);
        }
        self.at = index;
    }

    /// True when a `{` is the next token behind the line ends at which the parser stands.
    pub(super) fn brace_follows(&self) -> bool {
        self.token(self.behind_newlines()).kind == TokenKind::OpenBrace
    }

    /// True when something that only the end of the text has ended was opened: a heredoc or a template sequence.
    pub(super) fn swallowed_the_end(&self) -> bool {
        let last = self
            .tokens
            .len()
            .checked_sub(2)
            .and_then(|index| self.tokens.get(index));
        last.is_some_and(|last| {
            matches!(last.kind, TokenKind::HeredocClose | TokenKind::SequenceEnd) && last.start == last.end
        })
    }

    fn behind_newlines(&self) -> usize {
        let mut index = self.at;
        while self.token(index).kind == TokenKind::Newline {
            index += 1;
        }
        index
    }

    /// True when a new attribute or block, or the end of the body, follows the line ends at which the parser stands.
    pub(super) fn item_follows(&self) -> bool {
        use TokenKind::{Assign, CloseBrace, End, Identifier, OpenBrace, StringOpen};
        let index = self.behind_newlines();
        match self.token(index).kind {
            CloseBrace | End => true,
            Identifier => matches!(self.token(index + 1).kind, Assign | Identifier | StringOpen | OpenBrace),
            _ => false,
        }
    }
}
