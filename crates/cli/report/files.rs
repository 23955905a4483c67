//! What is written to a file at the end of a run: `-trace` and `-report`. The file is made before the run begins, so that a path that is
//! not writable is an error then, and not after an hour.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bakelite_engine::event::Event;

use super::Reporter;
use super::spans::Spans;
use crate::exit::Failure;

/// What is made of a run: its spans, its id, and the moment.
pub(super) type Render = fn(&Spans, &str, SystemTime) -> String;

/// A file that shows the run.
pub(super) struct AtEnd {
    path: PathBuf,
    file: File,
    run: String,
    render: Render,
}

impl AtEnd {
    pub(super) fn create(path: &Path, run: &str, render: Render) -> Result<AtEnd, Failure> {
        let file = File::create(path)
            .map_err(|error| Failure::new(format!("failed to create `{}`", path.display())).because(&error))?;
        Ok(AtEnd {
            path: path.to_owned(),
            file,
            run: run.to_owned(),
            render,
        })
    }
}

impl Reporter for AtEnd {
    fn event(&mut self, _: &Event, _: &Spans) {}

    fn end(&mut self, spans: &Spans, now: SystemTime) {
        let text = (self.render)(spans, &self.run, now);
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            let failure = Failure::new(format!("failed to write `{}`", self.path.display())).because(&error);
            crate::print::print_error(&failure.words());
        }
    }
}
