//! Events as lines for people, in the shape that tools around Packer read. Where the lines go is the business of the plain, the terminal
//! and the machine-readable reporter.

use std::collections::{BTreeMap, BTreeSet};

use bakelite_engine::event::{ArtifactSummary, BuildEvent, BuildSummary, Event, Level, Message, RunEvent, What};
use bakelite_template::plan::Location;

use super::duration::words;

/// Colours of builds, in rotation: green, cyan, magenta, yellow, blue.
const BUILD_COLORS: [u8; 5] = [32, 36, 35, 33, 34];
const ERROR_COLOR: u8 = 31;

/// Turns events into text.
pub(super) struct Lines {
    color: bool,
    timestamp: bool,
    /// With place and help behind errors.
    explained: bool,
    closing: Closing,
    colors: BTreeMap<String, u8>,
}

/// The order of the closing lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// What failed, then what was made.
    FailuresFirst,
    /// What was made, then what failed.
    FailuresLast,
}

/// Lines that belong together.
pub(super) struct Said<'a> {
    pub(super) text: String,
    pub(super) is_error: bool,
    /// The artifact that the lines are about, with its build and its number within it.
    pub(super) artifact: Option<(&'a BuildSummary, usize, &'a ArtifactSummary)>,
    /// The build whose failure the lines report at the end.
    pub(super) failed: Option<&'a BuildSummary>,
}

impl Said<'_> {
    fn words(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_error: false,
            artifact: None,
            failed: None,
        }
    }

    fn error(text: impl Into<String>) -> Self {
        Self {
            is_error: true,
            ..Self::words(text)
        }
    }
}

impl Lines {
    pub(super) fn new(color: bool, timestamp: bool) -> Self {
        Self {
            color,
            timestamp,
            explained: true,
            closing: Closing::FailuresFirst,
            colors: BTreeMap::new(),
        }
    }

    /// Without the places and the help of errors: programs have them in records of their own.
    pub(super) fn unexplained() -> Self {
        Self {
            explained: false,
            ..Self::new(false, false)
        }
    }

    /// Failures stand last, where a person sees them. Tools around Packer read them before what was made.
    pub(super) fn with_failures_last(self) -> Self {
        Self {
            closing: Closing::FailuresLast,
            ..self
        }
    }

    /// The text of an event, without the last newline; `None` for one that has no lines.
    pub(super) fn text(&mut self, event: &Event) -> Option<String> {
        let said = self.said(event);
        let texts: Vec<String> = said.into_iter().map(|said| said.text).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// The lines of an event.
    pub(super) fn said<'a>(&mut self, event: &'a Event) -> Vec<Said<'a>> {
        let build = event.build.as_deref().unwrap_or_default();
        match &event.what {
            What::Run(event) => self.run(event),
            What::Build(BuildEvent::Finished { took }) => {
                vec![self.of(
                    build,
                    Said::words(format!("Build '{build}' finished after {}.", words(*took))),
                )]
            }
            What::Build(BuildEvent::Errored { took, error }) => {
                let text = format!("Build '{build}' errored after {}: {}", words(*took), error.text);
                vec![self.of(
                    build,
                    Said::error(text + &self.remarks(error.location.as_ref(), error.help.as_deref())),
                )]
            }
            What::Build(BuildEvent::Skipped) => {
                vec![self.of(
                    build,
                    Said::words(format!("Build '{build}' was not started: cancelled")),
                )]
            }
            What::Message(message) => vec![self.message(build, message)],
            What::Build(BuildEvent::Started) | What::Step(_) | What::Wait(_) | What::Transfer(_) | What::Record(_) => {
                Vec::new()
            }
        }
    }

    fn run<'a>(&mut self, event: &'a RunEvent) -> Vec<Said<'a>> {
        match event {
            RunEvent::Started { builds } => {
                self.colors = builds.iter().cloned().zip(BUILD_COLORS.into_iter().cycle()).collect();
                if !self.color || builds.is_empty() {
                    return Vec::new();
                }
                let introductions = builds
                    .iter()
                    .map(|build| self.of(build, Said::words(format!("{build}: output will be in this color."))));
                introductions.chain([Said::words("")]).collect()
            }
            RunEvent::Interrupted { signal, level } => vec![self.timed(Said::words(match level {
                1 => format!("Cancelling build after receiving {signal}: removing temporary resources (again to skip graceful waits)"),
                2 => format!("Received {signal} again: skipping graceful waits (again to exit at once)"),
                _ => "Exiting at once. `bakelite gc` removes what is left.".to_owned(),
            }))],
            // Without the time, as tools around Packer read them.
            RunEvent::Finished {
                took,
                outcomes,
                cancelled,
            } => closing(&words(*took), outcomes, *cancelled, self.closing),
        }
    }

    fn message<'a>(&self, build: &str, message: &Message) -> Said<'a> {
        let speaker = match &message.post_processor {
            Some(kind) => format!("{build} ({kind})"),
            None => build.to_owned(),
        };
        let mut text = message.text.trim_end().to_owned();
        if message.level == Level::Warning {
            text.insert_str(0, "Warning: ");
        }
        text += &self.remarks(message.location.as_ref(), message.help.as_deref());
        let lines: Vec<String> = text
            .split('\n')
            .map(|line| format!("==> {speaker}: {line}").trim_end().to_owned())
            .collect();
        let is_error = matches!(message.level, Level::Warning | Level::Error | Level::ErrorOutput);
        let said = Said {
            is_error,
            ..Said::words(lines.join("\n"))
        };
        self.of(build, said)
    }

    /// The place with its line of the template, and the remedy, as further lines in the shape that diagnostics have.
    fn remarks(&self, location: Option<&Location>, help: Option<&str>) -> String {
        if !self.explained {
            return String::new();
        }
        let mut remarks = String::new();
        let width = location.map_or(1, |location| location.line.to_string().len());
        let gutter = " ".repeat(width);
        if let Some(location) = location {
            let line = location.source_line.trim_end();
            remarks = format!("\n{gutter}--> {location}\n{gutter} |\n{} | {line}", location.line);
        }
        if let Some(help) = help {
            remarks = format!("{remarks}\n{gutter} = help: {help}");
        }
        remarks
    }

    /// Coloured as the build or as an error, with the time before it.
    fn of<'a>(&self, build: &str, mut said: Said<'a>) -> Said<'a> {
        let color = if said.is_error {
            Some(&ERROR_COLOR)
        } else {
            self.colors.get(build)
        };
        if let Some(color) = color
            && self.color
        {
            said.text = format!("\u{1b}[1;{color}m{}\u{1b}[0m", said.text);
        }
        self.timed(said)
    }

    fn timed<'a>(&self, mut said: Said<'a>) -> Said<'a> {
        if self.timestamp {
            said.text.insert_str(0, &format!("{}: ", local_time()));
        }
        said
    }
}

/// The closing lines: how long it took, what failed, what was made.
fn closing<'a>(took: &str, outcomes: &'a [BuildSummary], cancelled: bool, order: Closing) -> Vec<Said<'a>> {
    let mut closing = vec![Said::words(format!("\n==> Wait completed after {took}"))];
    let mut left = leftovers(outcomes);
    if cancelled {
        closing.push(Said::words(if left.is_empty() {
            "\nCleanly cancelled builds after being interrupted."
        } else {
            "\nCancelled builds after being interrupted."
        }));
        closing.append(&mut left);
        return closing;
    }
    let failed = outcomes.iter().filter_map(|outcome| {
        let error = outcome.error.as_ref()?;
        Some(Said {
            failed: Some(outcome),
            ..Said::error(format!("--> {}: {}", outcome.name, error.text))
        })
    });
    let mut failed: Vec<Said> = failed.collect();
    if !failed.is_empty() {
        let heading = "\n==> Some builds didn't complete successfully and had errors:";
        failed.insert(0, Said::error(heading));
    }
    failed.append(&mut left);
    if order == Closing::FailuresFirst {
        closing.append(&mut failed);
    }
    // One source that several builds use without names of their own is one build to whoever reads this, as long as it made the same.
    let mut seen = BTreeSet::new();
    let made = outcomes.iter().filter(|outcome| {
        let artifacts = outcome.artifacts.iter();
        let ids: Vec<_> = artifacts
            .map(|one| (&one.builder_id, &one.id, &one.description))
            .collect();
        seen.insert((&outcome.name, ids))
    });
    let made = made.flat_map(|outcome| {
        let artifacts = outcome.artifacts.iter().enumerate();
        artifacts.map(move |(number, artifact)| Said {
            artifact: Some((outcome, number, artifact)),
            ..Said::words(format!("--> {}: {}", outcome.name, artifact.description))
        })
    });
    let made: Vec<Said> = made.collect();
    closing.push(Said::words(if made.is_empty() {
        "\n==> Builds finished but no artifacts were created."
    } else {
        "\n==> Builds finished. The artifacts of successful builds are:"
    }));
    closing.extend(made);
    closing.append(&mut failed);
    closing
}

/// Is anything printed of an event?
pub(super) fn has_lines(event: &Event) -> bool {
    match &event.what {
        What::Run(_) | What::Message(_) => true,
        What::Build(event) => !matches!(event, BuildEvent::Started),
        What::Step(_) | What::Wait(_) | What::Transfer(_) | What::Record(_) => false,
    }
}

fn leftovers<'a>(outcomes: &[BuildSummary]) -> Vec<Said<'a>> {
    let left = outcomes.iter().flat_map(|outcome| {
        let leftovers = outcome.leftovers.iter();
        leftovers.map(|what| Said::error(format!("--> {}: {what}", outcome.name)))
    });
    let mut left: Vec<Said> = left.collect();
    if !left.is_empty() {
        let heading = "\n==> These temporary resources could not be removed; `bakelite gc` removes them:";
        left.insert(0, Said::error(heading));
    }
    left
}

/// RFC 3339 with the local offset, `Z` for none.
fn local_time() -> String {
    let now = jiff::Zoned::now();
    let time = now.strftime("%Y-%m-%dT%H:%M:%S");
    if now.offset().is_zero() {
        format!("{time}Z")
    } else {
        format!("{time}{}", now.strftime("%:z"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use bakelite_engine::error::{Kind, Report};

    use super::*;

    fn shown(timestamp: bool, what: What) -> String {
        let event = Event {
            at: SystemTime::now(),
            build: Some("null.a".into()),
            what,
        };
        Lines::new(false, timestamp).text(&event).unwrap_or_default()
    }

    fn summary(error: Option<&str>, leftovers: &[&str]) -> BuildSummary {
        BuildSummary {
            name: "null.a".into(),
            error: error.map(|text| Report {
                kind: Kind::Failed,
                text: text.into(),
                help: None,
                location: None,
            }),
            artifacts: Vec::new(),
            leftovers: leftovers.iter().map(|&what| what.to_owned()).collect(),
        }
    }

    fn closing_of(cancelled: bool, outcome: BuildSummary) -> What {
        What::Run(RunEvent::Finished {
            took: Duration::from_secs(2),
            outcomes: vec![outcome],
            cancelled,
        })
    }

    #[test]
    fn an_error_has_its_place_and_its_help() {
        let error = Report {
            kind: Kind::Failed,
            text: "no AMI passes the filter".into(),
            help: Some("look at `owners`".into()),
            location: Some(Location {
                file: "web.pkr.hcl".into(),
                line: 12,
                column: 3,
                source_line: "  source_ami_filter {".into(),
            }),
        };
        let took = Duration::from_secs(3);
        insta::assert_snapshot!(shown(false, What::Build(BuildEvent::Errored { took, error })), @r"
        Build 'null.a' errored after 3 seconds: no AMI passes the filter
          --> web.pkr.hcl:12:3
           |
        12 |   source_ami_filter {
           = help: look at `owners`
        ");
    }

    #[test]
    fn failures_stand_last_at_a_terminal() {
        let mut good = summary(None, &[]);
        good.artifacts.push(ArtifactSummary {
            builder_id: "packer.file".into(),
            id: "File".into(),
            description: "Stored file: out.txt".into(),
            files: Vec::new(),
        });
        let finished = RunEvent::Finished {
            took: Duration::from_secs(1),
            outcomes: vec![summary(Some("no"), &["instance i-1"]), good],
            cancelled: false,
        };
        let event = Event {
            at: SystemTime::now(),
            build: None,
            what: What::Run(finished),
        };
        let text = Lines::new(false, false).with_failures_last().text(&event).unwrap();
        insta::assert_snapshot!(text, @r"
        ==> Wait completed after 1 second

        ==> Builds finished. The artifacts of successful builds are:
        --> null.a: Stored file: out.txt

        ==> Some builds didn't complete successfully and had errors:
        --> null.a: no

        ==> These temporary resources could not be removed; `bakelite gc` removes them:
        --> null.a: instance i-1
        ");
    }

    #[test]
    fn a_build_that_did_not_begin_did_not_fail_after_a_time() {
        assert_eq!(
            shown(false, What::Build(BuildEvent::Skipped)),
            "Build 'null.a' was not started: cancelled"
        );
    }

    #[test]
    fn a_cancellation_that_leaves_something_is_not_clean() {
        let text = shown(false, closing_of(true, summary(Some("cancelled"), &["instance i-1"])));
        assert!(!text.contains("Cleanly"), "{text}");
        assert!(text.contains("\n--> null.a: instance i-1"), "{text}");
        let text = shown(false, closing_of(true, summary(Some("cancelled"), &[])));
        assert!(
            text.ends_with("\nCleanly cancelled builds after being interrupted."),
            "{text}"
        );
    }

    #[test]
    fn the_time_stands_before_the_words_of_builds_alone() {
        let text = shown(true, What::Build(BuildEvent::Skipped));
        let (time, words) = text.split_once(": ").unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{text:?}");
        assert!(words.starts_with("Build 'null.a'"), "{text:?}");
        let text = shown(true, closing_of(false, summary(None, &[])));
        assert!(text.starts_with("\n==> Wait completed"), "{text:?}");
    }
}
