//! The in-toto statement: what is said (the predicate) of which files (the subjects), in the order of its keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the statement that is written and read.
pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// A statement on how something was made.
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// The by-product that tells what an artifact without files is.
pub(crate) const IDENTITY: &str = "cloud-artifact-identity";

/// A statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Statement {
    #[serde(rename = "_type")]
    pub(crate) kind: String,
    pub(crate) subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub(crate) predicate_type: String,
    pub(crate) predicate: Value,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) digest: BTreeMap<String, String>,
}

/// What an artifact without files is, as its subject's digest has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    #[serde(rename = "builderId")]
    pub(crate) builder_id: String,
    pub(crate) id: String,
}

impl Statement {
    /// A statement about these.
    pub(crate) fn new(subject: Vec<Subject>, predicate_type: &str, predicate: Value) -> Self {
        Self {
            kind: STATEMENT.into(),
            subject,
            predicate_type: predicate_type.into(),
            predicate,
        }
    }
}

impl Subject {
    /// Something with this SHA-256 sum in hexadecimal.
    pub(crate) fn new(name: impl Into<String>, sha256: String) -> Self {
        Self {
            name: name.into(),
            digest: BTreeMap::from([("sha256".to_owned(), sha256)]),
        }
    }

    /// Its SHA-256 sum.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.digest.get("sha256").map(String::as_str)
    }
}

impl Identity {
    /// The name of the subject that it is.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.builder_id, self.id)
    }
}
