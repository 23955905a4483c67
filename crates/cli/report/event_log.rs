//! All events as JSON lines in a file (`-log-events`), secrets masked like everywhere.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bakelite_engine::event::Event;

use super::Reporter;
use crate::exit::Failure;

/// Writes events to a file.
pub(super) struct EventLog {
    file: BufWriter<File>,
}

impl EventLog {
    pub(super) fn create(path: &Path) -> Result<EventLog, Failure> {
        let file = File::create(path)
            .map_err(|error| Failure::new(format!("failed to create `{}`", path.display())).because(&error))?;
        Ok(EventLog {
            file: BufWriter::new(file),
        })
    }
}

impl Reporter for EventLog {
    fn event(&mut self, event: &Event) {
        // A full disk must not end the run.
        let _ = serde_json::to_writer(&mut self.file, event)
            .map(|()| self.file.write_all(b"\n").and_then(|()| self.file.flush()));
    }
}
