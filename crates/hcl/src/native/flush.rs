//! The indentation of `<<-` heredocs.

use super::template::Piece;

/// Removes the smallest indentation that a line has from all lines. Lines of nothing but space do not count and stay as they are.
/// A line begins after text that ends with a line end; one that begins with a sequence has no indentation. (A strip marker that
/// removed the line end has joined two lines to one: the second one's indentation is then just text.)
pub(super) fn remove_indentation(pieces: &mut [Piece]) {
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
