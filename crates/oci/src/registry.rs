//! Requests to one registry: where its API is, how it lets us in, redirects.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bakelite_net::proxies::Environment;
use bakelite_net::{HttpClient, Network};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use crate::credentials::{self, Credentials};
use crate::error::OciError;
use crate::reference::{Reference, is_loopback};

/// How long a registry may be silent: before an answer, and within one.
pub(crate) const SILENCE: Duration = Duration::from_mins(1);
/// How long opening a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The most redirects that are followed: to the storage behind a registry.
const MOST_REDIRECTS: usize = 5;
/// The longest answer that is read into memory: manifests and tokens. Registries allow 4 MiB.
const LONGEST_ANSWER: usize = 4 << 20;

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What one wants to do with a repository, as tokens name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read images.
    Pull,
    /// Write them, too.
    Push,
}

/// A repository of a registry.
pub struct Registry {
    reference: Reference,
    access: Access,
    client: HttpClient<Body>,
    credentials: Option<Credentials>,
    /// `Authorization`, once the registry has said what it wants.
    authorization: Mutex<Option<HeaderValue>>,
}

/// A request that can be sent again.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Absolute, or a path behind `/v2/REPOSITORY/`.
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    /// What is sent; made anew when the registry wants to know first who we are.
    pub(crate) body: &'a (dyn Fn() -> Body + Sync),
    /// For errors.
    pub(crate) what: String,
}

/// No body.
pub(crate) fn nothing() -> Body {
    filled(Bytes::new())
}

/// A body in memory.
pub(crate) fn filled(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A registry's demand: `Bearer realm="…",service="…",scope="…"`, or `Basic`.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// The answer of a token server.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Registry {
    /// The repository of a reference. Credentials are looked for where Docker keeps them.
    pub async fn of(reference: &Reference, access: Access, environment: &Environment) -> Result<Registry, OciError> {
        Ok(Registry {
            credentials: credentials::of(&reference.registry, environment).await?,
            reference: reference.clone(),
            access,
            client: HttpClient::new(Network::new(environment).within(CONNECT_LIMIT)),
            authorization: Mutex::default(),
        })
    }

    /// The image that it was opened for.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// `https`, but for this machine's loopback, where registries are not encrypted as a rule.
    fn scheme(&self) -> &'static str {
        if self.reference.is_loopback() { "http" } else { "https" }
    }

    /// The absolute URL of a path behind the repository.
    fn url(&self, path: &str) -> Result<Url, OciError> {
        let base = format!(
            "{}://{}/v2/{}/",
            self.scheme(),
            self.reference.host(),
            self.reference.repository
        );
        let url = Url::parse(&base).and_then(|base| base.join(path));
        url.map_err(|_| self.malformed("a request", "a URL that is none"))
    }

    /// The URL of the repository, which places are relative to.
    pub(crate) fn url_of_repository(&self) -> Option<Url> {
        self.url("").ok()
    }

    pub(crate) fn malformed(&self, what: impl Into<String>, why: &'static str) -> OciError {
        OciError::Malformed {
            registry: self.reference.registry.clone(),
            what: what.into(),
            why,
        }
    }

    /// Sends a request, after showing credentials where the registry asks for them; follows redirects. Statuses other than
    /// success are errors, with what to do about them.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, OciError> {
        let answer = self.ask_raw(ask).await?;
        let registry = || self.reference.registry.clone();
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.denied()),
            StatusCode::TOO_MANY_REQUESTS => Err(OciError::TooMany { registry: registry() }),
            status => Err(OciError::Status {
                registry: registry(),
                what: ask.what.clone(),
                status,
            }),
        }
    }

    /// The same with whatever status the registry answers.
    pub(crate) async fn ask_raw(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, OciError> {
        let answer = self.follow(ask).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(challenge) = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .find_map(Challenge::read)
        else {
            return Ok(answer);
        };
        let Some(header) = self.authorize(challenge).await? else {
            return Ok(answer);
        };
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        self.follow(ask).await
    }

    fn denied(&self) -> OciError {
        OciError::Denied {
            registry: self.reference.registry.clone(),
            repository: self.reference.repository.clone(),
            credentials: match &self.credentials {
                Some(Credentials::Password { user, .. }) => format!("as user `{}`", user.escape_debug()),
                Some(Credentials::IdentityToken(_)) => "with an identity token".to_owned(),
                None => "without credentials".to_owned(),
            },
        }
    }

    async fn follow(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, OciError> {
        let mut url = self.url(&ask.url)?;
        let own = (
            url.scheme().to_owned(),
            url.host_str().map(str::to_owned),
            url.port_or_known_default(),
        );
        for _ in 0..=MOST_REDIRECTS {
            let is_own = (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
            ) == own;
            let mut headers = ask.headers.clone();
            let authorization = self
                .authorization
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            // The storage behind a registry is another host, which has no business with our credentials.
            if let Some(header) = authorization.filter(|_| is_own) {
                headers.insert(AUTHORIZATION, header);
            }
            let answer = self.send(&ask.method, &url, headers, (ask.body)()).await?;
            let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(next) = answer.headers().get(LOCATION).filter(|_| is_redirect) else {
                return Ok(answer);
            };
            let next = next.to_str().ok().and_then(|next| url.join(next).ok());
            url = next.filter(|next| self.may_ask(next)).ok_or_else(|| {
                self.malformed(
                    &ask.what,
                    "a redirect that is not followed: to no URL, or to one that is not encrypted",
                )
            })?;
        }
        Err(self.malformed(&ask.what, "too many redirects"))
    }

    /// Only what is encrypted is asked, and a registry on this machine's loopback, which may send us around there.
    fn may_ask(&self, url: &Url) -> bool {
        url.scheme() == "https"
            || url.scheme() == "http" && self.reference.is_loopback() && url.host_str().is_some_and(is_loopback)
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, OciError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        request = request.header(USER_AGENT, concat!("bakelite/", env!("CARGO_PKG_VERSION")));
        if let Some(host) = url.host_str() {
            let host = url
                .port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            request = request.header(HOST, host);
        }
        let mut request = request
            .body(body)
            .map_err(|_| self.malformed("a request", "a URL that is none"))?;
        request.headers_mut().extend(headers);
        let answered = timeout(SILENCE, self.client.request(request)).await;
        let answered = answered.map_err(|_| OciError::Silent {
            registry: self.reference.registry.clone(),
            seconds: SILENCE.as_secs(),
        })?;
        answered.map_err(|source| OciError::Unreachable {
            registry: self.reference.registry.clone(),
            source,
        })
    }

    /// The `Authorization` that a challenge asks for; `None` when we have nothing to show.
    async fn authorize(&self, challenge: Challenge) -> Result<Option<HeaderValue>, OciError> {
        let (realm, service) = match challenge {
            Challenge::Basic => return Ok(self.basic()),
            Challenge::Bearer { realm, service } => (realm, service),
        };
        let what = "a request for a token";
        let url = Url::parse(&realm).ok().filter(|url| self.may_ask(url));
        let mut url = url.ok_or_else(|| {
            self.malformed(
                what,
                "a token server that is not asked: no URL, or one that is not encrypted",
            )
        })?;
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", self.reference.repository);
        let mut headers = HeaderMap::new();
        let (method, body) = if let Some(Credentials::IdentityToken(token)) = &self.credentials {
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "refresh_token")
                .append_pair("service", service.as_deref().unwrap_or_default())
                .append_pair("client_id", "bakelite")
                .append_pair("scope", &scope)
                .append_pair("refresh_token", token)
                .finish();
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
            (Method::POST, filled(form.into()))
        } else {
            if let Some(service) = &service {
                url.query_pairs_mut().append_pair("service", service);
            }
            url.query_pairs_mut().append_pair("scope", &scope);
            headers.extend(self.basic().map(|header| (AUTHORIZATION, header)));
            (Method::GET, nothing())
        };
        let answer = self.send(&method, &url, headers, body).await?;
        match answer.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => return Err(self.denied()),
            StatusCode::TOO_MANY_REQUESTS => {
                return Err(OciError::TooMany {
                    registry: self.reference.registry.clone(),
                });
            }
            status => {
                return Err(OciError::Status {
                    registry: self.reference.registry.clone(),
                    what: what.to_owned(),
                    status,
                });
            }
        }
        let content = self.whole(answer, what).await?;
        let token: Token = serde_json::from_slice(&content).map_err(|_| self.malformed(what, "no token"))?;
        let token = if token.token.is_empty() {
            token.access_token
        } else {
            token.token
        };
        let header = HeaderValue::from_str(&format!("Bearer {token}"))
            .ok()
            .filter(|_| !token.is_empty());
        Ok(Some(sensitive(header.ok_or_else(|| self.malformed(what, "no token"))?)))
    }

    fn basic(&self) -> Option<HeaderValue> {
        let Some(Credentials::Password { user, password }) = &self.credentials else {
            return None;
        };
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        HeaderValue::from_str(&value).ok().map(sensitive)
    }

    /// Reads an answer that is short.
    pub(crate) async fn whole(&self, answer: Response<Incoming>, what: &str) -> Result<Bytes, OciError> {
        let read = timeout(SILENCE, Limited::new(answer.into_body(), LONGEST_ANSWER).collect()).await;
        match read {
            Ok(Ok(content)) => Ok(content.to_bytes()),
            Ok(Err(_)) => Err(self.malformed(what, "more than 4 MiB, or less than announced")),
            Err(_) => Err(OciError::Silent {
                registry: self.reference.registry.clone(),
                seconds: SILENCE.as_secs(),
            }),
        }
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

impl Challenge {
    fn read(value: &HeaderValue) -> Option<Challenge> {
        let value = value.to_str().ok()?.trim();
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameter = |wanted: &str| {
            let mut rest = rest;
            while let Some((name, after)) = rest.split_once('=') {
                let (value, next) = match after.strip_prefix('"') {
                    Some(quoted) => quoted.split_once('"')?,
                    None => after.split_once(',').unwrap_or((after, "")),
                };
                if name.trim_matches([' ', ',']).eq_ignore_ascii_case(wanted) {
                    return Some(value.to_owned());
                }
                rest = next;
            }
            None
        };
        Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let read = |text: &'static str| Challenge::read(&HeaderValue::from_static(text));
        assert_eq!(read("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(
            read("Bearer realm=\"https://auth.example/token\",service=\"r.example\",scope=\"repository:a:pull,push\""),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: Some("r.example".to_owned())
            })
        );
        assert_eq!(
            read("bearer service=r, realm=https://a/t"),
            Some(Challenge::Bearer {
                realm: "https://a/t".to_owned(),
                service: Some("r".to_owned())
            })
        );
        assert_eq!(read("Bearer service=\"r\""), None);
        assert_eq!(read("Negotiate"), None);
    }
}
