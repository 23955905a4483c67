//! Which words of a line have a space between them.

use super::Word;
use crate::native::token::TokenKind;

/// Sets the space before each word of a line, except before the first one.
pub(super) fn set(words: &mut [Word<'_>]) {
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
