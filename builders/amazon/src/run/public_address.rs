//! The public address of this machine, as the world sees it, for `temporary_security_group_source_public_ip`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bakelite_aws::credentials::Environment;
use bakelite_engine::error::Explain;
use bakelite_net::fetch::{HttpError, Sending, send};
use tokio::time::timeout;

/// AWS's service that answers the address of who asks.
const SERVICE: &str = "https://checkip.amazonaws.com";
/// The variable of the environment that names another one.
const OTHER_SERVICE: &str = "BAKELITE_CHECKIP_URL";
/// The service answers at once or not at all.
const LIMIT: Duration = Duration::from_secs(15);

/// Why the address is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublicAddressError {
    #[error("failed to find the public address of this machine")]
    Request(#[from] HttpError),
    #[error("`{url}` did not answer the public address of this machine within {} s", LIMIT.as_secs())]
    TooLong { url: String },
    #[error("`{url}` was asked for the public address of this machine and answered `{answer}`")]
    NoAddress { url: String, answer: String },
}

impl Explain for PublicAddressError {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some("give the address yourself: `temporary_security_group_source_cidrs = [\"ADDRESS/32\"]`".into())
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("temporary_security_group_source_public_ip".into())
    }
}

/// Asks for the address, through the proxies of the environment.
pub(crate) async fn find(environment: &Arc<Environment>) -> Result<IpAddr, PublicAddressError> {
    let url = environment.get(OTHER_SERVICE).map_or(SERVICE, String::as_str);
    let sending = Sending {
        method: "GET",
        url: url.to_owned(),
        ..Sending::default()
    };
    let asked = timeout(LIMIT, send(sending, Arc::clone(environment))).await;
    let answer = asked.map_err(|_| PublicAddressError::TooLong { url: url.to_owned() })??;
    let answer = answer.body.trim();
    match answer.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => Ok(address),
        _ => Err(PublicAddressError::NoAddress {
            url: url.to_owned(),
            answer: answer.chars().take(100).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use bakelite_test_support::exchange::Exchange;

    use super::*;

    async fn found(answers: &'static [&'static str]) -> Result<String, String> {
        let service = Exchange::play(answers);
        let url = format!("http://{}", service.address);
        let environment = Environment::from([(OTHER_SERVICE.to_owned(), url)]);
        match find(&Arc::new(environment)).await {
            Ok(address) => Ok(address.to_string()),
            Err(error) => Err(bakelite_engine::chain_of(&error)),
        }
    }

    #[tokio::test]
    async fn the_answer_must_be_an_address() {
        let address = found(&["HTTP/1.1 200 OK\n\n203.0.113.7\n"]).await;
        assert_eq!(address.as_deref(), Ok("203.0.113.7"));
        for (answers, wanted) in [
            (&["HTTP/1.1 200 OK\n\n0.0.0.0\n"], "answered `0.0.0.0`"),
            (&["HTTP/1.1 200 OK\n\n<html>"], "answered `<html>`"),
            (&["HTTP/1.1 503 Busy\n\n"], "503"),
        ] {
            let error = found(answers).await.unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
