//! The functions of the language that ask a store of secrets or settings: `vault` and `consul_key`.

mod consul;
mod vault;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bakelite_engine::error::Explain;
use bakelite_hcl::value::Value;

use bakelite_net::fetch::HttpError;
use bakelite_net::settings::SettingError;
use bakelite_net::vault::VaultError;

/// Why a store gave no answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SecretError(#[from] Problem);

impl Explain for SecretError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match &self.0 {
            Problem::Vault(error) => error.help().map(Cow::Owned),
            Problem::Http { source, .. } => source.help().map(Cow::Owned),
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("failed to read `{}`", .file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("Consul refused `{key}`: {reason}")]
    Refused { key: String, reason: String },
    #[error("failed to read `{key}` from Consul")]
    Http { key: String, source: HttpError },
    #[error("there is nothing at `{key}` in Consul")]
    Nothing { key: String },
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

#[cfg(test)]
mod tests;
