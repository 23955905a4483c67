//! The lines in which files are transferred, in both directions: `d` and a path is a directory; `f` and a path begins a file, `+` is a piece of it,
//! and `e` with length and SHA-256 ends it; `l` is a link that is left out. Paths and pieces are base64, so that they need no quotes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A line of the other side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A directory.
    Directory(String),
    /// A file begins.
    File(String),
    /// A piece of it.
    Piece(Vec<u8>),
    /// It ends: its length and digest.
    End(String),
    /// A link to a directory is left out.
    LeftOut(String),
}

/// Reads a line; nothing when it is none.
pub(crate) fn parse(line: &str) -> Option<Line> {
    let (word, rest) = line.split_at_checked(1)?;
    let rest = rest.trim();
    let bytes = || STANDARD.decode(rest).ok();
    let text = || String::from_utf8(bytes()?).ok();
    Some(match word {
        "d" => Line::Directory(text()?),
        "f" => Line::File(text()?),
        "l" => Line::LeftOut(text()?),
        "+" => Line::Piece(bytes()?),
        "e" => Line::End(rest.to_owned()),
        _ => return None,
    })
}

/// The line for a directory.
pub(crate) fn directory(path: &str) -> String {
    format!("d {}", STANDARD.encode(path))
}

/// The line that begins a file.
pub(crate) fn file(path: &str) -> String {
    format!("f {}", STANDARD.encode(path))
}

/// The line for a piece of a file.
pub(crate) fn piece(bytes: &[u8]) -> String {
    format!("+ {}", STANDARD.encode(bytes))
}

/// Sums up the content of a file.
#[derive(Default)]
pub(crate) struct Sum {
    length: u64,
    digest: Sha256,
}

impl Sum {
    /// One more piece.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.digest.update(bytes);
    }

    /// Length and digest, as they end a file.
    pub(crate) fn end(self) -> String {
        format!("{} {}", self.length, hex::encode_upper(self.digest.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_were_made_of() {
        assert_eq!(
            parse(&directory(r"C:\ä 'x'")),
            Some(Line::Directory(r"C:\ä 'x'".into()))
        );
        assert_eq!(parse(&file("")), Some(Line::File(String::new())));
        assert_eq!(parse(&piece(&[0, 255])), Some(Line::Piece(vec![0, 255])));
        for strange in ["", "ä", "x", "+ ?", "f /w==", "ready"] {
            assert_eq!(parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn the_sum_is_length_and_digest() {
        let mut sum = Sum::default();
        sum.add(b"ab");
        sum.add(b"c");
        assert_eq!(
            sum.end(),
            "3 BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
        );
    }
}
