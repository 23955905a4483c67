//! Canonical formatting, from tokens: space between tokens, indentation by brackets, `=` and comments in columns. What stands inside of
//! strings, comments and heredocs is never touched, and neither are line breaks, so the meaning cannot change.

mod columns;
mod spacing;
#[cfg(test)]
mod tests;

use unicode_segmentation::UnicodeSegmentation;

use crate::native::lexer::{Start, tokenize};
use crate::native::positions::Positions;
use crate::native::token::{Token, TokenKind};
use crate::source::SourceMap;

/// Levels of indentation that are written: more than a text that can be parsed has, so that one that cannot does not fill the memory.
const MAX_INDENT: usize = 4 * crate::native::MAX_DEPTH;

/// One token of the text to be written, and the space before it.
#[derive(Debug, Clone, Copy)]
struct Word<'t> {
    kind: TokenKind,
    text: &'t str,
    /// Spaces before it.
    space: usize,
}

/// The words of one line. A heredoc or block comment is one word, with all its lines.
#[derive(Debug, Default)]
struct Line<'t> {
    words: Vec<Word<'t>>,
    /// Index of the `=` that can be aligned with those of the lines around.
    assign: Option<usize>,
    /// Index of the comment that ends the line behind something else.
    comment: Option<usize>,
}

/// Formats a text in native syntax. A text that cannot be parsed should not be formatted: its tokens stay, but their layout may then
/// not show what was meant.
pub fn format(text: &str) -> String {
    let mut lines = lines(text);
    for line in &mut lines {
        line.find_columns();
        spacing::set(&mut line.words);
    }
    indent(&mut lines);
    columns::align(&mut lines);
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    if text.starts_with('\u{feff}') {
        out.push('\u{feff}');
    }
    for word in lines.iter().flat_map(|line| &line.words) {
        out.extend(std::iter::repeat_n(' ', word.space));
        out.push_str(word.text);
    }
    out
}

/// The text as words and lines. Each line but the last ends with its line end.
fn lines(text: &str) -> Vec<Line<'_>> {
    let file = SourceMap::default().add("", "");
    let tokens = tokenize(text, Start::Code, &Positions::From(file, 0), true).tokens;
    let mut lines = vec![Line::default()];
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let word = match token.kind {
            TokenKind::End => break,
            TokenKind::HeredocOpen => heredoc(text, token, &mut tokens),
            kind => Word {
                kind,
                text: token.text(text),
                space: 0,
            },
        };
        if let Some(line) = lines.last_mut() {
            line.words.push(word);
        }
        if word.kind == TokenKind::Newline {
            lines.push(Line::default());
        }
    }
    lines
}

/// A heredoc, other ones inside of it included, as one word.
fn heredoc<'t>(text: &'t str, opening: Token, tokens: &mut impl Iterator<Item = Token>) -> Word<'t> {
    let mut depth = 1;
    let mut end = opening.end;
    for token in tokens {
        end = token.end;
        match token.kind {
            TokenKind::HeredocOpen => depth += 1,
            TokenKind::HeredocClose => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    let text = text.get(opening.start as usize..end as usize).unwrap_or("");
    Word {
        kind: TokenKind::HeredocOpen,
        text,
        space: 0,
    }
}

impl Word<'_> {
    /// 1 for what opens a bracket or a template sequence, -1 for what closes one.
    fn bracket(&self) -> isize {
        use TokenKind::{
            CloseBrace, CloseBracket, CloseParenthesis, Directive, Interpolation, OpenBrace, OpenBracket,
            OpenParenthesis, SequenceEnd,
        };
        match self.kind {
            OpenBrace | OpenBracket | OpenParenthesis | Interpolation | Directive => 1,
            CloseBrace | CloseBracket | CloseParenthesis | SequenceEnd => -1,
            _ => 0,
        }
    }

    /// How many columns it takes, the space before it included.
    fn columns(&self) -> usize {
        self.space + self.text.graphemes(true).count()
    }

    fn is_line_comment(&self) -> bool {
        self.kind == TokenKind::Comment && !self.text.starts_with("/*")
    }
}

impl Line<'_> {
    /// Finds the `=` and the comment that may be aligned. An `=` is, when what follows it on the line closes all it opens.
    fn find_columns(&mut self) {
        let end = self
            .words
            .iter()
            .position(|word| word.kind == TokenKind::Newline)
            .unwrap_or(self.words.len());
        let last = end.checked_sub(1);
        self.comment = last.filter(|last| *last > 0 && self.words.get(*last).is_some_and(Word::is_line_comment));
        let assign = self.words.iter().position(|word| word.kind == TokenKind::Assign);
        self.assign = assign.filter(|at| *at > 0 && self.words.iter().skip(*at).map(Word::bracket).sum::<isize>() == 0);
    }

    /// How many columns the words before an index take.
    fn columns_before(&self, index: usize) -> usize {
        self.words.iter().take(index).map(Word::columns).sum()
    }
}

/// Indents each line by two spaces for every line above that has opened more brackets than it closed, as long as they are open.
fn indent(lines: &mut [Line<'_>]) {
    let mut open: Vec<isize> = Vec::new();
    for line in lines {
        let net = line.words.iter().map(Word::bracket).sum::<isize>();
        if net < 0 {
            close(&mut open, -net);
        }
        if let Some(first) = line.words.first_mut().filter(|first| first.kind != TokenKind::Newline) {
            first.space = 2 * open.len().min(MAX_INDENT);
        }
        if net > 0 {
            open.push(net);
        }
    }
}

/// Closes so many brackets, the last opened ones first.
fn close(open: &mut Vec<isize>, mut count: isize) {
    while let Some(last) = open.last_mut().filter(|_| count > 0) {
        let closed = count.min(*last);
        *last -= closed;
        count -= closed;
        if *last == 0 {
            open.pop();
        }
    }
}
