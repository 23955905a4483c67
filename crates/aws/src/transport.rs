//! The transport of all clients: HTTP, with TLS by ring, through the environment's proxy.

use std::sync::OnceLock;
use std::time::Duration;

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use crate::authorities::Authorities;
use crate::credentials::{Environment, variable};

/// One transport for all clients of these options: they share its connections. Without authorities this machine's are believed.
pub(crate) fn client(environment: &Environment, authorities: Option<&Authorities>) -> SharedHttpClient {
    let proxy = proxy(environment);
    let transport = SharedHttpConnector::new(Transport {
        plain: connector(&proxy, TrustStore::empty()),
        secure: OnceLock::new(),
        trusted: authorities.map_or_else(TrustStore::default, Authorities::trust_store),
        proxy,
    });
    http_client_fn(move |_, _| transport.clone())
}

/// Reading the system's certificates takes longer than a call to the local cloud, so they are read with the first call that needs them.
#[derive(Debug)]
struct Transport {
    plain: Connector,
    secure: OnceLock<Connector>,
    trusted: TrustStore,
    proxy: ProxyConfig,
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().starts_with("http://") {
            return self.plain.call(request);
        }
        self.secure
            .get_or_init(|| connector(&self.proxy, self.trusted.clone()))
            .call(request)
    }
}

fn connector(proxy: &ProxyConfig, certificates: TrustStore) -> Connector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_mins(1))
        .build();
    let builder = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .proxy_config(proxy.clone())
        .tls_provider(Provider::Rustls(CryptoMode::Ring));
    match TlsContext::builder().with_trust_store(certificates).build() {
        Ok(context) => builder.tls_context(context).build(),
        // Only certificates given as text can be wrong.
        Err(_) => builder.build(),
    }
}

/// The proxy of the environment; never for this machine itself.
fn proxy(environment: &Environment) -> ProxyConfig {
    let either = |upper: &str| {
        variable(environment, upper)
            .or_else(|| variable(environment, &upper.to_lowercase()))
            .map(str::to_owned)
    };
    let https = either("HTTPS_PROXY").and_then(|url| ProxyConfig::https(url).ok());
    let Some(config) = https.or_else(|| either("HTTP_PROXY").and_then(|url| ProxyConfig::http(url).ok())) else {
        return ProxyConfig::disabled();
    };
    let here = "127.0.0.1,localhost,::1,169.254.169.254";
    let rules = either("NO_PROXY").map_or_else(|| here.to_owned(), |rules| format!("{rules},{here}"));
    config.no_proxy(rules)
}
