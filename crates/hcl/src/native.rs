//! Native syntax: text to [`Body`] and [`Expression`]. Reading never fails as a whole: each error is told with its place, and the
//! reader goes on at the next element, attribute or block. docs/explain/parser.md says why this parser is our own.

mod body;
mod collections;
mod expression;
pub(crate) mod lexer;
mod pairs;
mod parser;
pub(crate) mod positions;
mod quoting;
#[cfg(test)]
#[expect(clippy::format_collect, reason = "speed does not matter in tests")]
pub(crate) mod sketch;
mod strings;
mod template;
#[cfg(test)]
mod tests;
pub(crate) mod token;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{FileId, Place};
use crate::syntax::{Body, Expression, ExpressionKind, NativeBody};
use lexer::Start;
pub use parser::MAX_DEPTH;
use parser::{Failed, Parser};
use positions::Positions;
use token::TokenKind;

/// After this many complaints about one text the rest of it is not read.
pub const MAX_COMPLAINTS: usize = 100;

/// The longest text that is read, in bytes. No template comes near it, and what is longer would fill the memory with its tree.
pub const MAX_BYTES: usize = 16 << 20;

/// Reads a file. What can be read of it is in the answer, what is wrong with it in `diagnostics`.
pub fn parse_file(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Body {
    let positions = Positions::From(file, 0);
    if let Err(place) = check_length(text, &positions, diagnostics) {
        return Body::Native(NativeBody {
            items: Vec::new(),
            place,
            incomplete: place,
        });
    }
    let mut parser = Parser::new(text, Start::Code, &positions);
    let body = parser.file();
    parser.finish(diagnostics);
    Body::Native(body)
}

/// Reads a text that is one expression and begins at byte `offset` of its file. Line ends do not matter in it.
pub fn parse_expression(text: &str, file: FileId, offset: usize, diagnostics: &mut Diagnostics) -> Expression {
    read(
        text,
        Start::Code,
        &Positions::From(file, offset),
        diagnostics,
        |parser| {
            parser.newlines = false;
            let expression = parser.expression()?;
            if parser.next_is(TokenKind::End) {
                return Ok(expression);
            }
            Err(parser.goes_on())
        },
    )
}

/// Reads a text that is a template as a whole, without quotes (a template file), and begins at byte `offset` of its file.
pub fn parse_template(text: &str, file: FileId, offset: usize, diagnostics: &mut Diagnostics) -> Expression {
    parse_template_at(text, &Positions::From(file, offset), diagnostics)
}

/// The same, for a text whose offsets differ from those in its file.
pub(crate) fn parse_template_at(text: &str, positions: &Positions, diagnostics: &mut Diagnostics) -> Expression {
    read(text, Start::Template, positions, diagnostics, |parser| {
        parser.bare_template()
    })
}

/// True for a text that is an identifier as a whole.
pub fn is_identifier(text: &str) -> bool {
    !text.is_empty() && lexer::identifier_length(text) == text.len()
}

fn read(
    text: &str,
    start: Start,
    positions: &Positions,
    diagnostics: &mut Diagnostics,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<Expression, Failed>,
) -> Expression {
    if let Err(place) = check_length(text, positions, diagnostics) {
        return Expression {
            kind: ExpressionKind::Invalid,
            place,
        };
    }
    let mut parser = Parser::new(text, start, positions);
    let expression = parse(&mut parser);
    parser.finish(diagnostics);
    expression.unwrap_or(Expression {
        kind: ExpressionKind::Invalid,
        place: positions.place(0..text.len()),
    })
}

/// The place of the text as the error, when it is too long.
fn check_length(text: &str, positions: &Positions, diagnostics: &mut Diagnostics) -> Result<(), Place> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let place = positions.place(0..0);
    diagnostics.push(
        Diagnostic::error(place, "this text is too long to be a template")
            .detail(format!("It has {} bytes; at most {MAX_BYTES} are read.", text.len()))
            .help("read large contents from a file of their own with `file()` or `filebase64()`".to_owned()),
    );
    Err(place)
}
