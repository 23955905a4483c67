//! What a command prints, said line by line: the output of remote and of local commands looks the same.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::communicator::{Exit, Output, Running};
use crate::event::Level;
use crate::events::Ui;

/// A line without an end is said in pieces of this many bytes, so that no command can fill the memory.
const LONGEST_LINE: usize = 1 << 20;

/// Says what a command prints until it ends; answers how it ended. Its standard input is closed at once. While the reader is behind,
/// nothing more is taken, so that the command waits.
pub async fn stream(mut running: Running, ui: &Ui) -> Exit {
    drop(running.stdin.take());
    let mut printed = Printed::new(ui);
    while let Some(output) = running.output.recv().await {
        match &output {
            Output::Stdout(bytes) => printed.stdout.hear(bytes).await,
            Output::Stderr(bytes) => printed.stderr.hear(bytes).await,
        }
    }
    printed.end().await;
    running.exit.await.unwrap_or(Exit::Disconnected)
}

/// Prints what comes out of the two outputs of a local process until both have ended; an error is one of reading them.
pub async fn stream_pipes(
    mut stdout: impl AsyncRead + Unpin,
    mut stderr: impl AsyncRead + Unpin,
    ui: &Ui,
) -> std::io::Result<()> {
    let mut printed = Printed::new(ui);
    let mut from_stdout = vec![0; 16 * 1024];
    let mut from_stderr = from_stdout.clone();
    let (mut stdout_open, mut stderr_open) = (true, true);
    while stdout_open || stderr_open {
        tokio::select! {
            length = stdout.read(&mut from_stdout), if stdout_open => {
                let length = length?;
                stdout_open = length > 0;
                printed.stdout.hear(from_stdout.get(..length).unwrap_or_default()).await;
            }
            length = stderr.read(&mut from_stderr), if stderr_open => {
                let length = length?;
                stderr_open = length > 0;
                printed.stderr.hear(from_stderr.get(..length).unwrap_or_default()).await;
            }
        }
    }
    printed.end().await;
    Ok(())
}

/// Both outputs of a command on their way to people.
struct Printed<'a> {
    stdout: Voice<'a>,
    stderr: Voice<'a>,
}

impl<'a> Printed<'a> {
    fn new(ui: &'a Ui) -> Self {
        let voice = |level| Voice {
            ui,
            level,
            lines: Lines::default(),
        };
        Self {
            stdout: voice(Level::Output),
            stderr: voice(Level::ErrorOutput),
        }
    }

    /// Says the last lines, which have no end.
    async fn end(&mut self) {
        self.stdout.end().await;
        self.stderr.end().await;
    }
}

/// One output of a command.
struct Voice<'a> {
    ui: &'a Ui,
    level: Level,
    lines: Lines,
}

impl Voice<'_> {
    async fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = self.lines.add(piece);
            self.say(line).await;
        }
    }

    async fn end(&mut self) {
        let line = self.lines.end();
        self.say(line).await;
    }

    async fn say(&self, line: Option<Line>) {
        if let Some(Line { text, goes_on }) = line {
            self.ui.line(self.level, text, goes_on).await;
        }
    }
}

/// Splits a stream into lines as they are shown.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    /// The start of the line was said already.
    is_cut: bool,
}

/// A line as it is shown, or a piece of one that goes on.
#[derive(Debug, PartialEq)]
struct Line {
    text: String,
    goes_on: bool,
}

impl Lines {
    /// Adds a piece, which may end a line.
    fn add(&mut self, piece: &[u8]) -> Option<Line> {
        self.partial.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            self.end()
        } else if self.partial.len() >= LONGEST_LINE {
            self.cut()
        } else {
            None
        }
    }

    /// The line up to here. One whose start was said has an end in any case.
    fn end(&mut self) -> Option<Line> {
        let text = shown(self.partial.trim_ascii_end());
        self.partial.clear();
        let was_cut = std::mem::take(&mut self.is_cut);
        (was_cut || !text.is_empty()).then_some(Line { text, goes_on: false })
    }

    /// The start of a line that is too long, up to its last whole character.
    fn cut(&mut self) -> Option<Line> {
        let rest = self.partial.split_off(self.partial.len() - unfinished(&self.partial));
        let text = shown(&self.partial);
        self.partial = rest;
        self.is_cut |= !text.is_empty();
        (!text.is_empty()).then_some(Line { text, goes_on: true })
    }
}

/// A line as it is shown: without what a carriage return has overwritten.
fn shown(line: &[u8]) -> String {
    let start = line.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    String::from_utf8_lossy(line.get(start..).unwrap_or_default()).into_owned()
}

/// How many bytes at the end may become something else by what follows: the start of a character, half of a line break.
fn unfinished(bytes: &[u8]) -> usize {
    let mut end = bytes.iter().rev().take(3);
    let Some(start) = end.position(|byte| !(0x80..0xc0).contains(byte)) else {
        return 0;
    };
    let length = start + 1;
    let whole = match bytes.get(bytes.len() - length) {
        Some(b'\r') if length == 1 => return 1,
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xff) => 4,
        _ => 1,
    };
    if whole > length { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(fed: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut said) = (Lines::default(), Vec::new());
        for bytes in fed {
            for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                said.extend(lines.add(piece));
            }
        }
        said.extend(lines.end());
        said
    }

    fn lines(fed: &[&str]) -> Vec<String> {
        let fed: Vec<&[u8]> = fed.iter().map(|piece| piece.as_bytes()).collect();
        pieces(&fed).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_joined_across_pieces_and_the_last_needs_no_end() {
        assert_eq!(lines(&["on", "e\ntw", "o\nthree"]), ["one", "two", "three"]);
    }

    #[test]
    fn what_a_carriage_return_overwrites_is_not_shown() {
        assert_eq!(lines(&["10%\r50%\r100%\r\nnext\r\n"]), ["100%", "next"]);
    }

    #[test]
    fn trailing_space_and_empty_lines_are_dropped() {
        assert_eq!(lines(&["a \t\n\n   \n  b\n"]), ["a", "  b"]);
    }

    #[test]
    fn a_line_without_end_does_not_grow_for_ever() {
        let long = "x".repeat(LONGEST_LINE * 2 + 5);
        let said = pieces(&[
            &long.as_bytes()[..LONGEST_LINE],
            &long.as_bytes()[LONGEST_LINE..],
            b"\nnext",
        ]);
        assert_eq!(said.iter().map(|line| line.text.len()).sum::<usize>(), long.len() + 4);
        assert_eq!(
            said.iter().map(|line| line.goes_on).collect::<Vec<_>>(),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_cut_is_not_seen_in_what_is_said() {
        for end in [" é", "\u{1f600}x", "a b", "  c", "\r\n", "\n"] {
            for before in 0..end.len() {
                let start = "x".repeat(LONGEST_LINE - before);
                let whole = start.clone() + end;
                let (one, other) = whole.as_bytes().split_at(LONGEST_LINE);
                let said: String = pieces(&[one, other]).into_iter().map(|line| line.text).collect();
                assert!(said == start + end.trim_end(), "{end:?} {before}");
            }
        }
    }

    #[test]
    fn a_line_that_was_cut_has_an_end() {
        let long = "x".repeat(LONGEST_LINE);
        let said = pieces(&[long.as_bytes(), b"\n"]);
        let end = Line {
            text: String::new(),
            goes_on: false,
        };
        assert_eq!(said.last(), Some(&end));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_with_replacements() {
        assert_eq!(pieces(&[b"a\xffb\n"])[0].text, "a\u{fffd}b");
    }
}
