//! The lexer inside of strings, heredocs and bare templates: literal text up to the next sequence, line end or closing sign.

use std::ops::Range;

use super::lexer::{Lexer, Mode, identifier_length};
use super::token::TokenKind;
use crate::diagnostic::Diagnostic;

/// Lines after the first one that an unterminated string is shown to run through.
const LINES_SHOWN: usize = 5;

impl Lexer<'_> {
    /// Inside of a quoted string: text up to its quote, a sequence or the line's end.
    pub(super) fn quoted(&mut self, start: usize) {
        let end = self.text_until(|byte| matches!(byte, b'"' | b'\n'), true);
        let line_end = end
            - usize::from(
                self.text.as_bytes().get(end) == Some(&b'\n')
                    && self.text.get(..end).is_some_and(|before| before.ends_with('\r')),
            );
        if line_end > self.at {
            self.push(TokenKind::Text, line_end);
        }
        match self.byte(0) {
            b'"' => self.close_string(),
            b'$' | b'%' => self.sequence(),
            _ => self.unterminated(start, self.at),
        }
    }

    fn close_string(&mut self) {
        self.push(TokenKind::StringClose, self.at + 1);
        self.modes.pop();
    }

    /// `${` or `%{`, at which the lexer stands.
    fn sequence(&mut self) {
        let kind = if self.byte(0) == b'$' {
            TokenKind::Interpolation
        } else {
            TokenKind::Directive
        };
        let start = self.at;
        self.push(kind, start + 2 + usize::from(self.byte(2) == b'~'));
        self.modes.push(Mode::Code {
            sequence: Some(start),
            braces: 0,
        });
    }

    /// The offset of the next byte that ends literal text: one of those asked for, or the beginning of a sequence.
    fn text_until(&self, stop: impl Fn(u8) -> bool, backslashes: bool) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(byte) = bytes.get(at).copied() {
            let next = bytes.get(at + 1).copied();
            match byte {
                byte if stop(byte) => break,
                b'\\' if backslashes && !matches!(next, None | Some(b'\n' | b'\r')) => at += 2,
                b'$' | b'%' if next == Some(b'{') => break,
                b'$' | b'%' if next == Some(byte) && bytes.get(at + 2) == Some(&b'{') => at += 3,
                _ => at += 1,
            }
        }
        // A backslash may have been followed by a character of several bytes.
        self.text.ceil_char_boundary(at)
    }

    /// A quoted string that its line (or the text) ends: complains, and decides where it was meant to end. When the next quote is
    /// followed by nothing, the string was meant to have several lines; else its closing quote is missing.
    pub(super) fn unterminated(&mut self, start: usize, line_end: usize) {
        let closing = self.closing_quote_below(line_end);
        let mut complaint = match (closing, self.sequence_begun_on(line_end)) {
            (Some(_), _) => Diagnostic::error(self.positions.place(start..line_end), "a quoted string cannot span lines")
                .help("write `\\n` for a line end, or use a heredoc: `<<-EOT`, the lines, `EOT`".to_owned()),
            (None, Some(sequence)) => Diagnostic::error(self.positions.place(sequence..sequence + 2), "this `{` is not closed on its line")
                .detail("The quote behind it does not close the string: it opens another one inside of the interpolation or directive.")
                .help("add the missing `}`, or write `$${` or `%%{` for the characters themselves".to_owned()),
            (None, None) => Diagnostic::error(self.positions.place(start..line_end), "this string is not closed on its line")
                .detail("A quoted string begins and ends on one line.")
                .help("add the missing `\"`; inside of a string write a quote as `\\\"`".to_owned()),
        };
        for line in self.lines_below(line_end, closing) {
            complaint = complaint.related(self.positions.place(line), "still inside of the string");
        }
        self.complain(start, complaint);
        if let Some(quote) = closing {
            self.push(TokenKind::Text, quote);
            self.close_string();
        } else {
            self.push(TokenKind::StringClose, line_end);
            self.modes.pop();
            self.abandon_line(line_end);
        }
    }

    fn closing_quote_below(&self, line_end: usize) -> Option<usize> {
        let quote = line_end + self.text.get(line_end..)?.find('"')?;
        let line = self.text.get(quote + 1..)?.split('\n').next()?.trim();
        let ends = line.is_empty() || line.starts_with([',', ')', ']', '}', '#']) || line.starts_with("//");
        (ends && quote > line_end).then_some(quote)
    }

    /// Empty ranges at the beginnings of the lines that the string runs through, up to its quote or the next one.
    fn lines_below(&self, line_end: usize, closing: Option<usize>) -> Vec<Range<usize>> {
        let after = self.text.get(line_end..).unwrap_or("");
        let end = closing
            .or_else(|| after.find('"').map(|at| line_end + at))
            .unwrap_or(self.text.len());
        let inside = self.text.get(line_end..end).unwrap_or("");
        let starts = inside
            .match_indices('\n')
            .map(|(at, _)| line_end + at + 1)
            .filter(|at| *at < self.text.len());
        starts.take(LINES_SHOWN).map(|at| at..at).collect()
    }

    /// The beginning of the innermost sequence around the string, if that is on the line that ends here.
    fn sequence_begun_on(&self, line_end: usize) -> Option<usize> {
        match self.modes.iter().rev().nth(1) {
            Some(Mode::Code {
                sequence: Some(start), ..
            }) if *start >= self.line_start(line_end) => Some(*start),
            _ => None,
        }
    }

    fn line_start(&self, line_end: usize) -> usize {
        self.text
            .get(..line_end)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1)
    }

    /// Closes the strings and sequences that were begun on the line that ends here: a missing quote or brace must not swallow the
    /// lines that follow.
    fn abandon_line(&mut self, line_end: usize) {
        let line_start = self.line_start(line_end);
        while let Some(Mode::Code {
            sequence: Some(start), ..
        }) = self.modes.last()
        {
            if *start < line_start {
                return;
            }
            self.push(TokenKind::SequenceEnd, line_end);
            self.modes.pop();
            if let Some(Mode::Quoted { .. }) = self.modes.last() {
                self.push(TokenKind::StringClose, line_end);
                self.modes.pop();
            }
        }
    }

    /// `<<`: a heredoc if a name and the line's end follow.
    pub(super) fn heredoc_open(&mut self) {
        let dash = usize::from(self.byte(2) == b'-');
        let name = self.at + 2 + dash;
        let length = identifier_length(self.text.get(name..).unwrap_or(""));
        let after = self.text.get(name + length..).unwrap_or("");
        let line_end = if after.starts_with("\r\n") {
            2
        } else {
            usize::from(after.starts_with('\n'))
        };
        if length > 0 && line_end > 0 {
            self.modes.push(Mode::Heredoc {
                start: self.at,
                marker: name..name + length,
            });
            self.push(TokenKind::HeredocOpen, name + length + line_end);
            return;
        }
        let place = self.positions.place(self.at..name + length);
        let complaint = if length > 0 {
            Diagnostic::error(place, "a heredoc's text begins on the next line")
                .help("end the line right after the name, without space or comment".to_owned())
        } else {
            Diagnostic::error(place, "`<<` needs a name")
                .detail("`<<` begins a heredoc: text up to a line that holds only the heredoc's name.")
                .help("write `<<EOT`, the text on the lines below, and a line `EOT`".to_owned())
        };
        self.complain(self.at, complaint);
        self.push(TokenKind::Invalid, name + length);
    }

    /// Inside of a heredoc: its end, or the text of one line up to a sequence.
    pub(super) fn heredoc(&mut self, marker: &Range<usize>) {
        let at_line_start = self.text.as_bytes().get(self.at.wrapping_sub(1)) == Some(&b'\n');
        if at_line_start {
            let text = self.text;
            let line = text
                .get(self.at..)
                .and_then(|rest| rest.split('\n').next())
                .unwrap_or("");
            let name = text.get(marker.clone()).unwrap_or("");
            if line.trim() == name {
                let indent = line.len() - line.trim_start().len();
                self.at += indent;
                self.push(TokenKind::HeredocClose, self.at + name.len());
                self.modes.pop();
                // Space between the name and the line's end is no part of anything.
                self.at += line.len() - indent - name.len() - usize::from(line.ends_with('\r'));
                return;
            }
        }
        self.line_of_template();
    }

    /// Literal text up to a sequence or past the line's end.
    pub(super) fn line_of_template(&mut self) {
        let end = self.text_until(|byte| byte == b'\n', false);
        let newline = usize::from(self.text.as_bytes().get(end) == Some(&b'\n'));
        if end + newline > self.at {
            self.push(TokenKind::Text, end + newline);
        }
        if newline == 0 && self.at < self.text.len() {
            self.sequence();
        }
    }
}
