//! The HTTP client of this crate: one request, with the proxies and certificates that the environment names, and an answer that is
//! text. Data source `http`, Vault and Consul differ in what they send and in whom they trust.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

/// Environment variables, as `RunContext` has them.
pub(crate) type Environment = BTreeMap<String, String>;

/// A server that does not answer is given up after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A request with all its redirects, from the first name to the last byte.
const TIMEOUT: Duration = Duration::from_mins(5);
/// The most bytes that are read: what comes of it is a value in a template.
const LARGEST_BODY: u64 = 64 << 20;

/// What to send.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// Empty: none is sent.
    pub(crate) body: String,
    pub(crate) trust: Trust,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// What this machine believes; where it has no certificates at all (a container from scratch), Mozilla's list.
    #[default]
    System,
    /// The authorities in this PEM file and no others.
    File(PathBuf),
    /// Everyone, because the user says so.
    Everyone,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Names in lower case; the values of a header that came several times are joined by `, ` (RFC 9110, 5.3).
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Why a request got no usable answer. Messages show no user, password or query of the URL: there may be secrets in them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("read the URL `{url}`: it must begin with `http://` or `https://` and name a host")]
    Url { url: String },
    #[error("read the header `{name}`: it is not a header of HTTP")]
    Header { name: String },
    #[error("read the environment variable `{variable}`: it is not the URL of a proxy")]
    Proxy { variable: &'static str },
    #[error("read the certificates in `{}`", .file.display())]
    ReadCertificates { file: PathBuf, source: std::io::Error },
    #[error("read the certificates in `{}`: there are none in PEM form", .file.display())]
    NoCertificates { file: PathBuf },
    #[error("`{method} {url}`")]
    Send {
        method: &'static str,
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("`{method} {url}` was answered with {status}")]
    Status {
        method: &'static str,
        url: String,
        status: ureq::http::StatusCode,
        /// What the server said about it.
        body: String,
    },
    #[error("`{method} {url}` was answered with something that is not text in UTF-8")]
    NotText { method: &'static str, url: String },
    #[error("wait for the answer")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Sends a request and reads its whole answer. An answer other than 2xx is an error.
pub(crate) async fn send(sending: Sending, environment: Arc<Environment>) -> Result<Answer, HttpError> {
    let sent = tokio::task::spawn_blocking(move || exchange(&sending, &environment));
    sent.await.map_err(HttpError::Interrupted)?
}

fn exchange(sending: &Sending, environment: &Environment) -> Result<Answer, HttpError> {
    let (method, url) = (sending.method, &sending.url);
    let uri = absolute(url)?;
    let agent = agent(&uri, &sending.trust, environment)?;
    let headers = headers(&sending.headers)?;
    let failed = |source| HttpError::Send {
        method,
        url: shown(&uri),
        source: Box::new(source),
    };
    let mut response = run(&agent, sending, headers).map_err(failed)?;
    let bytes = response.body_mut().with_config().limit(LARGEST_BODY).read_to_vec();
    let body = String::from_utf8(bytes.map_err(failed)?);
    if !response.status().is_success() {
        return Err(HttpError::Status {
            method,
            url: shown(&uri),
            status: response.status(),
            body: body.unwrap_or_default(),
        });
    }
    Ok(Answer {
        headers: joined(response.headers()),
        body: body.map_err(|_| HttpError::NotText {
            method,
            url: shown(&uri),
        })?,
    })
}

fn run(agent: &Agent, sending: &Sending, headers: HeaderMap) -> Result<Response<Body>, ureq::Error> {
    let url = sending.url.as_str();
    if sending.body.is_empty() {
        let mut request = Request::builder().method(sending.method).uri(url).body(())?;
        *request.headers_mut() = headers;
        return agent.run(request);
    }
    // A body is sent with whatever method the template says; with some it has a meaning to that server only.
    let mut request = match sending.method {
        "GET" => agent.get(url).force_send_body(),
        "HEAD" => agent.head(url).force_send_body(),
        "DELETE" => agent.delete(url).force_send_body(),
        "OPTIONS" => agent.options(url).force_send_body(),
        "PUT" => agent.put(url),
        "PATCH" => agent.patch(url),
        _ => agent.post(url),
    };
    if let Some(own) = request.headers_mut() {
        own.extend(headers);
    }
    request.send(sending.body.as_str())
}

fn agent(uri: &Uri, trust: &Trust, environment: &Environment) -> Result<Agent, HttpError> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT))
        .user_agent(concat!("bakelite/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy(uri, environment)?);
    // Reading the machine's certificates takes longer than a request that needs none; a redirect to `https` needs them.
    let tls = match trust {
        Trust::System => TlsConfig::builder().root_certs(system_certificates()),
        Trust::File(file) => TlsConfig::builder().root_certs(certificates_in(file)?),
        Trust::Everyone => TlsConfig::builder().disable_verification(true),
    };
    Ok(Agent::new_with_config(config.tls_config(tls.build()).build()))
}

fn system_certificates() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    let certificates = found.iter().map(|found| Certificate::from_der(found).to_owned());
    RootCerts::Specific(Arc::new(certificates.collect()))
}

fn certificates_in(file: &Path) -> Result<RootCerts, HttpError> {
    let pem = std::fs::read(file).map_err(|source| HttpError::ReadCertificates {
        file: file.to_owned(),
        source,
    })?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(HttpError::NoCertificates { file: file.to_owned() });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// The proxy that the environment names for a URL, by the names and rules that command-line tools share.
fn proxy(uri: &Uri, environment: &Environment) -> Result<Option<Proxy>, HttpError> {
    let set = |name: &&str| environment.get(*name).is_some_and(|value| !value.trim().is_empty());
    let names = if uri.scheme_str() == Some("https") {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let (Some(variable), Some(host)) = (names.into_iter().find(set), uri.host()) else {
        return Ok(None);
    };
    let exempt = ["no_proxy", "NO_PROXY"].into_iter().find(set);
    if is_exempt(host, exempt.map_or("", |name| environment[name].as_str())) {
        return Ok(None);
    }
    let proxy = Proxy::new(environment[variable].trim());
    proxy.map(Some).map_err(|_| HttpError::Proxy { variable })
}

/// Whether a host is reached without a proxy: this machine itself, and what `NO_PROXY` lists: `*`, names, which stand for everything
/// below them too, and addresses.
fn is_exempt(host: &str, listed: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let is_loopback = host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    is_loopback
        || host == "localhost"
        || listed.split(',').map(str::trim).any(|entry| {
            let name = entry
                .trim_start_matches("*.")
                .trim_start_matches('.')
                .to_ascii_lowercase();
            let below = host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
            entry == "*" || (!name.is_empty() && (host == name || below))
        })
}

fn absolute(url: &str) -> Result<Uri, HttpError> {
    let wrong = || HttpError::Url {
        url: url.split('?').next().unwrap_or_default().to_owned(),
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let usable = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    if usable { Ok(uri) } else { Err(wrong()) }
}

/// The URL without what may be secret.
fn shown(uri: &Uri) -> String {
    let host = uri.authority().map_or("", |authority| {
        let text = authority.as_str();
        text.rsplit_once('@').map_or(text, |(_, host)| host)
    });
    let query = if uri.query().is_some() { "?…" } else { "" };
    format!("{}://{host}{}{query}", uri.scheme_str().unwrap_or_default(), uri.path())
}

fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let wrong = || HttpError::Header { name: name.clone() };
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        headers.insert(known, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    Ok(headers)
}

fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let all = joined.entry(name.as_str().to_owned()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&value);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    #[test]
    fn a_proxy_is_for_its_scheme() {
        let environment = environment(&[
            ("HTTPS_PROXY", "http://proxy.test:3128"),
            ("NO_PROXY", "in.test, .lab.test"),
        ]);
        let host = |url: &str| {
            let proxy = proxy(&url.parse().unwrap(), &environment).unwrap();
            proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
        };
        assert_eq!(host("https://out.test/"), Some("proxy.test:3128".to_owned()));
        assert_eq!(host("http://out.test/"), None);
        assert_eq!(host("https://in.test/"), None);
        assert_eq!(host("https://a.in.test/"), None);
        assert_eq!(host("https://begin.test/"), Some("proxy.test:3128".to_owned()));
        assert_eq!(host("https://a.lab.test/"), None);
        assert_eq!(host("https://127.0.0.1:8200/"), None);
    }

    #[test]
    fn a_shown_url_has_no_secrets() {
        let uri = absolute("https://me:pw@host.test:8443/a/b?signature=1").unwrap();
        assert_eq!(shown(&uri), "https://host.test:8443/a/b?…");
    }

    #[test]
    fn a_url_must_be_absolute() {
        for url in ["", "host.test/a", "ftp://host.test/", "http://", "http:///a"] {
            assert!(matches!(absolute(url), Err(HttpError::Url { .. })), "{url}");
        }
    }
}
