//! The sender of events. Sending never blocks and never fails: the reporter at the other end is one thread, so that a stopped
//! terminal cannot stall a clean-up. Only what a command prints waits for that reader, because it has no end.

use std::sync::mpsc::Sender;
use std::time::SystemTime;

use crate::backpressure::{Backpressure, Reader};
use crate::error::Error;
use crate::event::{Event, Level, Message, Record, What};

/// Sends events of a run or, after [`Events::of`], of one build.
#[derive(Clone)]
pub struct Events {
    sender: Sender<Event>,
    backpressure: Backpressure,
    build: Option<String>,
}

impl Events {
    /// Events that end in this channel, for a receiver that keeps them all. They are dropped when nobody receives any more.
    pub fn new(sender: Sender<Event>) -> Self {
        Self::read_by(sender).0
    }

    /// Events that end in this channel, and for its receiver what it has to tell of each that it is done with: output of commands
    /// waits for it.
    pub fn read_by(sender: Sender<Event>) -> (Self, Reader) {
        let (backpressure, reader) = Backpressure::with_reader();
        let events = Self {
            sender,
            backpressure,
            build: None,
        };
        (events, reader)
    }

    /// The same channel, for one build.
    #[must_use]
    pub fn of(&self, build: &str) -> Self {
        Self {
            build: Some(build.to_owned()),
            ..self.clone()
        }
    }

    /// The build that they are of.
    pub(crate) fn build(&self) -> Option<String> {
        self.build.clone()
    }

    /// Sends one.
    pub fn emit(&self, what: What) {
        let event = Event {
            at: SystemTime::now(),
            build: self.build.clone(),
            what,
        };
        self.backpressure.add(&event);
        // A reporter that is gone has nobody left to tell.
        let _ = self.sender.send(event);
    }

    /// Is the reader so far behind that what has no end must wait?
    pub fn are_behind(&self) -> bool {
        self.backpressure.is_full()
    }
}

/// A voice for components: what they say to people and to machines, under the name of their build.
#[derive(Clone)]
pub struct Ui {
    events: Events,
    post_processor: Option<String>,
}

impl Ui {
    /// The voice of a build.
    pub fn new(events: Events) -> Self {
        Self {
            events,
            post_processor: None,
        }
    }

    /// The same voice, of a post-processor of this type.
    #[must_use]
    pub fn post_processor(&self, kind: &str) -> Self {
        Self {
            events: self.events.clone(),
            post_processor: Some(kind.to_owned()),
        }
    }

    /// What is being done.
    pub fn say(&self, text: impl Into<String>) {
        self.message(Level::Say, text.into());
    }

    /// A warning: something is not as it should be, and the bake continues.
    pub fn warn(&self, text: impl Into<String>) {
        self.message(Level::Warning, text.into());
    }

    /// An error as a warning, with its help and its place.
    pub fn warn_of(&self, error: &Error) {
        self.report(Level::Warning, error);
    }

    /// An error that has no more than a text.
    pub fn error(&self, text: impl Into<String>) {
        self.message(Level::Error, text.into());
    }

    /// An error, with its help and its place.
    pub fn fail(&self, error: &Error) {
        self.report(Level::Error, error);
    }

    /// A line of a command's standard output.
    pub fn output(&self, text: impl Into<String>) {
        self.message(Level::Output, text.into());
    }

    /// A line of a command's standard error.
    pub fn error_output(&self, text: impl Into<String>) {
        self.message(Level::ErrorOutput, text.into());
    }

    /// A line for machines.
    pub fn record(&self, kind: &str, data: Vec<String>) {
        self.events.emit(What::Record(Record {
            kind: kind.to_owned(),
            data,
        }));
    }

    /// The events themselves, for transfers and steps.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// A line of a command, or a piece of one; waits while the reader is behind.
    pub(crate) async fn line(&self, level: Level, text: String, goes_on: bool) {
        self.emit(Message {
            goes_on,
            ..self.words(level, text)
        });
        self.events.backpressure.room().await;
    }

    fn message(&self, level: Level, text: String) {
        self.emit(self.words(level, text));
    }

    fn report(&self, level: Level, error: &Error) {
        let report = error.report();
        self.emit(Message {
            help: report.help,
            location: report.location,
            ..self.words(level, report.text)
        });
    }

    fn words(&self, level: Level, text: String) -> Message {
        Message {
            post_processor: self.post_processor.clone(),
            level,
            text,
            goes_on: false,
            help: None,
            location: None,
        }
    }

    fn emit(&self, message: Message) {
        self.events.emit(What::Message(message));
    }
}
