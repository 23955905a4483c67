//! The functions of the language that ask a store of secrets or settings: `vault` and `consul_key`.

mod consul;
mod vault;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bakelite_engine::error::Explain;
use bakelite_hcl::value::Value;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::{Environment, HttpError, Trust};

/// Why a store gave no answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SecretError(#[from] Problem);

impl Explain for SecretError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match &self.0 {
            Problem::Http { source, .. } => source.help(),
            Problem::NotSet("VAULT_TOKEN") => {
                Some("log in to Vault and set it: VAULT_TOKEN=$(vault print token)".into())
            }
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("`{0}` must be set")]
    NotSet(&'static str),
    #[error("`{variable}` is `{value}`: {expected}")]
    Setting {
        variable: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("failed to read `{}`", .file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("{store} refused `{what}`: {said}")]
    Refused {
        store: &'static str,
        what: String,
        said: String,
    },
    #[error("failed to read `{what}` from {store}")]
    Http {
        store: &'static str,
        what: String,
        source: HttpError,
    },
    #[error("failed to read `{what}` from {store}: the answer is not one of {store}")]
    Answer {
        store: &'static str,
        what: String,
        source: serde_json::Error,
    },
    #[error("there is nothing at `{what}` in {store}")]
    Nothing { store: &'static str, what: String },
    #[error("the secret `{path}` has no key `{key}`; it has {}", .keys.join(", "))]
    NoKey {
        path: String,
        key: String,
        keys: Vec<String>,
    },
    #[error("`{0}` takes strings")]
    Arguments(String),
    #[error("`{0}` is not supported yet: it needs a service of AWS that bakelite has no client for")]
    Unsupported(String),
}

/// The answer to `vault(path, key)` or `consul_key(key)`, from the server that the environment names.
pub async fn ask(
    function: &str,
    arguments: &[Value],
    environment: &Arc<BTreeMap<String, String>>,
) -> Result<Value, SecretError> {
    let strings: Option<Vec<&str>> = arguments.iter().map(Value::as_str).collect();
    let answer = match (function, strings.as_deref()) {
        ("vault", Some([path, key])) => vault::read(path, key, environment).await?,
        ("consul_key", Some([key])) => consul::read(key, environment).await?,
        ("vault" | "consul_key", _) => return Err(Problem::Arguments(function.to_owned()).into()),
        _ => return Err(Problem::Unsupported(function.to_owned()).into()),
    };
    Ok(Value::string(answer))
}

/// A variable that is set and not empty.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let value = environment.get(name).map(|value| value.trim());
    value.filter(|value| !value.is_empty())
}

/// A variable that is a boolean.
fn switch(environment: &Environment, name: &'static str) -> Result<Option<bool>, Problem> {
    let Some(value) = variable(environment, name) else {
        return Ok(None);
    };
    match value.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Ok(Some(true)),
        "0" | "f" | "false" => Ok(Some(false)),
        _ => Err(Problem::Setting {
            variable: name,
            value: value.to_owned(),
            expected: "it must be `true` or `false`",
        }),
    }
}

/// Whom to trust by the two variables that both stores have for it.
fn trust(environment: &Environment, authorities: &str, everyone: bool) -> Trust {
    match variable(environment, authorities) {
        _ if everyone => Trust::Everyone,
        Some(file) => Trust::File(PathBuf::from(file)),
        None => Trust::System,
    }
}

/// A path in a store as a path of a URL.
fn path(text: &str) -> String {
    const OUTSIDE: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text.trim_start_matches('/'), OUTSIDE).to_string()
}

#[cfg(test)]
mod tests;
