//! One HTTP request and an answer that is a string. Data source `http`, Vault and Consul differ in what they send and in whom they
//! trust.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

use crate::client::{HttpClient, RequestError};
use crate::error::DialError;
use crate::network::Network;
use crate::proxies::Environment;
use crate::trust::{self, BundleError};

/// How long connecting may take, with the proxy's and TLS' part of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A request with all its redirects, from the first name to the last byte.
const TIMEOUT: Duration = Duration::from_mins(5);
/// The most bytes that are read: what comes of it is a value in a template.
const LARGEST_BODY: usize = 64 << 20;
/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// What to send.
#[derive(Debug, Default)]
pub struct Sending {
    /// `GET`, `PUT` and so on.
    pub method: &'static str,
    /// An absolute URL; user and password in it become a header.
    pub url: String,
    /// Besides `Accept` and `User-Agent`, or in their place.
    pub headers: BTreeMap<String, String>,
    /// Empty: none is sent.
    pub body: String,
    /// Whose certificates are accepted.
    pub trust: Trust,
}

/// Whose certificates are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that the environment or this machine trusts.
    #[default]
    System,
    /// The authorities in this PEM file and no others.
    File(PathBuf),
    /// Everyone, because the user asks for it.
    Everyone,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Names in lower case; the values of a header that came several times are joined by `, ` (RFC 9110, 5.3).
    pub headers: BTreeMap<String, String>,
    /// The whole body.
    pub body: String,
}

/// Why a request got no usable answer. Messages show no user, password or query of the URL: there may be secrets in them.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL cannot be requested.
    #[error("`{url}` is not a URL that begins with `http://` or `https://` and names a host")]
    Url {
        /// The URL, without what may be secret.
        url: String,
    },
    /// A header that HTTP does not allow.
    #[error("`{name}` is not a header of HTTP")]
    Header {
        /// Its name.
        name: String,
    },
    /// The file with the authorities cannot be used.
    #[error("failed to load the certificates in `{}`", .file.display())]
    Certificates {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// No answer came.
    #[error("`{method} {url}` failed")]
    Send {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
        /// The cause.
        source: RequestError,
    },
    /// The answer ended early.
    #[error("`{method} {url}` failed: the connection was lost before the whole answer was read")]
    Lost {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("`{method} {url}` failed: no answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
    },
    /// The answer is too long to be a value.
    #[error("`{method} {url}` was answered with more than {} MiB", LARGEST_BODY >> 20)]
    TooLarge {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
    },
    /// It never ends.
    #[error("`{method} {url}` was answered with more than {MOST_REDIRECTS} redirects")]
    Redirects {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
    },
    /// The server refused.
    #[error("`{method} {url}` was answered with {status}")]
    Status {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
        /// The status.
        status: StatusCode,
        /// What the server answered besides.
        body: String,
    },
    /// The answer is binary.
    #[error("`{method} {url}` was answered with something that is not a string in UTF-8")]
    NotText {
        /// The method.
        method: &'static str,
        /// The URL, without what may be secret.
        url: String,
    },
}

impl HttpError {
    /// What to do, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            HttpError::Send { source, .. } => DialError::among(source).map(DialError::help),
            HttpError::Url { .. } => Some("a URL is written as https://HOST/PATH".into()),
            _ => None,
        }
    }
}

/// Sends a request and reads its whole answer. An answer other than 2xx is an error.
pub async fn send(sending: Sending, environment: Arc<Environment>) -> Result<Answer, HttpError> {
    let url = absolute(&sending.url)?;
    let network = Network::new(&environment).within(CONNECT_TIMEOUT);
    let network = match &sending.trust {
        Trust::System => network,
        Trust::Everyone => network.trusting(trust::Trust::Everyone),
        Trust::File(file) => match trust::bundle(file).await {
            Ok(authorities) => network.trusting(trust::Trust::Only(authorities)),
            Err(source) => {
                let file = file.clone();
                return Err(HttpError::Certificates { file, source });
            }
        },
    };
    let exchange = Exchange {
        client: HttpClient::new(network),
        asked: sending.method,
        shown: shown(&url),
    };
    let answered = timeout(TIMEOUT, exchange.run(&sending, url)).await;
    answered.unwrap_or_else(|_| {
        Err(HttpError::Timeout {
            method: sending.method,
            url: exchange.shown.clone(),
        })
    })
}

/// A request with its redirects.
struct Exchange {
    client: HttpClient<Full<Bytes>>,
    /// The method and URL of the first request, for errors.
    asked: &'static str,
    shown: String,
}

impl Exchange {
    async fn run(&self, sending: &Sending, mut url: Uri) -> Result<Answer, HttpError> {
        let mut method = Method::from_bytes(sending.method.as_bytes()).unwrap_or_default();
        let mut body = Bytes::copy_from_slice(sending.body.as_bytes());
        let mut headers = headers(&sending.headers)?;
        for _ in 0..=MOST_REDIRECTS {
            let request = request(&method, &url, headers.clone(), body.clone());
            let sent = self.client.request(request?).await;
            let answer = sent.map_err(|source| HttpError::Send {
                method: self.asked,
                url: self.shown.clone(),
                source,
            })?;
            let Some(next) = redirect(&answer, &method, &url) else {
                return self.read(answer).await;
            };
            url = absolute(&next)?;
            // As curl does it: what is not meant to be repeated becomes a question for the result.
            if !keeps_method(answer.status()) && method != Method::HEAD {
                method = Method::GET;
                body = Bytes::new();
            }
            for secret in [header::AUTHORIZATION, header::COOKIE] {
                headers.remove(secret);
            }
        }
        Err(HttpError::Redirects {
            method: self.asked,
            url: self.shown.clone(),
        })
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Answer, HttpError> {
        let (method, url) = (self.asked, self.shown.clone());
        let (parts, body) = answer.into_parts();
        let body = match Limited::new(body, LARGEST_BODY).collect().await {
            Ok(body) => String::from_utf8(body.to_bytes().into()),
            Err(error) if error.is::<LengthLimitError>() => return Err(HttpError::TooLarge { method, url }),
            Err(source) => return Err(HttpError::Lost { method, url, source }),
        };
        if !parts.status.is_success() {
            return Err(HttpError::Status {
                method,
                url,
                status: parts.status,
                body: body.unwrap_or_default(),
            });
        }
        Ok(Answer {
            headers: joined(&parts.headers),
            body: body.map_err(|_| HttpError::NotText { method, url })?,
        })
    }
}

/// A request; user and password of the URL become a header.
fn request(method: &Method, url: &Uri, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
    let wrong = || HttpError::Url { url: shown(url) };
    let mut parts = url.clone().into_parts();
    let authority = parts.authority.take().ok_or_else(wrong)?;
    let (login, host) = match authority.as_str().rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority.as_str()),
    };
    parts.authority = Some(host.parse().map_err(|_| wrong())?);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| wrong())?;
    let own = request.headers_mut();
    own.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let agent = concat!("bakelite/", env!("CARGO_PKG_VERSION"));
    own.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    if let Some(login) = login {
        let login: Vec<u8> = percent_decode_str(login).collect();
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login)));
        own.insert(header::AUTHORIZATION, value.map_err(|_| wrong())?);
    }
    own.extend(headers);
    Ok(request)
}

/// Where an answer sends on to. A body is not sent twice, and nothing is deleted twice.
fn redirect(answer: &Response<Incoming>, method: &Method, from: &Uri) -> Option<String> {
    let status = answer.status();
    let is_repeatable = !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED || (keeps_method(status) && !is_repeatable) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    let next = Url::parse(&from.to_string()).ok()?.join(location).ok()?;
    Some(next.into())
}

fn keeps_method(status: StatusCode) -> bool {
    matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
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
    use bakelite_test_support::exchange;

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

    fn sending(method: &'static str, url: String) -> Sending {
        Sending {
            method,
            url,
            headers: BTreeMap::from([("X-Vault-Token".into(), "t".into())]),
            body: "body".into(),
            trust: Trust::System,
        }
    }

    #[tokio::test]
    async fn redirects_are_followed_as_browsers_do() {
        let played = exchange::Exchange::play(&[
            "HTTP/1.1 302 Found\nLocation: ../b?c\n\n",
            "HTTP/1.1 307 Temporary Redirect\nLocation: /d\n\n",
            "HTTP/1.1 200 OK\n\nthere",
            "HTTP/1.1 307 Temporary Redirect\nLocation: /d\n\n",
        ]);
        let url = format!("http://me:p%40w@{}/x/y/a", played.address);
        let answer = send(sending("POST", url.clone()), Arc::default()).await.unwrap();
        assert_eq!(answer.body, "there");
        // What has a body is not sent again.
        let error = send(sending("PUT", url), Arc::default()).await.unwrap_err();
        assert!(matches!(error, HttpError::Status { status, .. } if status.as_u16() == 307));
        let asked = played.asked();
        let login = "authorization: basic bwu6cehc\n";
        assert!(
            asked[0].starts_with("POST /x/y/a HTTP/1.1\n") && asked[0].contains("authorization: basic "),
            "{asked:?}"
        );
        assert!(
            asked[1].starts_with("GET /x/b?c HTTP/1.1\n") && asked[1].ends_with("\n\n"),
            "{asked:?}"
        );
        assert!(
            !asked[1].contains(login) && asked[1].contains("x-vault-token: t\n"),
            "{asked:?}"
        );
        assert!(asked[2].starts_with("GET /d HTTP/1.1\n"), "{asked:?}");
    }

    #[tokio::test]
    async fn redirects_end_somewhere() {
        let played = exchange::Exchange::play(&["HTTP/1.1 301 Moved Permanently\nLocation: /a\n\n"; 11]);
        let url = format!("http://{}/a", played.address);
        let error = send(sending("GET", url), Arc::default()).await.unwrap_err();
        assert!(matches!(error, HttpError::Redirects { .. }), "{error}");
        played.asked();
    }

    #[tokio::test]
    async fn a_server_that_is_not_reached_is_named_with_what_to_check() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = send(sending("GET", format!("http://{free}/a?secret")), Arc::default())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), format!("`GET http://{free}/a?…` failed"));
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), format!("connection to {free} failed"));
        assert!(error.help().unwrap().contains("something listens at"), "{error:?}");
    }
}
