//! What a command prints, said line by line (communicators.md §4): the words of remote and of local commands look the same.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::communicator::{Exit, Output, Running};
use crate::events::Ui;

/// A line without an end is said in pieces of this many bytes, so that no command can fill the memory.
const LONGEST_LINE: usize = 1 << 20;

/// Says what a command prints until it ends; answers how it ended. Its standard input is closed at once.
pub async fn stream(mut running: Running, ui: &Ui) -> Exit {
    drop(running.stdin.take());
    let mut printed = Printed::new(ui);
    while let Some(output) = running.output.recv().await {
        printed.hear(&output);
    }
    printed.end();
    running.exit.await.unwrap_or(Exit::Disconnected)
}

/// Says what comes out of two pipes until both have ended.
pub(crate) async fn stream_pipes(
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
                printed.stdout.feed(from_stdout.get(..length).unwrap_or_default(), |line| ui.output(line));
            }
            length = stderr.read(&mut from_stderr), if stderr_open => {
                let length = length?;
                stderr_open = length > 0;
                printed.stderr.feed(from_stderr.get(..length).unwrap_or_default(), |line| ui.error_output(line));
            }
        }
    }
    printed.end();
    Ok(())
}

/// Both outputs of a command on their way to people.
struct Printed<'a> {
    ui: &'a Ui,
    stdout: Lines,
    stderr: Lines,
}

impl<'a> Printed<'a> {
    fn new(ui: &'a Ui) -> Self {
        Self {
            ui,
            stdout: Lines::default(),
            stderr: Lines::default(),
        }
    }

    fn hear(&mut self, output: &Output) {
        match output {
            Output::Stdout(bytes) => self.stdout.feed(bytes, |line| self.ui.output(line)),
            Output::Stderr(bytes) => self.stderr.feed(bytes, |line| self.ui.error_output(line)),
        }
    }

    /// Says the last lines, which have no end.
    fn end(&mut self) {
        self.stdout.end(|line| self.ui.output(line));
        self.stderr.end(|line| self.ui.error_output(line));
    }
}

/// Splits a stream into lines as they are shown.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut say: impl FnMut(String)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST_LINE {
                self.end(&mut say);
            }
        }
    }

    fn end(&mut self, mut say: impl FnMut(String)) {
        if let Some(line) = shown(&self.partial) {
            say(line);
        }
        self.partial.clear();
    }
}

/// A line as it is shown: without trailing white space, without what a carriage return has overwritten; an empty one is not.
fn shown(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii_end();
    let start = line.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(line.get(start..).unwrap_or_default()).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let (mut lines, mut said) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece.as_bytes(), |line| said.push(line));
        }
        lines.end(|line| said.push(line));
        said
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
        let said = lines(&[&long[..LONGEST_LINE], &long[LONGEST_LINE..]]);
        assert_eq!(said.iter().map(String::len).sum::<usize>(), long.len());
        assert!(said.len() > 1);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_with_replacements() {
        let (mut split, mut said) = (Lines::default(), Vec::new());
        split.feed(b"a\xffb\n", |line| said.push(line));
        assert_eq!(said, ["a\u{fffd}b"]);
    }
}
