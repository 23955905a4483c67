//! A terminal: the same lines, and below them one live line per build with its step, and one per transfer.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use bakelite_engine::event::{BuildEvent, Event, StepEvent, TransferEvent, What};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Reporter;
use super::lines::Lines;

/// Draws on the terminal.
pub(super) struct Terminal {
    lines: Lines,
    screen: MultiProgress,
    builds: BTreeMap<String, ProgressBar>,
    transfers: BTreeMap<u64, ProgressBar>,
}

impl Terminal {
    pub(super) fn new(color: bool, timestamp: bool) -> Self {
        let lines = Lines::new(color, timestamp);
        Self {
            lines,
            screen: MultiProgress::new(),
            builds: BTreeMap::new(),
            transfers: BTreeMap::new(),
        }
    }

    fn build(&mut self, build: &str, event: &BuildEvent) {
        match event {
            BuildEvent::Started => {
                let bar = self.screen.add(ProgressBar::new_spinner());
                bar.set_style(style("{spinner} {prefix}: {msg} [{elapsed}]"));
                bar.set_prefix(build.to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                self.builds.insert(build.to_owned(), bar);
            }
            BuildEvent::Finished { .. } | BuildEvent::Errored { .. } | BuildEvent::Skipped => {
                if let Some(bar) = self.builds.remove(build) {
                    bar.finish_and_clear();
                }
            }
        }
    }

    fn step(&mut self, build: &str, event: &StepEvent) {
        if let (Some(bar), StepEvent::Started { step }) = (self.builds.get(build), event) {
            bar.set_message(step.clone());
            bar.reset_elapsed();
        }
    }

    fn transfer(&mut self, event: &TransferEvent) {
        match event {
            TransferEvent::Started { id, name, total } => {
                let bar = self
                    .screen
                    .add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
                bar.set_style(style("  {msg} {bytes}/{total_bytes} {bytes_per_sec}"));
                bar.set_message(name.clone());
                self.transfers.insert(*id, bar);
            }
            TransferEvent::Progress { id, done } => {
                if let Some(bar) = self.transfers.get(id) {
                    bar.set_position(*done);
                }
            }
            TransferEvent::Finished { id } => {
                if let Some(bar) = self.transfers.remove(id) {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

impl Reporter for Terminal {
    fn event(&mut self, event: &Event) {
        if let Some(text) = self.lines.text(event) {
            // A terminal that is gone must not end the run.
            let _ = self.screen.suspend(|| writeln!(std::io::stdout().lock(), "{text}"));
        }
        let build = event.build.as_deref().unwrap_or_default();
        match &event.what {
            What::Build(event) => self.build(build, event),
            What::Step(event) => self.step(build, event),
            What::Transfer(event) => self.transfer(event),
            What::Run(_) | What::Message(_) | What::Record(_) => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
