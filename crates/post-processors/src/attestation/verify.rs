//! Checking an attestation: that its key signed it, and that it says what is expected of it.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use bakelite_engine::error::Explain;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::envelope::{Envelope, PAYLOAD_TYPE};
use super::key::{KeyError, VerifyingKey};
use super::statement::{IDENTITY, Identity, STATEMENT, Statement, Subject};
use crate::go_json;

/// What an attestation has to say. What is not given is not looked at.
#[derive(Debug, Default)]
pub struct Expectations {
    /// The type of its predicate.
    pub predicate_type: Option<String>,
    /// Who baked.
    pub builder_id: Option<String>,
    /// Where the template comes from, with or without the `@ref` at the end.
    pub source_uri: Option<String>,
    /// What it must be about: a file, or an artifact's id (`region:ami-…`, `ami-…`, or the subject's whole name).
    pub artifact: Option<String>,
}

/// What was verified, as far as it is of interest.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// The type of the predicate.
    pub predicate_type: String,
    /// Who baked, where the predicate says.
    pub builder_id: Option<String>,
    /// Names of the subjects.
    pub subjects: Vec<String>,
}

/// Why an attestation does not hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not an attestation.
    #[error("it is neither a DSSE envelope nor an in-toto statement: {0}")]
    Malformed(String),
    /// A bare statement where a signed one is wanted.
    #[error("it is not signed: anybody may have written it")]
    Unsigned,
    /// A signed one where nothing checks the signature.
    #[error("it is signed, and no key is given to check its signature")]
    Unchecked,
    /// An envelope of something else.
    #[error("its payload is `{0}` and no in-toto statement (`{PAYLOAD_TYPE}`)")]
    PayloadType(String),
    /// No signature is the key's.
    #[error("none of its signatures was made by this key (key id {wanted}); they are said to be by {}", listed(.found))]
    Signature {
        /// The id of the key.
        wanted: String,
        /// The ids in the envelope.
        found: Vec<String>,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another version of the statement.
    #[error("it is a statement of type `{0}`, not `{STATEMENT}`")]
    StatementType(String),
    /// Something in it is not what was expected.
    #[error("its {what} is {}, not `{wanted}`", .found.as_ref().map_or("not there".to_owned(), |found| format!("`{found}`")))]
    Unexpected {
        /// What differs.
        what: &'static str,
        /// What it is.
        found: Option<String>,
        /// What it should be.
        wanted: String,
    },
    /// It is about nothing.
    #[error("it has no subject: it says nothing of any artifact")]
    NoSubjects,
    /// It is about other things.
    #[error("`{artifact}` {sum}is none of its subjects: {}", listed(.subjects))]
    NoSubject {
        /// What was given.
        artifact: String,
        /// Its sum in parentheses, where it is a file.
        sum: String,
        /// The subjects.
        subjects: Vec<String>,
    },
    /// The subject of an artifact without files does not hold together.
    #[error("its subject `{0}` has a digest that is not that of the artifact's identity")]
    Identity(String),
    /// The file to look for cannot be read.
    #[error("failed to read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Explain for VerifyError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            VerifyError::Unsigned => Some("-signing-mode=none looks into it without proof of who wrote it".into()),
            VerifyError::Unchecked => Some("name the key that must have signed it: -verifier=FILE".into()),
            VerifyError::Key(error) => error.help(),
            _ => None,
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nobody".into();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Checks an attestation's text: with a key, that it is signed by it; without one, that it claims no signature. Then what it says.
/// Relative paths start from `directory`.
pub fn verify(
    text: &str,
    key: Option<&VerifyingKey>,
    expectations: &Expectations,
    directory: &Path,
) -> Result<Verified, VerifyError> {
    let statement = statement_of(text, key)?;
    if statement.kind != STATEMENT {
        return Err(VerifyError::StatementType(statement.kind));
    }
    if statement.subject.is_empty() {
        return Err(VerifyError::NoSubjects);
    }
    let predicate_type = Some(statement.predicate_type.clone());
    same("predicate type", predicate_type, expectations.predicate_type.as_deref())?;
    let builder_id = text_at(&statement.predicate, "/runDetails/builder/id");
    same("builder", builder_id.clone(), expectations.builder_id.as_deref())?;
    if let Some(wanted) = &expectations.source_uri {
        source_is(&statement.predicate, wanted)?;
    }
    if let Some(artifact) = &expectations.artifact {
        is_about(&statement, artifact, directory)?;
    }
    Ok(Verified {
        predicate_type: statement.predicate_type,
        builder_id,
        subjects: statement.subject.into_iter().map(|subject| subject.name).collect(),
    })
}

fn statement_of(text: &str, key: Option<&VerifyingKey>) -> Result<Statement, VerifyError> {
    let malformed = |error: serde_json::Error| VerifyError::Malformed(error.to_string());
    let value: Value = serde_json::from_str(text).map_err(malformed)?;
    if value.get("payloadType").is_none() {
        let statement: Statement = serde_json::from_str(text).map_err(malformed)?;
        return if key.is_none() {
            Ok(statement)
        } else {
            Err(VerifyError::Unsigned)
        };
    }
    // From the text: what is given twice is refused, as readers differ in which of both they take.
    let envelope: Envelope = serde_json::from_str(text).map_err(malformed)?;
    let key = key.ok_or(VerifyError::Unchecked)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(VerifyError::PayloadType(envelope.payload_type));
    }
    let Some(payload) = envelope.verified_payload(key) else {
        return Err(VerifyError::Signature {
            wanted: key.id()?,
            found: envelope.key_ids().into_iter().map(str::to_owned).collect(),
        });
    };
    serde_json::from_slice(&payload).map_err(malformed)
}

fn same(what: &'static str, found: Option<String>, wanted: Option<&str>) -> Result<(), VerifyError> {
    match wanted {
        Some(wanted) if found.as_deref() != Some(wanted) => Err(VerifyError::Unexpected {
            what,
            found,
            wanted: wanted.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn source_is(predicate: &Value, wanted: &str) -> Result<(), VerifyError> {
    let dependencies = predicate.pointer("/buildDefinition/resolvedDependencies");
    let dependencies = dependencies.and_then(Value::as_array);
    let mut uris = dependencies
        .into_iter()
        .flatten()
        .filter_map(|one| text_at(one, "/uri"));
    let first = uris.next();
    let is_wanted = |uri: &str| uri == wanted || without_ref(uri) == Some(wanted);
    if first.iter().cloned().chain(uris).any(|uri| is_wanted(&uri)) {
        return Ok(());
    }
    Err(VerifyError::Unexpected {
        what: "source",
        found: first,
        wanted: wanted.to_owned(),
    })
}

/// A URI without the `@ref` at its end. An `@` in the name of the host is none: what stands before it is a user's name.
fn without_ref(uri: &str) -> Option<&str> {
    let (bare, _) = uri.rsplit_once('@')?;
    let path = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    path.contains('/').then_some(bare)
}

/// Is the statement about this file, or about the artifact of this id?
fn is_about(statement: &Statement, artifact: &str, directory: &Path) -> Result<(), VerifyError> {
    let path = directory.join(artifact);
    let names = || statement.subject.iter().map(|subject| subject.name.clone()).collect();
    if !path.exists() {
        let subject = statement.subject.iter().find(|subject| is_named(subject, artifact));
        let Some(subject) = subject else {
            return Err(VerifyError::NoSubject {
                artifact: artifact.to_owned(),
                sum: "(no file of that name exists) ".into(),
                subjects: names(),
            });
        };
        return holds_together(statement, subject);
    }
    let file_error = |source| VerifyError::File {
        path: path.clone(),
        source,
    };
    let mut file = File::open(&path).map_err(file_error)?;
    let mut sum = Sha256::new();
    std::io::copy(&mut file, &mut sum).map_err(file_error)?;
    let sum = hex::encode(sum.finalize());
    let is_subject = |subject: &Subject| subject.sha256().is_some_and(|given| given.eq_ignore_ascii_case(&sum));
    if statement.subject.iter().any(is_subject) {
        return Ok(());
    }
    Err(VerifyError::NoSubject {
        artifact: artifact.to_owned(),
        sum: format!("(SHA-256 {sum}) "),
        subjects: names(),
    })
}

/// `BUILDER:region:ami-1,region2:ami-2` is asked for as a whole, without the builder, or by one of its AMIs.
fn is_named(subject: &Subject, wanted: &str) -> bool {
    let Some((_, id)) = subject.name.split_once(':') else {
        return subject.name == wanted;
    };
    let is_part = |part: &str| part == wanted || part.rsplit_once(':').is_some_and(|(_, ami)| ami == wanted);
    subject.name == wanted || id == wanted || id.split(',').any(is_part)
}

/// The digest of a subject without a file is that of its identity, which a by-product may tell in full.
fn holds_together(statement: &Statement, subject: &Subject) -> Result<(), VerifyError> {
    let broken = || VerifyError::Identity(subject.name.clone());
    let byproducts = statement.predicate.pointer("/runDetails/byproducts");
    let byproducts = byproducts.and_then(Value::as_array).into_iter().flatten();
    let told = byproducts
        .filter(|one| text_at(one, "/name").as_deref() == Some(IDENTITY))
        .find_map(|one| BASE64_STANDARD.decode(text_at(one, "/content")?).ok());
    let text = if let Some(text) = told {
        text
    } else {
        let (builder_id, id) = subject.name.split_once(':').ok_or_else(broken)?;
        let identity = Identity {
            builder_id: builder_id.to_owned(),
            id: id.to_owned(),
        };
        go_json::compact(&identity).into_bytes()
    };
    let names_it = serde_json::from_slice::<Identity>(&text).is_ok_and(|identity| identity.name() == subject.name);
    let has_digest = subject.sha256() == Some(hex::encode(Sha256::digest(&text)).as_str());
    if names_it && has_digest { Ok(()) } else { Err(broken()) }
}

fn text_at(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_what_follows_the_path() {
        let bare = "git+https://git.example/images";
        assert_eq!(without_ref(&format!("{bare}@refs/heads/main")), Some(bare));
        assert_eq!(without_ref("git+https://git.example@evil.example/a/b"), None);
        assert_eq!(
            without_ref("git+https://git.example@evil.example/a/b@main"),
            Some("git+https://git.example@evil.example/a/b")
        );
        assert_eq!(without_ref(bare), None);
    }
}
