//! Secrets Manager: what the functions `aws_secretsmanager` and `aws_secretsmanager_raw` of the template language ask.

use std::borrow::Cow;

use bakelite_engine::error::Explain;
use serde_json::Value as Json;

use crate::access::AccessOptions;
use crate::client::Aws;
use crate::credentials::{AccessError, Environment};
use crate::error::AwsError;

/// Why there is no secret. What a secret holds is never in a message, the names of its keys are.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// AWS cannot be reached.
    #[error(transparent)]
    Access(#[from] AccessError),
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
            SecretError::Binary(_) | SecretError::NoObject(_) | SecretError::Key { .. } => None,
        }
    }
}

/// The whole string of a secret, by its name or ARN, with the credentials of the environment.
pub async fn whole(name: &str, environment: &Environment) -> Result<String, SecretError> {
    let aws = Aws::reach(&AccessOptions::default(), environment).await?;
    let answer = aws.secrets_manager().get_secret_value().secret_id(name).send().await;
    let answer = answer.map_err(|error| SecretError::Call {
        name: name.to_owned(),
        cause: Box::new(AwsError::of("GetSecretValue", &error)),
    })?;
    answer.secret_string.ok_or_else(|| SecretError::Binary(name.to_owned()))
}

/// One value of a secret that is a JSON object. Without a key: its only value, or the whole string where that is not an object.
pub async fn value(name: &str, key: Option<&str>, environment: &Environment) -> Result<String, SecretError> {
    member(name, key, whole(name, environment).await?)
}

fn member(name: &str, key: Option<&str>, secret: String) -> Result<String, SecretError> {
    let key = key.filter(|key| !key.is_empty());
    let Ok(Json::Object(members)) = serde_json::from_str(&secret) else {
        return match key {
            Some(_) => Err(SecretError::NoObject(name.to_owned())),
            None => Ok(secret),
        };
    };
    let found = match key {
        Some(key) => members.get(key),
        None if members.len() == 1 => members.values().next(),
        None => None,
    };
    match found {
        Some(Json::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
        None => Err(SecretError::Key {
            name: name.to_owned(),
            key: key.map(str::to_owned),
            keys: members.keys().cloned().collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str, key: Option<&str>) -> Result<String, String> {
        member("db", key, secret.to_owned()).map_err(|error| error.to_string())
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
}
