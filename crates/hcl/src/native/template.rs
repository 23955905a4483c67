//! Templates: the parts of a string, heredoc or bare template, their strip markers, and directives put together.

use super::parser::{Failed, MAX_DEPTH, Parser};
use super::token::{Token, TokenKind};
use crate::diagnostic::Diagnostic;
use crate::source::Place;
use crate::syntax::{Expression, ExpressionKind, Name, TemplatePart};
use crate::value::Value;

/// One piece of a template, before directives are put together.
#[derive(Debug)]
pub(super) enum Piece {
    /// Literal text: of a string, or of one line.
    Text(String),
    /// `${ … }`
    Interpolation(Expression),
    /// `%{ … }`
    Directive(Directive, Place),
}

/// What a directive says.
#[derive(Debug)]
pub(super) enum Directive {
    If(Expression),
    Else,
    EndIf,
    For {
        key: Option<Name>,
        value: Name,
        collection: Expression,
    },
    EndFor,
    /// One that could not be read; a word that begins something.
    Broken,
}

/// A directive that is not ended yet, and the parts before it.
struct Open {
    directive: Directive,
    place: Place,
    before: Vec<TemplatePart>,
    /// The parts between `if` and `else`.
    yes: Option<Vec<TemplatePart>>,
}

impl Parser<'_> {
    /// `"…"`
    pub(super) fn quoted(&mut self) -> Result<Expression, Failed> {
        let opening = self.advance();
        let pieces = self.pieces(TokenKind::StringClose, true);
        self.advance();
        let place = self.place_since(opening);
        self.template(pieces, place)
    }

    /// `<<NAME … NAME`, `<<-NAME … NAME`
    pub(super) fn heredoc(&mut self) -> Result<Expression, Failed> {
        let opening = self.advance();
        let mut pieces = self.pieces(TokenKind::HeredocClose, false);
        self.advance();
        if opening.text(self.text).starts_with("<<-") {
            remove_indentation(&mut pieces);
        }
        let place = self.place_since(opening);
        self.template(pieces, place)
    }

    /// A text that is a template as a whole.
    pub(super) fn bare_template(&mut self) -> Result<Expression, Failed> {
        let opening = self.peek();
        let pieces = self.pieces(TokenKind::End, false);
        let place = self.place_since(opening);
        self.template(pieces, place)
    }

    /// The pieces up to the closing token, at which the parser then stands. Strip markers are applied.
    fn pieces(&mut self, close: TokenKind, backslashes: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut strip_next = false;
        let mut highest = 0;
        loop {
            let token = self.token(self.at);
            match token.kind {
                TokenKind::Text => {
                    self.at += 1;
                    let text = self.unescaped(token.text(self.text), token.start as usize, backslashes);
                    let text = if strip_next { text.trim_start().to_owned() } else { text };
                    pieces.push(Piece::Text(text));
                    strip_next = false;
                }
                TokenKind::Interpolation | TokenKind::Directive => {
                    if token.text(self.text).ends_with('~') {
                        strip_end(&mut pieces);
                    }
                    self.height = 0;
                    pieces.push(self.sequence(token));
                    highest = highest.max(self.height);
                    strip_next = self.token(self.at.saturating_sub(1)).text(self.text).starts_with('~');
                }
                kind => {
                    debug_assert!(kind == close || kind == TokenKind::End, "the lexer balances strings");
                    self.height = highest;
                    return pieces;
                }
            }
        }
    }

    /// An interpolation or directive with its end; after an error in it, an invalid one.
    fn sequence(&mut self, token: Token) -> Piece {
        let newlines = std::mem::replace(&mut self.newlines, false);
        let opening = self.at;
        self.advance();
        let piece = if token.kind == TokenKind::Interpolation {
            self.expression().map(Piece::Interpolation)
        } else {
            self.directive()
                .map(|directive| Piece::Directive(directive, self.place(token)))
        };
        let closed = piece.and_then(|piece| match self.accept(TokenKind::SequenceEnd) {
            Some(_) => Ok(piece),
            None => Err(self.goes_on()),
        });
        self.newlines = newlines;
        closed.unwrap_or_else(|_| {
            // The lexer closes every sequence, so there is always an end to go to, unless reading has stopped.
            if self.skip_to_close(opening).is_ok() {
                self.at += 1;
            }
            let place = self.place_since(token);
            match token.kind {
                TokenKind::Interpolation => Piece::Interpolation(Expression {
                    kind: ExpressionKind::Invalid,
                    place,
                }),
                _ => Piece::Directive(Directive::Broken, place),
            }
        })
    }

    fn directive(&mut self) -> Result<Directive, Failed> {
        let Some(word) = self.accept(TokenKind::Identifier) else {
            return Err(self.unknown_directive());
        };
        Ok(match word.text(self.text) {
            "if" => Directive::If(self.expression()?),
            "else" => Directive::Else,
            "endif" => Directive::EndIf,
            "for" => {
                let (key, value) = self.for_names("for")?;
                Directive::For {
                    key,
                    value,
                    collection: self.expression()?,
                }
            }
            "endfor" => Directive::EndFor,
            _ => {
                self.at -= 1;
                return Err(self.unknown_directive());
            }
        })
    }

    fn unknown_directive(&mut self) -> Failed {
        let help =
            "the directives are `if`, `else`, `endif`, `for` and `endfor`; write `%%{` for the characters themselves"
                .to_owned();
        self.unexpected("`%{` is not followed by a directive", help)
    }

    /// The template of these pieces: plain text when there is nothing else in it.
    fn template(&mut self, pieces: Vec<Piece>, place: Place) -> Result<Expression, Failed> {
        let highest = self.height;
        let only_text = pieces.iter().all(|piece| matches!(piece, Piece::Text(_)));
        if only_text {
            let text: String = pieces
                .into_iter()
                .map(|piece| {
                    if let Piece::Text(text) = piece {
                        text
                    } else {
                        String::new()
                    }
                })
                .collect();
            self.height = 1;
            return Ok(Expression {
                kind: ExpressionKind::Literal(Value::string(&text)),
                place,
            });
        }
        let (parts, nested) = self.assemble(pieces);
        self.grow(highest + nested)?;
        Ok(Expression {
            kind: ExpressionKind::Template(parts),
            place,
        })
    }

    /// Puts directives together with what is between them; answers how deep they are nested too.
    fn assemble(&mut self, pieces: Vec<Piece>) -> (Vec<TemplatePart>, usize) {
        let mut open: Vec<Open> = Vec::new();
        let mut parts = Vec::new();
        let mut deepest = 0;
        let mut skipped = 0_usize;
        for piece in pieces {
            match piece {
                Piece::Text(text) => push_text(&mut parts, text),
                Piece::Interpolation(expression) => parts.push(TemplatePart::Interpolation(expression)),
                Piece::Directive(directive @ (Directive::If(_) | Directive::For { .. }), place) => {
                    if skipped > 0 || open.len() >= MAX_DEPTH {
                        skipped += 1;
                        continue;
                    }
                    open.push(Open {
                        directive,
                        place,
                        before: std::mem::take(&mut parts),
                        yes: None,
                    });
                    deepest = deepest.max(open.len());
                }
                Piece::Directive(Directive::EndIf | Directive::EndFor, _) if skipped > 0 => skipped -= 1,
                Piece::Directive(Directive::Else, _) if skipped > 0 => {}
                Piece::Directive(Directive::Else, place) => self.begin_else(&mut open, &mut parts, place),
                Piece::Directive(Directive::Broken, _) => {}
                Piece::Directive(end, place) => self.end_directive(&mut open, &mut parts, &end, place),
            }
        }
        while let Some(unended) = open.pop() {
            let (word, end) = if matches!(unended.directive, Directive::If(_)) {
                ("if", "endif")
            } else {
                ("for", "endfor")
            };
            let complaint = Diagnostic::error(unended.place, format!("this `%{{ {word} }}` is never ended"))
                .help(format!("add `%{{ {end} }}`"));
            self.complain_at(unended.place, complaint);
            let mut whole = unended.before;
            whole.append(&mut parts);
            parts = whole;
        }
        (parts, deepest)
    }

    fn begin_else(&mut self, open: &mut [Open], parts: &mut Vec<TemplatePart>, place: Place) {
        if let Some(Open {
            directive: Directive::If(_),
            yes: yes @ None,
            ..
        }) = open.last_mut()
        {
            *yes = Some(std::mem::take(parts));
            return;
        }
        let complaint = Diagnostic::error(place, "this `%{ else }` belongs to no `%{ if }`")
            .help("an `else` stands once between `%{ if … }` and `%{ endif }`".to_owned());
        self.complain_at(place, complaint);
    }

    fn end_directive(&mut self, open: &mut Vec<Open>, parts: &mut Vec<TemplatePart>, end: &Directive, place: Place) {
        let ended = open.pop_if(|open| {
            matches!(
                (&open.directive, end),
                (Directive::If(_), Directive::EndIf) | (Directive::For { .. }, Directive::EndFor)
            )
        });
        let Some(ended) = ended else {
            let word = if matches!(end, Directive::EndIf) {
                "endif"
            } else {
                "endfor"
            };
            let mut complaint = Diagnostic::error(place, format!("this `%{{ {word} }}` ends nothing"));
            if let Some(open) = open.last() {
                complaint = complaint.related(open.place, "this is what would have to be ended first");
            }
            self.complain_at(place, complaint);
            return;
        };
        let inner = std::mem::replace(parts, ended.before);
        parts.push(match ended.directive {
            Directive::For { key, value, collection } => TemplatePart::For {
                key,
                value,
                collection,
                body: inner,
            },
            Directive::If(condition) => match ended.yes {
                Some(yes) => TemplatePart::If {
                    condition,
                    yes,
                    no: inner,
                },
                None => TemplatePart::If {
                    condition,
                    yes: inner,
                    no: Vec::new(),
                },
            },
            Directive::Else | Directive::EndIf | Directive::EndFor | Directive::Broken => return,
        });
    }

    /// Complains about something read before.
    fn complain_at(&mut self, place: Place, complaint: Diagnostic) {
        let offset = self.positions.place(0..0).start;
        let start = place.start.saturating_sub(offset);
        self.complain(
            Token {
                kind: TokenKind::Text,
                start,
                end: start,
            },
            complaint,
        );
    }
}

/// Adds text, to the text before it if there is some.
fn push_text(parts: &mut Vec<TemplatePart>, text: String) {
    match parts.last_mut() {
        Some(TemplatePart::Literal(before)) => before.push_str(&text),
        _ => parts.push(TemplatePart::Literal(text)),
    }
}

/// Applies the strip marker of a sequence to the text before it.
fn strip_end(pieces: &mut [Piece]) {
    if let Some(Piece::Text(text)) = pieces.last_mut() {
        text.truncate(text.trim_end().len());
    }
}

/// Removes the smallest indentation that a line has from all lines. Lines of nothing but space do not count and stay as they are.
/// A line begins after text that ends with a line end; one that begins with a sequence has no indentation. (A strip marker that
/// removed the line end has joined two lines to one: the second one's indentation is then just text.)
fn remove_indentation(pieces: &mut [Piece]) {
    let mut smallest: Option<usize> = None;
    let mut indented = Vec::new();
    let mut line_begins = true;
    for (index, piece) in pieces.iter().enumerate() {
        if line_begins {
            match piece {
                Piece::Text(text) if text.trim_start().is_empty() && text.ends_with('\n') => {}
                Piece::Text(text) => {
                    let indentation = indentation(text);
                    smallest = Some(smallest.map_or(indentation, |least| least.min(indentation)));
                    indented.push(index);
                }
                _ => smallest = Some(0),
            }
        }
        line_begins = matches!(piece, Piece::Text(text) if text.ends_with('\n'));
    }
    let smallest = smallest.unwrap_or(0);
    for index in indented {
        if let Some(Piece::Text(text)) = pieces.get_mut(index) {
            let bytes: usize = text.chars().take(smallest).map(char::len_utf8).sum();
            text.drain(..bytes);
        }
    }
}

/// How many characters of space a text begins with.
fn indentation(text: &str) -> usize {
    text.chars().take_while(|c| c.is_whitespace()).count()
}
