//! Consul's HTTP API, as far as reading one key goes. <https://developer.hashicorp.com/consul/api-docs/kv>

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Problem;
use bakelite_net::fetch::{HttpError, Sending, send};
use bakelite_net::proxies::Environment;
use bakelite_net::settings::{SettingError, switch, trust, url_path as path, variable};

const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";

/// The value of a key.
pub(super) async fn read(key: &str, environment: &Arc<Environment>) -> Result<String, Problem> {
    let sending = request(key, environment)?;
    let key = key.to_owned();
    match send(sending, Arc::clone(environment)).await {
        Ok(answer) => Ok(answer.body),
        Err(HttpError::Status { status, .. }) if status.as_u16() == 404 => Err(Problem::Nothing { key }),
        Err(HttpError::Status { body, .. }) if !body.trim().is_empty() => Err(Problem::Refused {
            key,
            reason: body.trim().to_owned(),
        }),
        Err(source) => Err(Problem::Http { key, source }),
    }
}

fn request(key: &str, environment: &Environment) -> Result<Sending, Problem> {
    let mut headers = BTreeMap::new();
    if let Some(token) = token(environment)? {
        headers.insert("X-Consul-Token".to_owned(), token);
    }
    let namespace = variable(environment, "CONSUL_NAMESPACE");
    let namespace = namespace.map_or(String::new(), |name| format!("&ns={}", path(name)));
    let verify = switch(environment, "CONSUL_HTTP_SSL_VERIFY")?.unwrap_or(true);
    Ok(Sending {
        method: "GET",
        url: format!("{}/v1/kv/{}?raw{namespace}", address(environment)?, path(key)),
        headers,
        body: String::new(),
        trust: trust(environment, "CONSUL_CACERT", !verify),
    })
}

/// Scheme and host. `CONSUL_HTTP_SSL` decides on the scheme where the address has none.
fn address(environment: &Environment) -> Result<String, Problem> {
    let address = variable(environment, "CONSUL_HTTP_ADDR").unwrap_or(DEFAULT_ADDRESS);
    let address = address.trim_end_matches('/');
    let encrypted = switch(environment, "CONSUL_HTTP_SSL")?.unwrap_or(false);
    match address.split_once("://") {
        Some(("http" | "https", _)) => Ok(address.to_owned()),
        Some(_) => Err(Problem::Setting(SettingError::Value {
            variable: "CONSUL_HTTP_ADDR",
            value: address.to_owned(),
            expected: "it must be HOST:PORT, or begin with `http://` or `https://`",
        })),
        None if encrypted => Ok(format!("https://{address}")),
        None => Ok(format!("http://{address}")),
    }
}

fn token(environment: &Environment) -> Result<Option<String>, Problem> {
    if let Some(token) = variable(environment, "CONSUL_HTTP_TOKEN") {
        return Ok(Some(token.to_owned()));
    }
    let Some(file) = variable(environment, "CONSUL_HTTP_TOKEN_FILE").map(PathBuf::from) else {
        return Ok(None);
    };
    let read = std::fs::read_to_string(&file);
    let token = read.map_err(|source| Problem::File { file, source })?;
    Ok(Some(token.trim().to_owned()))
}
