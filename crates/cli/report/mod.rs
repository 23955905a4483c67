//! What people and machines see: diagnostics, and the events of a run. One thread owns the output; it is joined before the program
//! ends, so that no last line is lost and a stopped terminal stalls nothing but itself.

pub(crate) mod diagnostic;
mod duration;
mod event_log;
pub(crate) mod hidden;
pub(crate) mod json;
mod lines;
pub(crate) mod log;
mod machine;
mod plain;
mod terminal;

pub(crate) use machine::said as machine_line;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use bakelite_engine::event::{Event, What};
use bakelite_engine::events::Events;
use bakelite_template::secrets::Secrets;
use hidden::Hidden;
use log::Log;

use crate::exit::Failure;

/// A consumer of events.
trait Reporter: Send {
    /// Shows one, its secrets masked already.
    fn event(&mut self, event: &Event);
}

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines, coloured or not, with the time before them or not.
    Plain {
        /// With colours.
        color: bool,
        /// With the time.
        timestamp: bool,
    },
    /// Lines, and below them live progress.
    Terminal {
        /// With colours.
        color: bool,
        /// With the time.
        timestamp: bool,
    },
    /// Comma-separated lines for machines.
    Machine,
}

/// The thread that shows events.
pub(crate) struct Reporting {
    /// Where events go.
    pub(crate) events: Events,
    thread: JoinHandle<()>,
}

impl Reporting {
    /// Starts showing events in a style; secrets are masked before anything sees them.
    pub(crate) fn start(style: Style, hidden: Hidden, events: Option<&Path>, log: &Log) -> Result<Reporting, Failure> {
        let mut reporters: Vec<Box<dyn Reporter>> = vec![match style {
            Style::Plain { color, timestamp } => Box::new(plain::Plain::new(color, timestamp)),
            Style::Terminal { color, timestamp } => Box::new(terminal::Terminal::new(color, timestamp)),
            Style::Machine => Box::new(machine::Machine::default()),
        }];
        if let Some(path) = events {
            reporters.push(Box::new(event_log::EventLog::create(path)?));
        }
        log.hide(&hidden);
        reporters.extend(log.reporter());
        let (sender, receiver) = channel();
        let spawned = std::thread::Builder::new()
            .name("reporter".into())
            .spawn(move || show(&receiver, &mut reporters, hidden));
        let thread = spawned.map_err(|error| Failure::new("start the reporter").because(&error))?;
        Ok(Reporting {
            events: Events::new(sender),
            thread,
        })
    }

    /// Waits until everything is shown. All other senders of events must be gone.
    pub(crate) fn finish(self) {
        drop(self.events);
        // A reporter that panicked has shown what it could; the run's result stands.
        let _ = self.thread.join();
    }
}

fn show(receiver: &Receiver<Event>, reporters: &mut [Box<dyn Reporter>], mut hidden: Hidden) {
    for mut event in receiver {
        mask(&mut event.what, hidden.now());
        for reporter in reporters.iter_mut() {
            reporter.event(&event);
        }
    }
}

/// Masks every text of an event that a template or an instance had a part in.
fn mask(what: &mut What, secrets: &Secrets) {
    use bakelite_engine::event::{BuildEvent, RunEvent, TransferEvent};
    let hide = |text: &mut String| *text = secrets.mask(text);
    match what {
        What::Message(message) => hide(&mut message.text),
        What::Record(record) => record.data.iter_mut().for_each(hide),
        What::Build(BuildEvent::Errored { error, .. }) => hide(error),
        What::Transfer(TransferEvent::Started { name, .. }) => hide(name),
        What::Run(RunEvent::Finished { outcomes, .. }) => {
            for outcome in outcomes {
                outcome.error.iter_mut().for_each(hide);
                for artifact in &mut outcome.artifacts {
                    hide(&mut artifact.description);
                    artifact.files.iter_mut().for_each(hide);
                }
            }
        }
        What::Build(_) | What::Step(_) | What::Transfer(_) | What::Run(_) => {}
    }
}
