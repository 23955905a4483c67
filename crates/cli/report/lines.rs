//! Events as lines for people, in the shape that tools around Packer read (language.md §15). Where the lines go is the business of
//! the plain and of the terminal reporter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bakelite_engine::event::{BuildEvent, BuildSummary, Event, Level, Message, RunEvent, What};

use super::duration::words;

/// Colours of builds, in rotation: green, cyan, magenta, yellow, blue.
const BUILD_COLORS: [u8; 5] = [32, 36, 35, 33, 34];
const ERROR_COLOR: u8 = 31;

/// Turns events into text.
pub(super) struct Lines {
    color: bool,
    timestamp: bool,
    colors: BTreeMap<String, u8>,
}

impl Lines {
    pub(super) fn new(color: bool, timestamp: bool) -> Self {
        Self {
            color,
            timestamp,
            colors: BTreeMap::new(),
        }
    }

    /// The text of an event, without the last newline; `None` for one that has no lines.
    pub(super) fn text(&mut self, event: &Event) -> Option<String> {
        let build = event.build.as_deref().unwrap_or_default();
        match &event.what {
            What::Run(event) => self.run(event),
            What::Build(BuildEvent::Finished { took }) => Some(self.said(
                build,
                false,
                &format!("Build '{build}' finished after {}.", words(*took)),
            )),
            What::Build(BuildEvent::Errored { took, error }) => Some(self.said(
                build,
                true,
                &format!("Build '{build}' errored after {}: {error}", words(*took)),
            )),
            What::Message(message) => Some(self.message(build, message)),
            What::Build(BuildEvent::Started) | What::Step(_) | What::Transfer(_) | What::Record(_) => None,
        }
    }

    fn run(&mut self, event: &RunEvent) -> Option<String> {
        match event {
            RunEvent::Started { builds } => {
                self.colors = builds.iter().cloned().zip(BUILD_COLORS.into_iter().cycle()).collect();
                let introductions: Vec<String> = builds
                    .iter()
                    .map(|build| self.said(build, false, &format!("{build}: output will be in this color.")))
                    .collect();
                (self.color && !builds.is_empty()).then(|| introductions.join("\n") + "\n")
            }
            RunEvent::Interrupted { signal, level } => Some(self.plain(match level {
                1 => format!("Cancelling after receiving {signal}: what is temporary is removed (again to hurry)"),
                2 => format!("Received {signal} again: graceful waits are skipped (again to leave at once)"),
                _ => "Leaving at once. `bakelite gc` removes what is left.".to_owned(),
            })),
            RunEvent::Finished {
                took,
                outcomes,
                cancelled,
            } => Some(self.plain(closing(&words(*took), outcomes, *cancelled))),
        }
    }

    fn message(&self, build: &str, message: &Message) -> String {
        let speaker = match &message.post_processor {
            Some(kind) => format!("{build} ({kind})"),
            None => build.to_owned(),
        };
        let text = message.text.trim_end();
        let lines: Vec<String> = text
            .split('\n')
            .map(|line| format!("==> {speaker}: {line}").trim_end().to_owned())
            .collect();
        self.said(
            build,
            matches!(message.level, Level::Error | Level::ErrorOutput),
            &lines.join("\n"),
        )
    }

    /// Coloured as the build or as an error, with the time before it.
    fn said(&self, build: &str, is_error: bool, text: &str) -> String {
        let color = if is_error {
            Some(&ERROR_COLOR)
        } else {
            self.colors.get(build)
        };
        match color {
            Some(color) if self.color => self.plain(format!("\u{1b}[1;{color}m{text}\u{1b}[0m")),
            _ => self.plain(text.to_owned()),
        }
    }

    fn plain(&self, text: String) -> String {
        if self.timestamp {
            format!("{}: {text}", local_time())
        } else {
            text
        }
    }
}

/// The closing lines: how long it took, what failed, what was made.
fn closing(took: &str, outcomes: &[BuildSummary], cancelled: bool) -> String {
    let mut text = format!("\n==> Wait completed after {took}\n");
    let failed: Vec<&BuildSummary> = outcomes.iter().filter(|outcome| outcome.error.is_some()).collect();
    if cancelled {
        text.push_str("\nCleanly cancelled builds after being interrupted.");
        return text + &leftovers(outcomes);
    }
    if !failed.is_empty() {
        text.push_str("\n==> Some builds didn't complete successfully and had errors:\n");
        for outcome in &failed {
            let error = outcome.error.as_deref().unwrap_or_default();
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "--> {}: {error}", outcome.name);
        }
    }
    text.push_str(&leftovers(outcomes));
    let made = outcomes
        .iter()
        .flat_map(|outcome| outcome.artifacts.iter().map(|artifact| (&outcome.name, artifact)));
    let made: Vec<String> = made
        .map(|(name, artifact)| format!("--> {name}: {}", artifact.description))
        .collect();
    if made.is_empty() {
        text + "\n==> Builds finished but no artifacts were created."
    } else {
        text + "\n==> Builds finished. The artifacts of successful builds are:\n" + &made.join("\n")
    }
}

fn leftovers(outcomes: &[BuildSummary]) -> String {
    let left: Vec<String> = outcomes
        .iter()
        .flat_map(|outcome| {
            outcome
                .leftovers
                .iter()
                .map(|what| format!("--> {}: {what}", outcome.name))
        })
        .collect();
    if left.is_empty() {
        return String::new();
    }
    format!(
        "\n==> These temporary resources are still there; `bakelite gc` removes them:\n{}\n",
        left.join("\n")
    )
}

/// RFC 3339 with the local offset.
fn local_time() -> String {
    let now = jiff::Zoned::now();
    now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
