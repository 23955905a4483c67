//! Vault's HTTP API, as far as reading one value of one secret goes.
//! <https://developer.hashicorp.com/vault/api-docs/secret/kv>

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{Problem, path, switch, trust, variable};
use crate::http::{Environment, HttpError, Sending, send};

const STORE: &str = "Vault";
const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

#[derive(Deserialize)]
struct Secret {
    data: Option<Map<String, Json>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errors: Vec<String>,
}

/// One value of the secret at a path. Engines that keep versions (KV 2) nest the secret; its path shows it (`secret/data/NAME`).
pub(super) async fn read(secret: &str, key: &str, environment: &Arc<Environment>) -> Result<String, Problem> {
    let sending = request(secret, environment)?;
    let what = secret.to_owned();
    let answer = match send(sending, Arc::clone(environment)).await {
        Ok(answer) => answer,
        Err(error) => return Err(refused(what, error)),
    };
    let answered: Secret = serde_json::from_str(&answer.body).map_err(|source| Problem::Answer {
        store: STORE,
        what: what.clone(),
        source,
    })?;
    let outer = answered.data.unwrap_or_default();
    let data = match outer.get("data") {
        Some(Json::Object(nested)) => nested,
        _ => &outer,
    };
    if data.is_empty() {
        return Err(Problem::Nothing { store: STORE, what });
    }
    match data.get(key) {
        None => Err(Problem::NoKey {
            path: what,
            key: key.to_owned(),
            keys: data.keys().map(|key| format!("`{key}`")).collect(),
        }),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
    }
}

fn request(secret: &str, environment: &Environment) -> Result<Sending, Problem> {
    let token = variable(environment, "VAULT_TOKEN").ok_or(Problem::NotSet("VAULT_TOKEN"))?;
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
        url: format!("{}/v1/{}", address.trim_end_matches('/'), path(secret)),
        headers,
        body: String::new(),
        trust: trust(environment, "VAULT_CACERT", everyone),
    })
}

fn refused(what: String, error: HttpError) -> Problem {
    if let HttpError::Status { status, body, .. } = &error {
        let refusal: Refusal = serde_json::from_str(body).unwrap_or_default();
        if !refusal.errors.is_empty() {
            let said: Vec<&str> = refusal.errors.iter().map(|error| error.trim()).collect();
            return Problem::Refused {
                store: STORE,
                what,
                said: said.join("; "),
            };
        }
        if status.as_u16() == 404 {
            return Problem::Nothing { store: STORE, what };
        }
    }
    Problem::Http {
        store: STORE,
        what,
        source: error,
    }
}
