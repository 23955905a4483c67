//! What people and machines see: diagnostics, and the events of a run. One thread owns the output; it is joined before the program
//! ends, so that no last line is lost and a stopped terminal stalls nothing but itself.

pub(crate) mod diagnostic;
mod duration;
mod event_log;
mod files;
pub(crate) mod hidden;
pub(crate) mod json;
mod legible;
mod lines;
pub(crate) mod log;
mod machine;
mod masking;
mod page;
mod plain;
mod silence;
mod spans;
mod terminal;
mod timing;
mod trace;

pub(crate) use machine::{diagnostics as machine_diagnostics, record as machine_record, said as machine_line};

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bakelite_engine::backpressure::Reader;
use bakelite_engine::event::Event;
use bakelite_engine::events::Events;
use hidden::Hidden;
use legible::Legible;
use log::Log;
use masking::Masking;
use spans::Spans;
use tokio::sync::oneshot;

use crate::exit::Failure;

/// A consumer of events.
trait Reporter: Send {
    /// Shows one, its secrets masked already. The spans contain it.
    fn event(&mut self, event: &Event, spans: &Spans);

    /// Time has passed without an event.
    fn tick(&mut self, _spans: &Spans, _now: SystemTime) {}

    /// No more events come.
    fn end(&mut self, _spans: &Spans, _now: SystemTime) {}
}

/// How long no event comes before reporters are told of the time that passes.
const TICK: Duration = Duration::from_millis(200);

/// What of a run is reported beside its lines.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// The run's id.
    pub(crate) run: String,
    /// `-timing`: the steps of each bake, at the end.
    pub(crate) timing: bool,
    /// `-log-events`: all events, as they come.
    pub(crate) log_events: Option<PathBuf>,
    /// `-trace`: the steps in the Chrome trace format.
    pub(crate) trace: Option<PathBuf>,
    /// `-report`: the timeline as an HTML page.
    pub(crate) report: Option<PathBuf>,
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
    ended: oneshot::Receiver<()>,
}

impl Reporting {
    /// Starts showing events in a style; secrets are masked before anything sees them. `explain` may add help to an
    /// event before that.
    pub(crate) fn start(
        style: Style,
        hidden: Hidden,
        extras: &Extras,
        log: &Log,
        explain: impl Fn(&mut Event) + Send + 'static,
    ) -> Result<Reporting, Failure> {
        let run = extras.run.as_str();
        let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
        if extras.timing {
            let machine_readable = style == Style::Machine;
            reporters.push(Box::new(timing::Timing { machine_readable }));
        }
        reporters.push(match style {
            Style::Plain { color, timestamp } => Box::new(Legible::new(color, plain::Plain::new(color, timestamp))),
            Style::Terminal { color, timestamp } => {
                Box::new(Legible::new(color, terminal::Terminal::new(color, timestamp)))
            }
            Style::Machine => Box::new(machine::Machine::new(std::io::stdout())),
        });
        if matches!(style, Style::Plain { .. }) {
            reporters.push(Box::new(silence::Silence::new()));
        }
        if let Some(path) = &extras.log_events {
            reporters.push(Box::new(event_log::EventLog::open(path, run)?));
        }
        let files: [(_, files::Render); 2] = [(&extras.trace, trace::render), (&extras.report, page::render)];
        for (path, render) in files {
            if let Some(path) = path {
                reporters.push(Box::new(files::AtEnd::create(path, run, render)?));
            }
        }
        log.hide(&hidden);
        reporters.extend(log.reporter(run));
        let (sender, receiver) = channel();
        let (events, reader) = Events::read_by(sender);
        let (ends, ended) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("reporter".into()).spawn(move || {
            show(&receiver, &reader, &mut reporters, Masking::new(hidden), &explain);
            drop(ends);
        });
        let thread = spawned.map_err(|error| Failure::new("failed to start the reporter").because(&error))?;
        Ok(Reporting { events, thread, ended })
    }

    /// Waits until everything is shown. All other senders of events must be gone. Dropping the future leaves the thread to itself:
    /// whoever reads its output has stopped.
    pub(crate) async fn finish(self) {
        drop(self.events);
        // Nothing is ever sent: it is gone with the thread.
        let _ = self.ended.await;
        // A reporter that panicked has shown what it could; the run's result stands.
        let _ = self.thread.join();
    }
}

fn show(
    receiver: &Receiver<Event>,
    reader: &Reader,
    reporters: &mut [Box<dyn Reporter>],
    mut masking: Masking,
    explain: &dyn Fn(&mut Event),
) {
    let mut spans = Spans::default();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(mut event) => {
                reader.took(&event);
                explain(&mut event);
                masking.pass(event, &mut |event| {
                    spans.add(event);
                    for reporter in reporters.iter_mut() {
                        reporter.event(event, &spans);
                    }
                });
            }
            Err(RecvTimeoutError::Timeout) => reporters.iter_mut().for_each(|one| one.tick(&spans, SystemTime::now())),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    for reporter in reporters.iter_mut() {
        reporter.end(&spans, SystemTime::now());
    }
}
