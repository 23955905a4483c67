//! Which bracket closes which. The parser asks only after an error, to find out how far the damage may reach: an element, a bracket,
//! or an attribute.

use super::token::{Token, TokenKind};

/// How far a closing bracket is searched for its opening past ones of another kind, before it is taken as a stray one.
const REACH: usize = 64;

/// For each token the index of the one that closes it; `None` for what opens nothing or is never closed.
#[derive(Debug)]
pub(super) struct Pairs(Vec<Option<u32>>);

impl Pairs {
    /// Pairs up the brackets of a text. Braces are the stronger ones: `}` closes the last `{` and leaves what was opened after it
    /// unclosed, so that a forgotten `]` or `)` ends with its block at the latest.
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut pairs = vec![None; tokens.len()];
        let mut open: Vec<(usize, TokenKind)> = Vec::new();
        // How many `{` are open since the last opening of a string or a sequence, for each of those.
        let mut braces = vec![0_usize];
        for (index, token) in tokens.iter().enumerate() {
            if token.kind.opens() {
                match token.kind {
                    TokenKind::OpenBrace => braces.iter_mut().last().into_iter().for_each(|count| *count += 1),
                    TokenKind::OpenBracket | TokenKind::OpenParenthesis => {}
                    _ => braces.push(0),
                }
                open.push((index, token.kind));
            } else if token.kind.closes()
                && let Some(opening) = take_opening(&mut open, &mut braces, token.kind)
                && let Some(pair) = pairs.get_mut(opening)
            {
                *pair = u32::try_from(index).ok();
            }
        }
        Self(pairs)
    }

    /// The index of the token that closes the one at `opening`.
    pub(super) fn closing(&self, opening: usize) -> Option<usize> {
        self.0.get(opening).copied().flatten().map(|index| index as usize)
    }
}

fn take_opening(open: &mut Vec<(usize, TokenKind)>, braces: &mut Vec<usize>, closing: TokenKind) -> Option<usize> {
    let wanted = match closing {
        TokenKind::CloseBrace => {
            let count = braces.last_mut().filter(|count| **count > 0)?;
            *count -= 1;
            TokenKind::OpenBrace
        }
        TokenKind::CloseBracket => TokenKind::OpenBracket,
        TokenKind::CloseParenthesis => TokenKind::OpenParenthesis,
        // Strings and sequences are balanced by the lexer: what is open inside of them ends with them.
        _ => {
            braces.pop();
            let inside = |kind| {
                matches!(
                    kind,
                    TokenKind::OpenBrace | TokenKind::OpenBracket | TokenKind::OpenParenthesis
                )
            };
            while open.last().is_some_and(|(_, kind)| inside(*kind)) {
                open.pop();
            }
            return open.pop().map(|(index, _)| index);
        }
    };
    if wanted == TokenKind::OpenBrace {
        while let Some((index, kind)) = open.pop() {
            if kind == wanted {
                return Some(index);
            }
        }
        return None;
    }
    let softer = |kind: TokenKind| matches!(kind, TokenKind::OpenBracket | TokenKind::OpenParenthesis);
    let reachable = open.iter().rev().take(REACH).take_while(|(_, kind)| softer(*kind));
    let past = reachable.take_while(|(_, kind)| *kind != wanted).count();
    let index = open.len().checked_sub(past + 1)?;
    let (opening, kind) = open.get(index).copied()?;
    if kind != wanted {
        return None;
    }
    open.truncate(index);
    Some(opening)
}
