//! Tokens: the smallest pieces of a text in native syntax, each with its bytes.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name or keyword.
    Identifier,
    /// A number.
    Number,
    /// The quote that opens a string.
    StringOpen,
    /// The quote that closes a string; empty where it is missing.
    StringClose,
    /// `<<NAME` or `<<-NAME` with its line end.
    HeredocOpen,
    /// The closing name of a heredoc; empty where it is missing.
    HeredocClose,
    /// Literal text of a string or of one line of a heredoc, escapes untouched.
    Text,
    /// `${` or `${~`
    Interpolation,
    /// `%{` or `%{~`
    Directive,
    /// `}` or `~}` of an interpolation or a directive; empty where it is missing.
    SequenceEnd,
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `(`
    OpenParenthesis,
    /// `)`
    CloseParenthesis,
    /// `=`
    Assign,
    /// `=>`
    Arrow,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Star,
    /// `/`
    Slash,
    /// `%`
    Percent,
    /// `!`
    Not,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `?`
    Question,
    /// `:`
    Colon,
    /// `::`
    DoubleColon,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// `...`
    Ellipsis,
    /// A line end.
    Newline,
    /// A comment without its line end; only kept for the formatter.
    Comment,
    /// Characters that mean nothing; the lexer has complained about them.
    Invalid,
    /// The end of the text, empty.
    End,
}

/// A token and the bytes of the text it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// First byte.
    pub(crate) start: u32,
    /// One past the last byte.
    pub(crate) end: u32,
}

impl Token {
    /// The characters of the token in the text it was read from.
    pub(crate) fn text(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

impl TokenKind {
    /// True for `(`, `[`, `{` and the openings of strings, heredocs and template sequences.
    pub(crate) fn opens(self) -> bool {
        use TokenKind::{Directive, HeredocOpen, Interpolation, OpenBrace, OpenBracket, OpenParenthesis, StringOpen};
        matches!(
            self,
            OpenBrace | OpenBracket | OpenParenthesis | StringOpen | HeredocOpen | Interpolation | Directive
        )
    }

    /// True for the counterparts of [`Self::opens`].
    pub(crate) fn closes(self) -> bool {
        use TokenKind::{CloseBrace, CloseBracket, CloseParenthesis, HeredocClose, SequenceEnd, StringClose};
        matches!(
            self,
            CloseBrace | CloseBracket | CloseParenthesis | StringClose | HeredocClose | SequenceEnd
        )
    }
}
