//! What the engine tells the world: events are data, and the only way out of the engine. Small enums, one per subject, so that a
//! reporter's match stays small. Everything is serializable, so that a run can be recorded and replayed.

use std::time::{Duration, SystemTime};

use bakelite_template::plan::Location;
use serde::{Deserialize, Serialize};

use crate::error::Report;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// When.
    #[serde(with = "moment")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub at: SystemTime,
    /// Which build, by its full name; absent for the run as a whole.
    pub build: Option<String>,
    /// What.
    pub what: What,
}

impl Event {
    /// How much memory it takes, about.
    pub(crate) fn weight(&self) -> usize {
        let texts = match &self.what {
            What::Message(message) => message.text.len(),
            What::Record(record) => record.data.iter().map(String::len).sum(),
            What::Build(BuildEvent::Errored { error, .. }) => error.text.len(),
            What::Transfer(TransferEvent::Started { name, .. }) => name.len(),
            What::Wait(WaitEvent::Started { what, .. }) => what.len(),
            What::Run(_) | What::Build(_) | What::Step(_) | What::Wait(_) | What::Transfer(_) => 0,
        };
        size_of::<Self>() + self.build.as_ref().map_or(0, String::len) + texts
    }
}

/// What happened, by subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// To the run.
    Run(RunEvent),
    /// To a build.
    Build(BuildEvent),
    /// A named part of a bake.
    Step(StepEvent),
    /// Something that a bake waits for within a step.
    Wait(WaitEvent),
    /// A file or directory going over.
    Transfer(TransferEvent),
    /// Words for people.
    Message(Message),
    /// A line for machines only (`-machine-readable`).
    Record(Record),
}

/// Events of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunEvent {
    /// It begins with these builds.
    Started {
        /// Full names, in order.
        builds: Vec<String>,
    },
    /// The user or the system asked it to stop.
    Interrupted {
        /// What asked: `interrupt`, `terminated`.
        signal: String,
        /// How urgently: 1 clean up, 2 skip graceful waits, 3 leave at once.
        level: u8,
    },
    /// All builds have ended.
    Finished {
        /// How long it took.
        took: Duration,
        /// How each ended.
        outcomes: Vec<BuildSummary>,
        /// It was cancelled.
        cancelled: bool,
    },
}

/// How one build ended, for the closing lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BuildSummary {
    /// Full name.
    pub name: String,
    /// The error, when it failed.
    pub error: Option<Report>,
    /// What it made.
    pub artifacts: Vec<ArtifactSummary>,
    /// Temporary resources that could not be removed: they stay in the journal.
    pub leftovers: Vec<String>,
}

/// An artifact as reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ArtifactSummary {
    /// Who made it.
    pub builder_id: String,
    /// Its id.
    pub id: String,
    /// Its description, may have several lines.
    pub description: String,
    /// Its files.
    pub files: Vec<String>,
}

/// Events of one build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BuildEvent {
    /// It begins.
    Started,
    /// It has made its artifacts, post-processing included.
    Finished {
        /// How long it took.
        took: Duration,
    },
    /// It failed or was cancelled.
    Errored {
        /// How long it took.
        took: Duration,
        /// Why.
        error: Report,
    },
    /// The run was cancelled before it began.
    Skipped,
}

/// Events of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepEvent {
    /// It begins.
    Started {
        /// Its name: `launch`.
        step: String,
    },
    /// It ended.
    Finished {
        /// Its name.
        step: String,
        /// How long it took.
        took: Duration,
        /// It did what it should.
        ok: bool,
    },
}

/// Events of a wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitEvent {
    /// It begins.
    Started {
        /// Unique within the run.
        id: u64,
        /// What is waited for: `instance i-1 to become running`.
        what: String,
        /// How long that takes as a rule, where it is known.
        usual: Option<Duration>,
    },
    /// It ended, with or without what was waited for.
    Finished {
        /// Which.
        id: u64,
    },
}

/// Events of a transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransferEvent {
    /// It begins.
    Started {
        /// Unique within the run.
        id: u64,
        /// What goes over, as people name it.
        name: String,
        /// Bytes, where known.
        total: Option<u64>,
    },
    /// So much is over.
    Progress {
        /// Which.
        id: u64,
        /// Bytes so far.
        done: u64,
    },
    /// It ended.
    Finished {
        /// Which.
        id: u64,
    },
}

/// Words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Message {
    /// Said by a post-processor of this type.
    pub post_processor: Option<String>,
    /// How it is meant.
    pub level: Level,
    /// The text; may have several lines.
    pub text: String,
    /// The text is a piece of a line that has no end yet: the next of the same voice continues it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// What the user can do, for an error or a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The place of the template that an error or a warning is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<crate::error::Place>"))]
    pub location: Option<Location>,
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What is being done.
    Say,
    /// Output of a command, standard output.
    Output,
    /// Output of a command, standard error: red, but not an error.
    ErrorOutput,
    /// Something is not as it should be, and the bake continues.
    Warning,
    /// An error.
    Error,
}

/// A line for machines: `TIME,TARGET,TYPE,DATA…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Record {
    /// `artifact`, `error-count`, …
    pub kind: String,
    /// The data fields.
    pub data: Vec<String>,
}

/// Moments as RFC 3339 in UTC, to the microsecond.
mod moment {
    use std::time::SystemTime;

    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let at = Timestamp::try_from(*at).map_err(ser::Error::custom)?;
        serializer.collect_str(&format_args!("{at:.6}"))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(at.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// The names of fields and the constants of a schema.
    fn names(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(members) => {
                for (key, member) in members {
                    match (key.as_str(), member) {
                        ("properties", Value::Object(properties)) => {
                            found.extend(properties.keys().cloned());
                            properties.values().for_each(|property| names(property, found));
                        }
                        ("const", Value::String(constant)) => drop(found.insert(constant.clone())),
                        ("enum", Value::Array(constants)) => {
                            found.extend(constants.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                        _ => names(member, found),
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| names(element, found)),
            _ => {}
        }
    }

    #[test]
    fn an_event_has_its_time_in_rfc_3339() {
        let event = Event {
            at: std::time::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
            build: None,
            what: What::Build(BuildEvent::Started),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"at":"2023-11-14T22:13:20.000001Z","build":null,"what":{"build":"started"}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn every_field_of_every_event_is_documented() {
        let page = include_str!("../../../docs/reference/events.md");
        let mut found = BTreeSet::new();
        names(schemars::schema_for!(Event).as_value(), &mut found);
        let is_named = |name: &String| page.contains(&format!("`{name}`")) || page.contains(&format!("\n## {name}\n"));
        let missing: Vec<&String> = found.iter().filter(|name| !is_named(name)).collect();
        assert!(found.contains("usual") && found.contains("timed_out"), "{found:?}");
        assert!(missing.is_empty(), "docs/reference/events.md does not name {missing:?}");
    }
}
