//! Secrets Manager: what the functions `aws_secretsmanager` and `aws_secretsmanager_raw` of the template language ask, and the data
//! source `amazon-secretsmanager`.

use std::borrow::Cow;

use bakelite_engine::error::Explain;
use serde_json::{Map, Value as Json};

use crate::access::AccessOptions;
use crate::call::call;
use crate::client::Aws;
use crate::credentials::{AccessError, Environment};
use crate::error::AwsError;

/// Why there is no secret. What a secret holds is never in a message, the names of its keys are.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// AWS cannot be reached.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no such secret, or not in this version.
    #[error("there is no secret `{name}` in version `{version}`")]
    Absent {
        /// The secret.
        name: String,
        /// The id or the stage of the version.
        version: String,
        /// The answer.
        #[source]
        cause: Box<AwsError>,
    },
    /// The call failed.
    #[error("failed to read secret `{name}`")]
    Call {
        /// The secret.
        name: String,
        /// The answer.
        #[source]
        cause: Box<AwsError>,
    },
    /// The secret holds bytes.
    #[error("secret `{0}` is binary, not a string")]
    Binary(String),
    /// A key of a secret that has none.
    #[error("secret `{0}` is not a JSON object, so it has no keys")]
    NoObject(String),
    /// There is no such key, or none was given and there are several.
    #[error("secret `{name}` {}; it has {}", .key.as_ref().map_or("needs a key".to_owned(), |key| format!("has no key `{key}`")), .keys.join(", "))]
    Key {
        /// The secret.
        name: String,
        /// The key that was asked for.
        key: Option<String>,
        /// Those that there are.
        keys: Vec<String>,
    },
}

impl Explain for SecretError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            SecretError::Access(error) => error.help(),
            SecretError::Call { cause, .. } => cause.help(),
            SecretError::Absent { .. } => {
                Some("a secret belongs to a region and an account: `aws secretsmanager list-secrets` lists them".into())
            }
            SecretError::Key { key: None, .. } => Some("`key` names the one that becomes the value".into()),
            SecretError::Binary(_) | SecretError::NoObject(_) | SecretError::Key { .. } => None,
        }
    }
}

/// A version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The one with this id.
    Id(String),
    /// The one that has this label now: `AWSCURRENT`, `AWSPREVIOUS`.
    Stage(String),
}

/// The stage of the version that is in use.
pub const CURRENT: &str = "AWSCURRENT";

/// What a version of a secret holds: a string or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The string.
    pub string: Option<String>,
    /// The bytes.
    pub binary: Option<Vec<u8>>,
    /// The id of the version.
    pub version: String,
}

/// A secret, by its name or ARN.
pub async fn get(aws: &Aws, name: &str, version: &Version) -> Result<Secret, SecretError> {
    let request = aws.secrets_manager().get_secret_value().secret_id(name);
    let (request, shown) = match version {
        Version::Id(id) => (request.version_id(id), id),
        Version::Stage(stage) => (request.version_stage(stage), stage),
    };
    let answer = call("GetSecretValue", || request.clone().send()).await;
    let answer = answer.map_err(|error| {
        let (name, cause) = (name.to_owned(), Box::new(error));
        let is_absent = match cause.code.as_deref() {
            Some("ResourceNotFoundException") => true,
            Some("InvalidRequestException") => cause.message.contains("was deleted"),
            _ => false,
        };
        if is_absent {
            let version = shown.clone();
            SecretError::Absent { name, version, cause }
        } else {
            SecretError::Call { name, cause }
        }
    })?;
    Ok(Secret {
        string: answer.secret_string,
        binary: answer.secret_binary.map(aws_smithy_types::Blob::into_inner),
        version: answer.version_id.unwrap_or_default(),
    })
}

/// The whole string of a secret, by its name or ARN, with the credentials of the environment.
pub async fn whole(name: &str, environment: &Environment) -> Result<String, SecretError> {
    let aws = Aws::reach(&AccessOptions::default(), environment).await?;
    let secret = get(&aws, name, &Version::Stage(CURRENT.into())).await?;
    secret.string.ok_or_else(|| SecretError::Binary(name.to_owned()))
}

/// One value of a secret that is a JSON object. Without a key: its only value, or the whole string where that is not an object.
pub async fn value(name: &str, key: Option<&str>, environment: &Environment) -> Result<String, SecretError> {
    of_string(name, key, whole(name, environment).await?)
}

fn of_string(name: &str, key: Option<&str>, secret: String) -> Result<String, SecretError> {
    let key = key.filter(|key| !key.is_empty());
    match (members(&secret), key) {
        (Some(members), key) => member(name, key, &members),
        (None, Some(_)) => Err(SecretError::NoObject(name.to_owned())),
        (None, None) => Ok(secret),
    }
}

/// The members of a secret that is a JSON object.
fn members(secret: &str) -> Option<Map<String, Json>> {
    serde_json::from_str(secret).ok()
}

fn member(name: &str, key: Option<&str>, members: &Map<String, Json>) -> Result<String, SecretError> {
    let found = match key {
        Some(key) => members.get(key),
        None if members.len() == 1 => members.values().next(),
        None => None,
    };
    match found {
        Some(Json::String(text)) => Ok(text.clone()),
        // A number keeps its digits, everything else is its JSON.
        Some(other) => Ok(other.to_string()),
        None => Err(SecretError::Key {
            name: name.to_owned(),
            key: key.map(str::to_owned),
            keys: members.keys().cloned().collect(),
        }),
    }
}

/// The value of a secret as the data source has it: of an object the member of this key, else its only one; what is no object is the
/// value itself. A key that the object does not have is the empty string, as for Packer.
pub fn value_of(name: &str, key: Option<&str>, secret: &str) -> Result<String, SecretError> {
    let Some(members) = members(secret) else {
        return Ok(secret.to_owned());
    };
    match member(name, key.filter(|key| !key.is_empty()), &members) {
        Err(SecretError::Key { key: Some(_), .. }) => Ok(String::new()),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str, key: Option<&str>) -> Result<String, String> {
        of_string("db", key, secret.to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_chooses_a_value() {
        let secret = r#"{"user": "admin", "port": 5432}"#;
        assert_eq!(of(secret, Some("user")), Ok("admin".into()));
        assert_eq!(of(secret, Some("port")), Ok("5432".into()));
        assert_eq!(
            of(secret, Some("x")),
            Err("secret `db` has no key `x`; it has user, port".into())
        );
        assert_eq!(
            of(secret, None),
            Err("secret `db` needs a key; it has user, port".into())
        );
    }

    #[test]
    fn without_a_key_there_is_one_value_or_a_text() {
        assert_eq!(of(r#"{"only": "one"}"#, None), Ok("one".into()));
        assert_eq!(of("plain text", Some("")), Ok("plain text".into()));
        assert_eq!(
            of("hush", Some("x")),
            Err("secret `db` is not a JSON object, so it has no keys".into())
        );
    }

    #[test]
    fn a_data_source_keeps_digits_and_needs_a_key_for_several() {
        let secret = r#"{"big": 12345678901234567890123, "half": 1.50, "on": true, "list": [1, {"a": null}]}"#;
        let value = |key, secret| value_of("db", key, secret).map_err(|error| error.to_string());
        for (key, expected) in [
            ("big", "12345678901234567890123"),
            ("half", "1.50"),
            ("on", "true"),
            ("list", r#"[1,{"a":null}]"#),
            ("nowhere", ""),
        ] {
            assert_eq!(value(Some(key), secret).unwrap(), expected, "{key}");
        }
        let error = value_of("db", None, secret).unwrap_err();
        assert_eq!(error.to_string(), "secret `db` needs a key; it has big, half, on, list");
        assert!(error.help().unwrap().starts_with("`key` "));
        for text in ["plain", "[1, 2]", "5", "\"quoted\"", ""] {
            assert_eq!(value(None, text).unwrap(), text);
            assert_eq!(value(Some("x"), text).unwrap(), text);
        }
    }
}
