//! Canonical formatting, from tokens: space between tokens, indentation by brackets, `=` and comments in columns. What stands inside of
//! strings, comments and heredocs is never touched, and neither are line breaks, so the meaning cannot change.

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
        set_spaces(&mut line.words);
    }
    indent(&mut lines);
    align(&mut lines);
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

/// Sets the space before each word of a line, except before the first one.
fn set_spaces(words: &mut [Word<'_>]) {
    for index in 1..words.len() {
        let before = index.checked_sub(2).and_then(|index| words.get(index)).copied();
        let (Some(left), Some(right)) = (words.get(index - 1).copied(), words.get(index).copied()) else {
            continue;
        };
        let after = words.get(index + 1).copied();
        let space = is_spaced(before, left, right, after);
        if let Some(word) = words.get_mut(index) {
            word.space = usize::from(space);
        }
    }
}

/// Whether a space stands between `left` and `right`, which have `before` and `after` around them. The first rule that applies counts.
#[expect(clippy::match_same_arms, reason = "the order of the rules is their precedence")]
fn is_spaced(before: Option<Word<'_>>, left: Word<'_>, right: Word<'_>, after: Option<Word<'_>>) -> bool {
    use TokenKind::{
        CloseBrace, Comma, Directive, Dot, DoubleColon, Ellipsis, Identifier, Interpolation, Minus, Newline, Not,
        Number, OpenBrace, OpenBracket, OpenParenthesis, SequenceEnd, StringClose, StringOpen, Text,
    };
    match (left.kind, right.kind) {
        (_, Newline) => false,
        // What makes up one value stands together, except where two numbers would become one.
        (Number, Dot) => after.is_some_and(|after| after.kind == Number),
        (_, Dot) | (Dot, _) | (Identifier, OpenParenthesis | DoubleColon) | (DoubleColon, Identifier) => false,
        (_, Comma | Ellipsis) => false,
        (Comma, _) => true,
        // Text of strings is as it is.
        (Text | StringOpen, _) | (_, Text | StringClose) => false,
        // The list behind the `in` of a `for` is no index of it.
        (Identifier, _) if left.text == "in" && before.is_some_and(|before| before.kind == Identifier) => true,
        (Identifier | Number, OpenBracket) => false,
        (_, OpenBracket) if left.bracket() < 0 => false,
        (Not, _) => false,
        (Minus, _) => before.is_some_and(|before| ends_value(before)),
        (OpenBrace, CloseBrace) => false,
        (OpenBrace, _) | (_, CloseBrace) => true,
        // The braces of an object are kept apart from those of the interpolation around it.
        (Interpolation | Directive, OpenBrace) | (CloseBrace, SequenceEnd) => true,
        (SequenceEnd, Interpolation | Directive) => false,
        _ => left.bracket() <= 0 && right.bracket() >= 0,
    }
}

/// True when a `-` behind this word subtracts; else it negates.
fn ends_value(word: Word<'_>) -> bool {
    use TokenKind::{
        And, Assign, Colon, Comma, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Minus, Not, NotEqual, OpenBrace,
        OpenBracket, OpenParenthesis, Or, Percent, Plus, Question, Slash, Star,
    };
    !matches!(
        word.kind,
        And | Assign
            | Colon
            | Comma
            | Equal
            | Greater
            | GreaterOrEqual
            | Less
            | LessOrEqual
            | Minus
            | Not
            | NotEqual
            | OpenBrace
            | OpenBracket
            | OpenParenthesis
            | Or
            | Percent
            | Plus
            | Question
            | Slash
            | Star
    )
}

/// Brings the `=` of lines that follow each other into one column, then the comments behind them, which that moves.
fn align(lines: &mut [Line<'_>]) {
    align_column(lines, |line| line.assign);
    align_column(lines, |line| line.comment);
}

/// Brings a word of each line into one column with those of its neighbours, one space behind the longest text before it.
fn align_column(lines: &mut [Line<'_>], column: impl Fn(&Line<'_>) -> Option<usize>) {
    let together = |line: &Line<'_>, next: &Line<'_>| column(line).is_some() && column(next).is_some();
    for run in lines.chunk_by_mut(together) {
        let widest = run
            .iter()
            .filter_map(|line| Some(line.columns_before(column(line)?)))
            .max()
            .unwrap_or(0);
        for line in run {
            let Some(index) = column(line) else { continue };
            let width = line.columns_before(index);
            if let Some(word) = line.words.get_mut(index) {
                word.space = widest - width + 1;
            }
        }
    }
}
