//! Secrets are masked before any reporter sees an event: in every text that a template or an instance had a part in, and over the
//! cuts of a line that comes in pieces.

use std::collections::BTreeMap;

use bakelite_engine::error::Report;
use bakelite_engine::event::{BuildEvent, Event, Level, Message, RunEvent, TransferEvent, WaitEvent, What};
use bakelite_template::secrets::Secrets;

use super::hidden::Hidden;

/// Masks events on their way.
pub(super) struct Masking {
    hidden: Hidden,
    /// Ends of pieces, in which a secret may have begun.
    held: BTreeMap<Voice, String>,
}

/// Who speaks: the build, a post-processor of it, and how it is meant.
type Voice = (Option<String>, Option<String>, Level);

impl Masking {
    pub(super) fn new(hidden: Hidden) -> Self {
        Self {
            hidden,
            held: BTreeMap::new(),
        }
    }

    /// Hands on what of an event can be shown by now.
    pub(super) fn pass(&mut self, mut event: Event, show: &mut dyn FnMut(&Event)) {
        if let What::Build(BuildEvent::Finished { .. } | BuildEvent::Errored { .. }) = &event.what {
            self.let_go(&event, show);
        }
        let secrets = self.hidden.now();
        let build = event.build.clone();
        if let What::Message(message) = &mut event.what
            && !join(&mut self.held, secrets, build, message)
        {
            return;
        }
        mask(&mut event.what, secrets);
        show(&event);
    }

    /// Shows what is held back of a build that is over.
    fn let_go(&mut self, over: &Event, show: &mut dyn FnMut(&Event)) {
        let held = self.held.extract_if(.., |(build, ..), _| *build == over.build);
        for ((build, post_processor, level), text) in held.collect::<Vec<_>>() {
            let rest = What::Message(Message {
                post_processor,
                level,
                text: self.hidden.now().mask(&text),
                goes_on: false,
                help: None,
                location: None,
            });
            show(&Event {
                at: over.at,
                build,
                what: rest,
            });
        }
    }
}

/// Puts what is held back before a message, and holds back the end of one that goes on. Answers whether anything is left to show.
fn join(held: &mut BTreeMap<Voice, String>, secrets: &Secrets, build: Option<String>, message: &mut Message) -> bool {
    let voice = (build, message.post_processor.clone(), message.level);
    let before = held.remove(&voice);
    if before.is_none() && !message.goes_on {
        return true;
    }
    message.text.insert_str(0, &before.unwrap_or_default());
    if message.goes_on {
        let end = message.text.split_off(secrets.cut(&message.text));
        held.insert(voice, end);
    }
    !message.text.is_empty()
}

fn mask(what: &mut What, secrets: &Secrets) {
    let hide = |text: &mut String| *text = secrets.mask(text);
    match what {
        What::Message(message) => {
            hide(&mut message.text);
            message.help.iter_mut().for_each(hide);
            message
                .location
                .iter_mut()
                .for_each(|location| hide(&mut location.source_line));
        }
        What::Record(record) => record.data.iter_mut().for_each(hide),
        What::Build(BuildEvent::Errored { error, .. }) => mask_report(error, secrets),
        What::Wait(WaitEvent::Started { what: text, .. })
        | What::Transfer(TransferEvent::Started { name: text, .. }) => hide(text),
        What::Run(RunEvent::Finished { outcomes, .. }) => {
            for outcome in outcomes {
                outcome.error.iter_mut().for_each(|error| mask_report(error, secrets));
                for artifact in &mut outcome.artifacts {
                    hide(&mut artifact.description);
                    artifact.files.iter_mut().for_each(hide);
                }
            }
        }
        What::Build(_) | What::Step(_) | What::Wait(_) | What::Transfer(_) | What::Run(_) => {}
    }
}

fn mask_report(error: &mut Report, secrets: &Secrets) {
    let line = error.location.as_mut().map(|location| &mut location.source_line);
    for text in [&mut error.text].into_iter().chain(&mut error.help).chain(line) {
        *text = secrets.mask(text);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use bakelite_engine::error::Kind;
    use bakelite_template::plan::Location;

    use super::*;

    const SECRET: &str = "AlphaSecret01xyz";

    fn event(what: What) -> Event {
        Event {
            at: SystemTime::now(),
            build: Some("null.a".into()),
            what,
        }
    }

    fn piece(text: &str, goes_on: bool) -> Event {
        event(What::Message(Message {
            post_processor: None,
            level: Level::Output,
            text: text.into(),
            goes_on,
            help: None,
            location: None,
        }))
    }

    fn shown(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        let mut hidden = Hidden::default();
        hidden.extend([SECRET.to_owned()]);
        let (mut masking, mut shown) = (Masking::new(hidden), Vec::new());
        for event in events {
            masking.pass(event, &mut |event| {
                if let What::Message(message) = &event.what {
                    shown.push(message.text.clone());
                }
            });
        }
        shown
    }

    #[test]
    fn a_secret_is_masked_wherever_its_line_is_cut() {
        let line = format!("before {SECRET} after");
        for at in 0..=line.len() {
            let (one, other) = line.split_at(at);
            let said = shown([piece(one, true), piece(other, false)]);
            assert_eq!(said.concat(), "before <sensitive> after", "{at}: {said:?}");
        }
    }

    #[test]
    fn a_secret_is_masked_in_help_and_source_line() {
        let location = Location {
            file: "t.pkr.hcl".into(),
            line: 1,
            column: 1,
            source_line: format!("password = \"{SECRET}\""),
        };
        let error = Report {
            kind: Kind::Failed,
            text: format!("refused {SECRET}"),
            help: Some(format!("replace {SECRET}")),
            location: Some(location),
        };
        let took = Duration::ZERO;
        let mut hidden = Hidden::default();
        hidden.extend([SECRET.to_owned()]);
        Masking::new(hidden).pass(event(What::Build(BuildEvent::Errored { took, error })), &mut |event| {
            assert!(!format!("{event:?}").contains(SECRET), "{event:?}");
        });
    }

    #[test]
    fn what_is_held_back_comes_with_the_end_of_the_line_or_of_the_build() {
        assert_eq!(shown([piece("x", true), piece("", false)]), ["x"]);
        let over = event(What::Build(BuildEvent::Finished { took: Duration::ZERO }));
        assert_eq!(shown([piece("AlphaSecr", true), over]), ["AlphaSecr"]);
        assert_eq!(shown([piece("", false)]), [""]);
    }
}
