//! What people see is text: every text of an event, whoever wrote it, is stripped here of what a terminal would act on. Machines get
//! events as they are.

use std::time::SystemTime;

use bakelite_engine::error::Report;
use bakelite_engine::event::{BuildEvent, Event, Level, Message, RunEvent, StepEvent, TransferEvent, WaitEvent, What};
use bakelite_engine::untrusted::{coloured, colourless, one_line, visible};

use bakelite_template::plan::Location;

use super::Reporter;
use super::spans::Spans;

/// A reporter for people.
pub(super) struct Legible<R> {
    color: bool,
    reporter: R,
}

impl<R: Reporter> Legible<R> {
    /// Colours of commands' output stay where ours do.
    pub(super) fn new(color: bool, reporter: R) -> Self {
        Self { color, reporter }
    }
}

impl<R: Reporter> Reporter for Legible<R> {
    fn event(&mut self, event: &Event, spans: &Spans) {
        let mut event = event.clone();
        event.build.iter_mut().for_each(name);
        self.what(&mut event.what);
        self.reporter.event(&event, spans);
    }

    fn tick(&mut self, spans: &Spans, now: SystemTime) {
        self.reporter.tick(spans, now);
    }
}

impl<R> Legible<R> {
    fn what(&self, what: &mut What) {
        match what {
            What::Message(message) => self.message(message),
            What::Run(event) => run(event),
            What::Build(BuildEvent::Errored { error, .. }) => report(error),
            What::Step(StepEvent::Started { step } | StepEvent::Finished { step, .. }) => name(step),
            What::Wait(WaitEvent::Started { what, .. }) | What::Transfer(TransferEvent::Started { name: what, .. }) => {
                name(what);
            }
            // Records are for machines, and no line of people is made of them.
            What::Build(_) | What::Wait(_) | What::Transfer(_) | What::Record(_) => {}
        }
    }

    fn message(&self, message: &mut Message) {
        message.post_processor.iter_mut().for_each(name);
        message.help.iter_mut().for_each(text);
        message.location.iter_mut().for_each(place);
        message.text = match message.level {
            Level::Output | Level::ErrorOutput if self.color => coloured(&message.text).into_owned(),
            Level::Output | Level::ErrorOutput => colourless(&message.text).into_owned(),
            Level::Say | Level::Warning | Level::Error => visible(&message.text).into_owned(),
        };
    }
}

fn run(event: &mut RunEvent) {
    match event {
        RunEvent::Started { builds } => builds.iter_mut().for_each(name),
        RunEvent::Interrupted { signal, .. } => name(signal),
        RunEvent::Finished { outcomes, .. } => {
            for outcome in outcomes {
                name(&mut outcome.name);
                outcome.error.iter_mut().for_each(report);
                outcome.leftovers.iter_mut().for_each(name);
                outcome
                    .artifacts
                    .iter_mut()
                    .for_each(|artifact| text(&mut artifact.description));
            }
        }
    }
}

fn report(error: &mut Report) {
    text(&mut error.text);
    error.help.iter_mut().for_each(text);
    error.location.iter_mut().for_each(place);
}

fn place(location: &mut Location) {
    name(&mut location.file);
    location.source_line = visible(&location.source_line).into_owned();
}

/// Has one line.
fn name(name: &mut String) {
    *name = one_line(name).into_owned();
}

/// May have several lines. Those after the first are indented where they would look like ours.
fn text(text: &mut String) {
    const OURS: [&str; 3] = ["==>", "-->", "Build '"];
    let shown = visible(text);
    let lines: Vec<String> = shown
        .split('\n')
        .enumerate()
        .map(|(number, line)| {
            let is_forged = number > 0 && OURS.iter().any(|ours| line.starts_with(ours));
            if is_forged {
                format!("    {line}")
            } else {
                line.to_owned()
            }
        })
        .collect();
    *text = lines.join("\n");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bakelite_engine::error::Kind;
    use bakelite_engine::event::{ArtifactSummary, BuildSummary};

    use super::*;
    use crate::report::lines::Lines;

    struct Text {
        lines: Lines,
        text: String,
    }

    impl Reporter for Text {
        fn event(&mut self, event: &Event, _: &Spans) {
            self.text.extend(self.lines.text(event));
        }
    }

    fn shown(color: bool, what: What) -> String {
        let text = Text {
            lines: Lines::new(color, false),
            text: String::new(),
        };
        let mut legible = Legible::new(color, text);
        let event = Event {
            at: SystemTime::now(),
            build: Some("null.a\n\u{1b}[2J".into()),
            what,
        };
        legible.event(&event, &Spans::default());
        legible.reporter.text
    }

    #[test]
    fn only_output_keeps_its_colours_and_only_among_ours() {
        let message = |level| {
            What::Message(Message {
                post_processor: None,
                level,
                text: "\u{1b}[35mx\u{1b}[1A".into(),
                goes_on: false,
                help: None,
                location: None,
            })
        };
        let name = "==> null.a\\n\\x1b[2J: ";
        assert_eq!(
            shown(true, message(Level::Output)),
            format!("{name}\u{1b}[35mx\\x1b[1A\u{1b}[0m")
        );
        assert_eq!(shown(false, message(Level::Output)), format!("{name}x\\x1b[1A"));
        assert_eq!(shown(false, message(Level::Say)), format!("{name}\\x1b[35mx\\x1b[1A"));
    }

    #[test]
    fn nobody_forges_our_closing_lines() {
        let artifact = ArtifactSummary {
            builder_id: String::new(),
            id: String::new(),
            description: "AMIs were created:\nus-east-1: ami-1\n==> Builds finished.\u{7}".into(),
            files: Vec::new(),
        };
        let outcome = BuildSummary {
            name: "a".into(),
            error: Some(Report {
                kind: Kind::Failed,
                text: "refused:\n--> b: all is well\n\u{1b}[1A".into(),
                help: Some("==> do it".into()),
                location: None,
            }),
            artifacts: vec![artifact],
            leftovers: vec!["instance\n==> x".into()],
        };
        let text = shown(
            false,
            What::Run(RunEvent::Finished {
                took: Duration::ZERO,
                outcomes: vec![outcome],
                cancelled: false,
            }),
        );
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(['=', '-'])).collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert!(
            text.contains("\nus-east-1: ami-1\n    ==> Builds finished.\\x07"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
