//! All events as JSON lines in a file (`-log-events`), secrets masked like everywhere. Runs one after another append to it, so that a
//! retry keeps what happened before; each line has its run.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bakelite_engine::event::Event;
use serde::Serialize;

use super::Reporter;
use super::spans::Spans;
use crate::exit::Failure;

/// Writes events to a file.
pub(super) struct EventLog {
    run: String,
    file: BufWriter<File>,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    run: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

impl EventLog {
    pub(super) fn open(path: &Path, run: &str) -> Result<EventLog, Failure> {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        let file =
            opened.map_err(|error| Failure::new(format!("failed to open `{}`", path.display())).because(&error))?;
        Ok(EventLog {
            run: run.to_owned(),
            file: BufWriter::new(file),
        })
    }
}

impl Reporter for EventLog {
    fn event(&mut self, event: &Event, _: &Spans) {
        let line = Line { run: &self.run, event };
        // A full disk must not end the run.
        let _ = serde_json::to_writer(&mut self.file, &line)
            .map(|()| self.file.write_all(b"\n").and_then(|()| self.file.flush()));
    }
}
