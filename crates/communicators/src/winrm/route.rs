//! The way to a WinRM service: straight or through the environment's HTTP proxy, with TLS or without.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::config::Config;
use crate::dial::{Dial, DialError, Stream, Tcp};
use crate::ssh::proxy::{Proxy, ProxyKind};

/// Why there is no way, whatever the instance does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    /// The host is no name and no address.
    #[error("`{0}` is no name of a host")]
    Host(String),
    /// A proxy that is reached in a way we do not know.
    #[error("the proxy `{0}` of the environment is neither http:// nor socks5://")]
    Proxy(String),
    /// The system's certificates cannot be read.
    #[error("read the certificates that this machine trusts: {0}")]
    Roots(String),
    /// The library refuses its own defaults.
    #[error("prepare TLS")]
    Tls(#[from] rustls::Error),
}

/// How streams to the service are opened.
pub(crate) struct Route {
    dial: Arc<dyn Dial>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Requests name the whole URL and this login, for a proxy that passes them on.
    pub(crate) forwarding: Option<Forwarding>,
}

/// Of a proxy that reads requests.
pub(crate) struct Forwarding {
    /// The value of `Proxy-Authorization`.
    pub(crate) login: Option<hyper::header::HeaderValue>,
}

impl Route {
    /// The way to the service by its configuration and the environment.
    pub(crate) async fn new(config: &Config, environment: &BTreeMap<String, String>) -> Result<Route, RouteError> {
        let (host, port) = (config.host.as_str(), config.port);
        let unknown = || RouteError::Host(host.to_owned());
        let tls = if config.tls {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| unknown())?;
            Some((connector(config.insecure, environment).await?, name))
        } else {
            None
        };
        let url: Uri = config.url().parse().map_err(|_| unknown())?;
        let proxy = if config.no_proxy || is_this_machine(&url) {
            None
        } else {
            proxies(environment).intercept(&url)
        };
        let dial = Arc::new(Tcp::new(host.trim_matches(['[', ']']), port, None));
        match proxy {
            Some(proxy) => through(&proxy, host, port, tls),
            None => Ok(Route {
                dial,
                tls,
                forwarding: None,
            }),
        }
    }

    /// Is it encrypted by itself?
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens a stream.
    pub(crate) async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        let stream = self.dial.open().await?;
        match &self.tls {
            None => Ok(stream),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

/// The way through a proxy: one that only passes bytes, or one that reads plain requests.
fn through(
    proxy: &Intercept,
    host: &str,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
) -> Result<Route, RouteError> {
    let unknown = || RouteError::Proxy(proxy.uri().to_string());
    let proxy_host = proxy.uri().host().ok_or_else(unknown)?.trim_matches(['[', ']']);
    let (kind, usual) = match proxy.uri().scheme_str() {
        Some("http") => (ProxyKind::Http, 80),
        Some("socks5" | "socks5h") => (ProxyKind::Socks5, 1080),
        _ => return Err(unknown()),
    };
    let proxy_port = proxy.uri().port_u16().unwrap_or(usual);
    let to_proxy = Arc::new(Tcp::new(proxy_host, proxy_port, None));
    if kind == ProxyKind::Http && tls.is_none() {
        let login = proxy.basic_auth().cloned();
        return Ok(Route {
            dial: to_proxy,
            tls,
            forwarding: Some(Forwarding { login }),
        });
    }
    let basic = proxy.basic_auth().and_then(|value| decoded_login(value.as_bytes()));
    let raw = proxy
        .raw_auth()
        .map(|(user, password)| (user.to_owned(), password.to_owned()));
    let dial = Proxy {
        kind,
        dial: to_proxy,
        name: format!("{proxy_host}:{proxy_port}"),
        login: raw.or(basic),
        login_hint: "the user and password in the environment's variable, as in http://USER:PASSWORD@HOST",
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
    };
    Ok(Route {
        dial: Arc::new(dial),
        tls,
        forwarding: None,
    })
}

/// User and password of `Basic …`.
fn decoded_login(value: &[u8]) -> Option<(String, String)> {
    let decoded = STANDARD.decode(value.strip_prefix(b"Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn proxies(environment: &BTreeMap<String, String>) -> Matcher {
    let value = |name: &str| {
        let either = [name.to_uppercase(), name.to_lowercase()];
        let found = either
            .iter()
            .find_map(|name| environment.get(name).filter(|value| !value.is_empty()));
        found.cloned().unwrap_or_default()
    };
    Matcher::builder()
        .all(value("ALL_PROXY"))
        .http(value("HTTP_PROXY"))
        .https(value("HTTPS_PROXY"))
        .no(value("NO_PROXY"))
        .build()
}

/// No proxy is asked for what is here.
fn is_this_machine(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

async fn connector(insecure: bool, environment: &BTreeMap<String, String>) -> Result<TlsConnector, RouteError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = if insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
    } else {
        builder.with_root_certificates(roots(environment).await?)
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// What this machine trusts, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` of the environment name instead.
async fn roots(environment: &BTreeMap<String, String>) -> Result<RootCertStore, RouteError> {
    let path = |name: &str| {
        environment
            .get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let (file, folder) = (path("SSL_CERT_FILE"), path("SSL_CERT_DIR"));
    let read = tokio::task::spawn_blocking(move || {
        if file.is_none() && folder.is_none() {
            rustls_native_certs::load_native_certs()
        } else {
            rustls_native_certs::load_certs_from_paths(file.as_deref(), folder.as_deref())
        }
    });
    let found = read.await.map_err(|error| RouteError::Roots(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match found.errors.first() {
        Some(error) if roots.is_empty() => Err(RouteError::Roots(error.to_string())),
        _ => Ok(roots),
    }
}

/// `winrm_insecure`: whoever answers is believed. Signatures are still checked, so that the line itself is whole.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intercepted(environment: &[(&str, &str)], url: &'static str) -> Option<String> {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let url = Uri::from_static(url);
        let proxy = proxies(&environment.collect()).intercept(&url)?;
        Some(proxy.uri().to_string())
    }

    #[test]
    fn proxies_come_from_the_environment_given() {
        let environment = [
            ("HTTP_PROXY", "http://p:1"),
            ("https_proxy", "q:2"),
            ("NO_PROXY", ".example,10.0.0.0/8"),
        ];
        assert_eq!(
            intercepted(&environment, "http://h:5985/").as_deref(),
            Some("http://p:1/")
        );
        assert_eq!(
            intercepted(&environment, "https://h:5986/").as_deref(),
            Some("http://q:2/")
        );
        assert_eq!(intercepted(&environment, "http://w.example:5985/"), None);
        assert_eq!(intercepted(&environment, "http://10.1.2.3:5985/"), None);
        assert_eq!(intercepted(&[], "http://h:5985/"), None);
    }

    #[tokio::test]
    async fn a_proxy_of_another_kind_is_an_error_that_hides_its_login() {
        let config = Config {
            host: "windows.example".into(),
            port: 5985,
            ..Config::default()
        };
        let environment = BTreeMap::from([("HTTP_PROXY".to_owned(), "https://me:s3cret@proxy.test:1".to_owned())]);
        let error = Route::new(&config, &environment).await.err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains("https://proxy.test:1") && !text.contains("s3cret"),
            "{text}"
        );
    }

    #[test]
    fn this_machine_needs_no_proxy() {
        for url in ["http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"] {
            assert!(is_this_machine(&Uri::from_static(url)), "{url}");
        }
        assert!(!is_this_machine(&Uri::from_static("http://10.0.0.1:1/")));
    }

    #[test]
    fn logins_of_proxies_are_read() {
        assert_eq!(decoded_login(b"Basic dTpwOnE="), Some(("u".into(), "p:q".into())));
        assert_eq!(decoded_login(b"Bearer x"), None);
    }
}
