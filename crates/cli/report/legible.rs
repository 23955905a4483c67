//! What people see is text: every text of an event, whoever wrote it, is stripped here of what a terminal would act on. Machines get
//! events as they are.

use bakelite_engine::event::{BuildEvent, Event, Level, Message, RunEvent, StepEvent, TransferEvent, What};
use bakelite_engine::foreign::{coloured, colourless, one_line, visible};

use super::Reporter;

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
    fn event(&mut self, event: &Event) {
        let mut event = event.clone();
        event.build.iter_mut().for_each(name);
        self.what(&mut event.what);
        self.reporter.event(&event);
    }
}

impl<R> Legible<R> {
    fn what(&self, what: &mut What) {
        match what {
            What::Message(message) => self.message(message),
            What::Run(event) => run(event),
            What::Build(BuildEvent::Errored { error, .. }) => text(error),
            What::Step(StepEvent::Started { step } | StepEvent::Finished { step, .. }) => name(step),
            What::Transfer(TransferEvent::Started { name: what, .. }) => name(what),
            // Records are for machines, and no line of people is made of them.
            What::Build(_) | What::Transfer(_) | What::Record(_) => {}
        }
    }

    fn message(&self, message: &mut Message) {
        message.post_processor.iter_mut().for_each(name);
        message.text = match message.level {
            Level::Output | Level::ErrorOutput if self.color => coloured(&message.text).into_owned(),
            Level::Output | Level::ErrorOutput => colourless(&message.text).into_owned(),
            Level::Say | Level::Error => visible(&message.text).into_owned(),
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
                outcome.error.iter_mut().for_each(text);
                outcome.leftovers.iter_mut().for_each(name);
                outcome
                    .artifacts
                    .iter_mut()
                    .for_each(|artifact| text(&mut artifact.description));
            }
        }
    }
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
