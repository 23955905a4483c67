//! The error of a run. Whatever fails while baking becomes an [`Error`]: it keeps its causes, knows what the user can do, whether it was
//! a failure or a cancellation, and which place of the template it is about. Only reports make text of it.

use std::borrow::Cow;
use std::fmt;

use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::plan::Location;
use serde::{Deserialize, Serialize};

/// What became of the work that an error ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It failed.
    #[default]
    Failed,
    /// The run was cancelled.
    Cancelled,
    /// It ran longer than the template allows.
    TimedOut,
}

/// An error as reports show it: all that is left of it when the run is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// What became of the work.
    pub kind: Kind,
    /// The message with its causes: `A: B: C`. May have several lines.
    pub text: String,
    /// What the user can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The place of the template that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<Place>"))]
    pub location: Option<Location>,
}

/// The fields of a [`Location`], for the test that they are documented.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(crate) struct Place {
    file: String,
    line: u32,
    column: u32,
    source_line: String,
}

/// An error that can be reported to the user. An error that wraps another delegates to it.
pub trait Explain: std::error::Error + Send + Sync + 'static {
    /// What the user can do about it, where that is known.
    fn help(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// Whether it is a failure at all.
    fn kind(&self) -> Kind {
        Kind::Failed
    }

    /// The option that it is about, as a path (`source_ami`, `launch_block_device_mappings[0].iops`), where it is about one.
    fn option(&self) -> Option<Cow<'_, str>> {
        None
    }
}

impl Explain for std::io::Error {}
impl Explain for serde_json::Error {}

impl Explain for tokio::task::JoinError {
    fn kind(&self) -> Kind {
        if self.is_cancelled() {
            Kind::Cancelled
        } else {
            Kind::Failed
        }
    }
}

/// Why a run, a bake, or a part of it did not succeed. Its message and its causes are those of the error that it was made of.
pub struct Error(Box<Content>);

struct Content {
    kind: Kind,
    cause: Box<dyn std::error::Error + Send + Sync>,
    help: Option<String>,
    option: Option<String>,
    location: Option<Location>,
}

impl Error {
    /// An error with its help and its kind.
    pub fn new(error: impl Explain) -> Self {
        Self(Box::new(Content {
            kind: error.kind(),
            help: error.help().map(Cow::into_owned),
            option: error.option().map(Cow::into_owned),
            location: None,
            cause: Box::new(error),
        }))
    }

    /// A failure of which nothing is known but its message and its causes.
    pub fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause = match cause.into().downcast::<Self>() {
            Ok(error) => return *error,
            Err(cause) => cause,
        };
        Self(Box::new(Content {
            kind: Kind::Failed,
            help: None,
            option: None,
            location: None,
            cause,
        }))
    }

    /// The run was cancelled before the work was done.
    pub fn cancelled() -> Self {
        Self::new(Cancelled)
    }

    /// The same error, told of what was being done: `WHAT: MESSAGE`.
    #[must_use]
    pub fn during(mut self, what: impl Into<String>) -> Self {
        Self(Box::new(Content {
            kind: self.0.kind,
            help: self.0.help.take(),
            option: self.0.option.take(),
            location: self.0.location.take(),
            cause: Box::new(During {
                what: what.into(),
                cause: self,
            }),
        }))
    }

    /// The same error with a remedy, in place of the one that it had.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The same error, at a place of the template unless its place is known already.
    #[must_use]
    pub fn at(mut self, location: Option<&Location>) -> Self {
        if self.0.location.is_none() {
            self.0.location = location.cloned();
        }
        self
    }

    /// The same error, at the option that it is about, as far as it is about one of these.
    #[must_use]
    pub(crate) fn at_option_of(self, decoded: &Decoded) -> Self {
        let location = self.0.option.as_deref().and_then(|path| decoded.location_of(path));
        self.at(location.as_ref())
    }

    /// What became of the work.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.kind == Kind::Cancelled
    }

    /// What the user can do, where that is known.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The path of the option that it is about, where it is about one.
    pub fn option(&self) -> Option<&str> {
        self.0.option.as_deref()
    }

    /// What reports show of it.
    pub fn report(&self) -> Report {
        Report {
            kind: self.kind(),
            text: chain_of(self),
            help: self.0.help.clone(),
            location: self.0.location.clone(),
        }
    }

    /// The same as a complaint: at the option that it is about, or else at this one.
    pub fn complaint(&self, option: &str) -> Complaint {
        let complaint = Complaint::error(self.option().unwrap_or(option), chain_of(self));
        Complaint {
            help: self.0.help.clone(),
            ..complaint
        }
    }

    /// The place of the template that it is about, where that is known.
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }
}

impl<E: Explain> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.cause.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("cause", &self.0.cause)
            .field("help", &self.0.help)
            .field("location", &self.0.location)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.source()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
struct Cancelled;

impl Explain for Cancelled {
    fn kind(&self) -> Kind {
        Kind::Cancelled
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct During {
    what: String,
    #[source]
    cause: Error,
}

/// An error with its causes in one line: `A: B: C`. A cause that the message before it ends with is not repeated.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Refused {
        #[error("`RunInstances` answered `Denied`")]
        Denied,
        #[error("launch the instance")]
        Launch(#[source] Box<Refused>),
    }

    impl Explain for Refused {
        fn help(&self) -> Option<Cow<'_, str>> {
            match self {
                Refused::Denied => Some("allow `ec2:RunInstances`".into()),
                Refused::Launch(cause) => cause.help(),
            }
        }
    }

    #[test]
    fn an_error_keeps_its_causes_and_its_help() {
        let error = Error::from(Refused::Launch(Box::new(Refused::Denied))).during("bake");
        assert_eq!(
            chain_of(&error),
            "bake: launch the instance: `RunInstances` answered `Denied`"
        );
        assert_eq!(
            (error.help(), error.kind()),
            (Some("allow `ec2:RunInstances`"), Kind::Failed)
        );
    }

    #[test]
    fn an_error_that_is_erased_on_its_way_is_still_the_same() {
        let erased: Box<dyn std::error::Error + Send + Sync> = Error::cancelled().into();
        assert!(Error::failed(erased).is_cancelled());
    }
}
