//! The log for those who look into a run (`PACKER_LOG`, `PACKER_LOG_PATH`): what the crates trace and what happens in the run, line by
//! line, secrets masked. Nobody reads it to see how a bake goes: that is what the other reporters are for.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bakelite_engine::event::{BuildEvent, Event, Level as Voice, RunEvent, StepEvent, TransferEvent, WaitEvent, What};
use bakelite_engine::untrusted::visible;
use tracing::{Level, debug, error, info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::Reporter;
use super::hidden::Hidden;
use super::spans::Spans;
use crate::exit::Failure;

/// The log of this process; without one, everything here does nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    hidden: Option<Arc<Mutex<Hidden>>>,
    on_errors: bool,
}

impl Log {
    /// Starts logging, if it is asked for: by the values of `PACKER_LOG` and of `PACKER_LOG_PATH`, a path in this directory.
    pub(crate) fn start(asked: Option<&str>, file: Option<&str>, directory: &Path) -> Result<Log, Failure> {
        let asked = asked.filter(|value| *value != "0");
        if asked.is_none() && file.is_none() {
            return Ok(Log::default());
        }
        let on_errors = file.is_none();
        let output = match file {
            Some(path) => Output::File(open(&directory.join(path))?),
            None => Output::Errors,
        };
        let hidden = Arc::new(Mutex::new(Hidden::default()));
        let lines = Lines {
            output: Arc::new(output),
            hidden: hidden.clone(),
        };
        let level = asked.map_or(Level::DEBUG, level);
        let format = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines);
        let subscriber = tracing_subscriber::registry().with(format).with(filter(level));
        // There is one, and it is set once: `main` starts the log.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(Log {
            hidden: Some(hidden),
            on_errors,
        })
    }

    /// Hides these secrets from now on.
    pub(crate) fn hide(&self, secrets: &Hidden) {
        if let Some(hidden) = &self.hidden {
            *hidden.lock().unwrap_or_else(PoisonError::into_inner) = secrets.clone();
        }
    }

    /// Does it share standard error with live lines?
    pub(crate) fn is_on_errors(&self) -> bool {
        self.on_errors
    }

    /// A reporter that logs what happens in this run.
    pub(super) fn reporter(&self, run: &str) -> Option<Box<dyn Reporter>> {
        let logged = || Box::new(Logged { run: run.to_owned() }) as Box<dyn Reporter>;
        self.hidden.is_some().then(logged)
    }
}

/// The level of that name; `1` and whatever else means that there shall be a log.
fn level(name: &str) -> Level {
    match name.to_ascii_lowercase().as_str() {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "trace" => Level::TRACE,
        _ => Level::DEBUG,
    }
}

/// Our own crates as asked; of libraries only what is worth knowing: the SDK's details hold signatures and bodies of requests, and what
/// it says of profiles the access keys and external ids in them.
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(LevelFilter::from_level(level.min(Level::INFO)))
        .with_target("aws_config", level.min(Level::WARN))
        .with_target("bakelite", level)
}

fn open(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(|error| Failure::new(format!("failed to open the log `{}`", path.display())).because(&error))
}

#[derive(Debug)]
enum Output {
    Errors,
    File(File),
}

/// Where the lines go.
struct Lines {
    output: Arc<Output>,
    hidden: Arc<Mutex<Hidden>>,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line {
            bytes: Vec::new(),
            output: self.output.clone(),
            hidden: self.hidden.clone(),
        }
    }
}

/// One line, masked and written when it is complete.
struct Line {
    bytes: Vec<u8>,
    output: Arc<Output>,
    hidden: Arc<Mutex<Hidden>>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let text = hidden.now().mask(&String::from_utf8_lossy(&self.bytes));
        let text = entry(&text);
        // A log that cannot be written must not end the run.
        let _ = match &*self.output {
            Output::Errors => std::io::stderr().lock().write_all(text.as_bytes()),
            Output::File(file) => (&mut &*file).write_all(text.as_bytes()),
        };
    }
}

/// One entry of the log: nothing in it that a terminal acts on, and no line that looks like another entry.
fn entry(text: &str) -> String {
    let lines = visible(text.trim_end()).replace('\n', "\n    ");
    lines + "\n"
}

/// What happens in the run, as a target of the log.
const RUN: &str = "bakelite::run";

/// Events as lines of the log.
struct Logged {
    run: String,
}

impl Reporter for Logged {
    fn event(&mut self, event: &Event, _: &Spans) {
        let build = event.build.as_deref().unwrap_or("-");
        match &event.what {
            What::Run(RunEvent::Started { builds }) => {
                let version = env!("CARGO_PKG_VERSION");
                info!(target: RUN, run = self.run, version, ?builds, "run started");
            }
            What::Run(RunEvent::Interrupted { signal, level }) => info!(target: RUN, signal, level, "interrupted"),
            What::Run(RunEvent::Finished { took, cancelled, .. }) => {
                info!(target: RUN, ?took, cancelled, "run finished");
            }
            What::Build(BuildEvent::Started) => info!(target: RUN, build, "started"),
            What::Build(BuildEvent::Finished { took }) => info!(target: RUN, build, ?took, "finished"),
            What::Build(BuildEvent::Errored { took, error }) => {
                error!(target: RUN, build, ?took, error = error.text, "failed");
            }
            What::Build(BuildEvent::Skipped) => info!(target: RUN, build, "not started: the run was cancelled"),
            What::Step(StepEvent::Started { step }) => info!(target: RUN, build, step, "step started"),
            What::Step(StepEvent::Finished { step, took, ok }) => {
                info!(target: RUN, build, step, ?took, ok, "step finished");
            }
            What::Message(message) if message.level == Voice::Warning => warn!(target: RUN, build, "{}", message.text),
            What::Message(message) if message.level == Voice::Error => error!(target: RUN, build, "{}", message.text),
            What::Message(message) => debug!(target: RUN, build, "{}", message.text),
            What::Wait(WaitEvent::Started { id, what, .. }) => {
                debug!(target: RUN, build, wait = id, "waiting for {what}");
            }
            What::Wait(WaitEvent::Finished { id }) => debug!(target: RUN, build, wait = id, "waited"),
            What::Transfer(TransferEvent::Started { id, name, total }) => {
                debug!(target: RUN, build, transfer = id, total, "transfer of {name} started");
            }
            What::Transfer(TransferEvent::Finished { id }) => {
                debug!(target: RUN, build, transfer = id, "transfer finished");
            }
            What::Transfer(TransferEvent::Progress { .. }) | What::Record(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_says_of_profiles_is_not_logged() {
        for level in [Level::INFO, Level::DEBUG, Level::TRACE] {
            let filter = filter(level);
            assert!(!filter.would_enable("aws_config::profile::credentials", &Level::INFO));
            assert!(filter.would_enable("aws_config::profile::credentials", &Level::WARN));
            assert!(filter.would_enable("bakelite_engine::run", &Level::INFO));
        }
    }

    #[test]
    fn an_entry_looks_like_no_other_and_moves_no_cursor() {
        assert_eq!(
            entry("INFO said: a\u{1b}[2J\n2026-01-01 INFO forged\n"),
            "INFO said: a\\x1b[2J\n    2026-01-01 INFO forged\n"
        );
    }
}
