//! Requests to Vault and Consul, against recorded exchanges.

use bakelite_engine::error::Error;
use bakelite_net::proxies::Environment;

use super::*;
use bakelite_test_support::exchange::Exchange;

/// A Vault with KV 2 answers like this (API reference, "Read secret version").
const KV2: &str = "HTTP/1.1 200 OK\nContent-Type: application/json\n\n\
    {\"request_id\":\"1\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\
    \"data\":{\"data\":{\"password\":\"s3cret\",\"port\":5432},\"metadata\":{\"version\":2}},\"warnings\":null}";
const KV1: &str = "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"data\":{\"password\":\"old\"}}";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\nContent-Type: application/json\n\n\
    {\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}";
const NO_SECRET: &str = "HTTP/1.1 404 Not Found\nContent-Type: application/json\n\n{\"errors\":[]}";
const DELETED: &str = "HTTP/1.1 404 Not Found\nContent-Type: application/json\n\n\
    {\"data\":{\"data\":null,\"metadata\":{\"destroyed\":false}}}";

fn environment(variables: &[(&str, &str)]) -> Arc<Environment> {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Arc::new(owned.collect())
}

async fn answer(function: &str, arguments: &[&str], environment: &Arc<Environment>) -> Result<String, String> {
    let arguments: Vec<Value> = arguments.iter().map(Value::string).collect();
    match ask(function, &arguments, environment).await {
        Ok(value) => Ok(value.as_str().unwrap().to_owned()),
        Err(error) => Err(Error::from(error).report().text),
    }
}

async fn vault(plays: &'static [&'static str], key: &str) -> (Result<String, String>, Vec<String>) {
    let exchange = Exchange::play(plays);
    let address = format!("http://{}/", exchange.address);
    let variables = [
        ("VAULT_ADDR", address.as_str()),
        ("VAULT_TOKEN", "hvs.token"),
        ("VAULT_NAMESPACE", "team"),
    ];
    let answer = answer("vault", &["/secret/data/my app", key], &environment(&variables)).await;
    (answer, exchange.asked())
}

#[tokio::test]
async fn vault_is_asked_for_a_versioned_secret() {
    let (password, asked) = vault(&[KV2], "password").await;
    assert_eq!(password.unwrap(), "s3cret");
    assert_eq!(
        asked,
        ["GET /v1/secret/data/my%20app HTTP/1.1\n\
          accept: */*\nx-vault-namespace: team\nx-vault-request: true\nx-vault-token: hvs.token\n\n"]
    );
    assert_eq!(vault(&[KV2], "port").await.0.unwrap(), "5432");
    assert_eq!(vault(&[KV1], "password").await.0.unwrap(), "old");
}

#[tokio::test]
async fn what_vault_refuses_is_reported() {
    let (no_key, _) = vault(&[KV2], "user").await;
    assert_eq!(
        no_key.unwrap_err(),
        "the secret `/secret/data/my app` has no key `user`; it has `password`, `port`"
    );
    let (forbidden, _) = vault(&[FORBIDDEN], "password").await;
    let forbidden = forbidden.unwrap_err();
    assert!(forbidden.contains("permission denied"), "{forbidden}");
    for nothing in [&[NO_SECRET], &[DELETED]] {
        let (nothing, _) = vault(nothing, "password").await;
        assert_eq!(
            nothing.unwrap_err(),
            "there is nothing at `/secret/data/my app` in Vault"
        );
    }
    let no_token = answer("vault", &["a", "b"], &environment(&[])).await;
    assert_eq!(no_token.unwrap_err(), "`VAULT_TOKEN` must be set");
}

#[tokio::test]
async fn consul_is_asked_for_the_raw_value() {
    let exchange = Exchange::play(&["HTTP/1.1 200 OK\nContent-Type: application/octet-stream\n\n eu-west-1\n"]);
    let variables = [
        ("CONSUL_HTTP_ADDR", exchange.address.as_str()),
        ("CONSUL_HTTP_TOKEN", "t"),
    ];
    let region = answer("consul_key", &["service/région"], &environment(&variables)).await;
    assert_eq!(region.unwrap(), " eu-west-1\n");
    assert_eq!(
        exchange.asked(),
        ["GET /v1/kv/service/r%C3%A9gion?raw HTTP/1.1\naccept: */*\nx-consul-token: t\n\n"]
    );
}

#[tokio::test]
async fn what_consul_refuses_is_reported() {
    let exchange = Exchange::play(&["HTTP/1.1 404 Not Found\n\n", "HTTP/1.1 403 Forbidden\n\nACL not found"]);
    let environment = environment(&[("CONSUL_HTTP_ADDR", exchange.address.as_str())]);
    let absent = answer("consul_key", &["k"], &environment).await;
    assert_eq!(absent.unwrap_err(), "there is nothing at `k` in Consul");
    let forbidden = answer("consul_key", &["k"], &environment).await;
    assert_eq!(forbidden.unwrap_err(), "Consul refused `k`: ACL not found");
    exchange.asked();
}

#[tokio::test]
async fn settings_that_mean_nothing_are_errors() {
    for (variable, value, expected) in [
        ("CONSUL_HTTP_ADDR", "unix:///run/consul.sock", "HOST:PORT"),
        ("CONSUL_HTTP_SSL", "perhaps", "`true` or `false`"),
        ("CONSUL_HTTP_TOKEN_FILE", "/nowhere", "failed to read `/nowhere`"),
    ] {
        let error = answer("consul_key", &["k"], &environment(&[(variable, value)]))
            .await
            .unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
