//! Vault's HTTP API, as far as reading a secret and asking an engine for credentials go. The server is the one that the environment
//! names, as for Vault's own tools. <https://developer.hashicorp.com/vault/api-docs>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::fetch::{HttpError, Sending, send};
pub use crate::proxies::Environment;
use crate::settings::{SettingError, switch, trust, url_path, variable};

const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// What Vault answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Secret {
    /// Its members.
    pub data: Map<String, Json>,
    /// How long it is valid; zero where that is not limited.
    pub lease: Duration,
}

/// Why Vault gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A setting that is wrong or missing.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Vault said no.
    #[error("Vault refused `{path}`: {reason}")]
    Refused {
        /// What was asked for.
        path: String,
        /// What it answered.
        reason: String,
    },
    /// Vault was not reached, or answered with an error that is not its own.
    #[error("failed to read `{path}` from Vault")]
    Http {
        /// What was asked for.
        path: String,
        /// The cause.
        source: HttpError,
    },
    /// Something else answered.
    #[error("failed to read `{path}` from Vault: the answer is not one of Vault")]
    Answer {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is no such secret.
    #[error("there is nothing at `{path}` in Vault")]
    Nothing {
        /// What was asked for.
        path: String,
    },
}

impl VaultError {
    /// What to do, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Setting(error) => error.help().map(str::to_owned),
            Self::Http { source, .. } => source.help(),
            _ => None,
        }
    }
}

/// The secret at a path. Engines that keep versions (KV 2) nest the secret; its path shows it (`secret/data/NAME`).
pub async fn read(path: &str, environment: &Arc<Environment>) -> Result<Secret, VaultError> {
    ask("GET", path, String::new(), environment).await
}

/// What a path answers when these members are written to it.
pub async fn write(
    path: &str,
    members: Map<String, Json>,
    environment: &Arc<Environment>,
) -> Result<Secret, VaultError> {
    ask("PUT", path, Json::Object(members).to_string(), environment).await
}

async fn ask(
    method: &'static str,
    path: &str,
    body: String,
    environment: &Arc<Environment>,
) -> Result<Secret, VaultError> {
    let sending = Sending {
        method,
        body,
        ..request(path, environment)?
    };
    let answer = match send(sending, Arc::clone(environment)).await {
        Ok(answer) => answer,
        Err(error) => return Err(refused(path.to_owned(), error)),
    };
    let answered: Json = serde_json::from_str(&answer.body).map_err(|source| VaultError::Answer {
        path: path.to_owned(),
        source,
    })?;
    let mut data = answered
        .get("data")
        .and_then(Json::as_object)
        .cloned()
        .unwrap_or_default();
    if let Some(Json::Object(nested)) = data.get_mut("data") {
        data = std::mem::take(nested);
    }
    if data.is_empty() || data.get("data").is_some_and(Json::is_null) {
        return Err(VaultError::Nothing { path: path.to_owned() });
    }
    let lease = answered.get("lease_duration").and_then(Json::as_u64);
    Ok(Secret {
        data,
        lease: Duration::from_secs(lease.unwrap_or_default()),
    })
}

fn request(path: &str, environment: &Environment) -> Result<Sending, SettingError> {
    let token = variable(environment, "VAULT_TOKEN").ok_or(SettingError::Missing("VAULT_TOKEN"))?;
    let address = variable(environment, "VAULT_ADDR").unwrap_or(DEFAULT_ADDRESS);
    let everyone = switch(environment, "VAULT_SKIP_VERIFY")?.unwrap_or(false);
    let mut headers = BTreeMap::from([
        ("X-Vault-Token".to_owned(), token.to_owned()),
        ("X-Vault-Request".to_owned(), "true".to_owned()),
    ]);
    if let Some(namespace) = variable(environment, "VAULT_NAMESPACE") {
        headers.insert("X-Vault-Namespace".to_owned(), namespace.to_owned());
    }
    Ok(Sending {
        method: "GET",
        url: format!("{}/v1/{}", address.trim_end_matches('/'), url_path(path)),
        headers,
        body: String::new(),
        trust: trust(environment, "VAULT_CACERT", everyone),
    })
}

/// The errors that Vault lists, where it lists any.
fn refused(path: String, error: HttpError) -> VaultError {
    if let HttpError::Status { status, body, .. } = &error {
        let answered: Json = serde_json::from_str(body).unwrap_or_default();
        let errors = answered.get("errors").and_then(Json::as_array).into_iter().flatten();
        let errors: Vec<&str> = errors.filter_map(Json::as_str).map(str::trim).collect();
        if !errors.is_empty() {
            let reason = errors.join("; ");
            return VaultError::Refused { path, reason };
        }
        if status.as_u16() == 404 {
            return VaultError::Nothing { path };
        }
    }
    VaultError::Http { path, source: error }
}
