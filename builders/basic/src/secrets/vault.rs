//! One value of one secret of Vault. <https://developer.hashicorp.com/vault/api-docs/secret/kv>

use std::sync::Arc;

use bakelite_net::proxies::Environment;
use bakelite_net::vault;
use serde_json::Value as Json;

use super::Problem;

/// One value of the secret at a path.
pub(super) async fn read(secret: &str, key: &str, environment: &Arc<Environment>) -> Result<String, Problem> {
    let data = vault::read(secret, environment).await?.data;
    match data.get(key) {
        None => Err(Problem::NoKey {
            path: secret.to_owned(),
            key: key.to_owned(),
            keys: data.keys().map(|key| format!("`{key}`")).collect(),
        }),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
    }
}
