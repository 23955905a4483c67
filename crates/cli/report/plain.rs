//! Lines on standard output: pipes, logs, CI.

use std::io::Write as _;

use bakelite_engine::event::Event;

use super::Reporter;
use super::lines::Lines;
use super::spans::Spans;

/// Writes lines to standard output.
pub(super) struct Plain {
    lines: Lines,
}

impl Plain {
    pub(super) fn new(color: bool, timestamp: bool) -> Self {
        Self {
            lines: Lines::new(color, timestamp),
        }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event, _: &Spans) {
        if let Some(text) = self.lines.text(event) {
            // A closed pipe must not end the run: the bake goes on and cleans up.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }
}
