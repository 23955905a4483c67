//! The way to a WinRM service: directly or through the environment's proxy, with TLS or without.

use std::collections::BTreeMap;

use bakelite_net::Network;
use bakelite_net::proxies::UnusableProxy;
use bakelite_net::trust::{Trust, TrustError};
use hyper::Uri;

use super::config::Config;
use crate::dial::{DialError, Stream};

pub(crate) use bakelite_net::network::Forwarding;

/// Why there is no way, whatever the instance does.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The host is neither a name nor an address.
    #[error("`{0}` is not the name of a host")]
    Host(String),
    /// The environment names a proxy that is none.
    #[error(transparent)]
    Proxy(#[from] UnusableProxy),
    /// There are no certificates to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// How streams to the service are opened.
pub(crate) struct Route {
    network: Network,
    url: Uri,
    is_tls: bool,
    /// A proxy that forwards requests, which name the whole URL then.
    pub(crate) forwarding: Option<Forwarding>,
}

impl Route {
    /// The way to the service by its configuration and the environment.
    pub(crate) async fn new(config: &Config, environment: &BTreeMap<String, String>) -> Result<Route, RouteError> {
        let url: Uri = config
            .url()
            .parse()
            .map_err(|_| RouteError::Host(config.host.clone()))?;
        let mut network = Network::new(environment);
        if config.no_proxy {
            network = network.direct();
        }
        if config.insecure {
            network = network.trusting(Trust::Everyone);
        }
        if config.tls {
            network.prepare().await?;
        }
        Ok(Route {
            forwarding: network.forwarding(&url)?,
            network,
            url,
            is_tls: config.tls,
        })
    }

    /// Is it encrypted by itself?
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Opens a stream.
    pub(crate) async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        Ok(Box::new(self.network.http(&self.url).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_proxy_is_an_error_that_hides_its_login() {
        let config = Config {
            host: "windows.example".into(),
            port: 5985,
            ..Config::default()
        };
        let environment = BTreeMap::from([("HTTP_PROXY".to_owned(), "ftp://me:s3cret@proxy.test:1".to_owned())]);
        let error = Route::new(&config, &environment).await.err().unwrap().to_string();
        assert!(
            error.contains("ftp://proxy.test:1") && !error.contains("s3cret"),
            "{error}"
        );
        let direct = Config {
            no_proxy: true,
            ..config
        };
        assert!(Route::new(&direct, &environment).await.unwrap().forwarding.is_none());
    }
}
