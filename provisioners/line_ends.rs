//! Scripts written on Windows: `\r\n` becomes `\n` on the way to the instance, however long the lines are, and the last line gets an
//! end, unless `binary` is set.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::Path;

/// A copy of a script with the line ends of Unix, in a file without a name, read from its start.
pub(crate) fn unix_copy(script: &Path) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    convert(&mut File::open(script)?, &mut io::BufWriter::new(&mut copy))?;
    copy.rewind()?;
    Ok(copy)
}

fn convert(source: &mut impl Read, destination: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    // A carriage return at the end of a piece: what it means shows in the next.
    let mut pending = false;
    let mut last = b'\n';
    loop {
        let length = source.read(&mut buffer)?;
        let Some(piece @ [first, ..]) = buffer.get(..length) else {
            break;
        };
        if pending && *first != b'\n' {
            destination.write_all(b"\r")?;
        }
        pending = piece.ends_with(b"\r");
        let piece = if pending {
            piece.get(..length - 1).unwrap_or_default()
        } else {
            piece
        };
        write_without_returns(piece, destination)?;
        last = if pending {
            b'\r'
        } else {
            piece.last().copied().unwrap_or(last)
        };
    }
    if last != b'\n' {
        destination.write_all(b"\n")?;
    }
    destination.flush()
}

fn write_without_returns(piece: &[u8], destination: &mut impl Write) -> io::Result<()> {
    for line in piece.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => {
                destination.write_all(text)?;
                destination.write_all(b"\n")?;
            }
            None => destination.write_all(line)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        convert(&mut &*text, &mut out).unwrap();
        out
    }

    /// Gives its bytes one at a time: every cut between two pieces happens.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(1);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn line_ends_become_those_of_unix_and_the_last_line_has_one() {
        for (text, expected) in [
            (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]),
            (b"a\nb", b"a\nb\n"),
            (b"a\rb\r\r\n", b"a\rb\r\n"),
            (b"a\r", b"a\n"),
            (b"", b""),
            (b"\r\n", b"\n"),
        ] {
            assert_eq!(converted(text), expected, "{text:?}");
            let mut out = Vec::new();
            convert(&mut Drops(text), &mut out).unwrap();
            assert_eq!(out, expected, "{text:?} byte by byte");
        }
    }

    #[test]
    fn a_line_longer_than_any_buffer_arrives_whole() {
        let text = format!("echo ok #{}\r\nnext\r\n", "x".repeat(300_000));
        assert_eq!(converted(text.as_bytes()), text.replace("\r\n", "\n").into_bytes());
    }
}
