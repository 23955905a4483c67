//! One connection to a WinRM service, and what can go wrong on it.

use std::time::Duration;

use bakelite_engine::untrusted::{quoted, visible};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::response::{AnswerError, Fault};
use super::route::Forwarding;
use super::seal::{self, Seal, SealError};
use crate::dial::{DialError, Stream};

/// The longest answer that is read: much more than the envelope that we ask for.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Schemes of authentication that are shown.
const SCHEMES: usize = 8;

/// Characters of a strange answer that are shown.
const SHOWN: usize = 300;

/// Why the service could not be used.
#[derive(Debug, thiserror::Error)]
pub enum WinRmError {
    /// No connection.
    #[error("no connection to {peer}")]
    Dial {
        /// `user@host:port` of the service.
        peer: String,
        /// What dialling failed with.
        #[source]
        cause: DialError,
    },
    /// The credentials are not accepted.
    #[error("the service does not accept `winrm_username` and `winrm_password`{}", offered(.offers))]
    Unauthorized {
        /// The schemes that it takes.
        offers: Vec<String>,
    },
    /// The service's NTLM challenge is malformed or not supported.
    #[error(transparent)]
    Ntlm(#[from] super::ntlm::NtlmError),
    /// An encrypted message cannot be read.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Something else than WinRM answers, or a proxy does.
    #[error("the answer is HTTP status {status}{}", shown(.text))]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the answer.
        text: String,
    },
    /// The answer lacks something or cannot be parsed.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// WinRM refuses.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The connection broke before the request was sent.
    #[error("the connection was lost before the request was sent")]
    Unsent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke before there was an answer.
    #[error("the connection was lost")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request timed out.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

fn offered(offers: &[String]) -> String {
    if offers.is_empty() {
        return String::new();
    }
    format!(" (it accepts {})", offers.join(" and "))
}

fn shown(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

impl WinRmError {
    /// Is the instance out of reach, as far as is known? While Windows starts or goes down its HTTP server answers in place of WinRM:
    /// that there is no such page, or no such service.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(
            self,
            WinRmError::Dial { .. }
                | WinRmError::Unsent(_)
                | WinRmError::Lost(_)
                | WinRmError::Silent(_)
                | WinRmError::Status { status: 404 | 503, .. }
        )
    }

    /// Is it unknown whether the request was done?
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, WinRmError::Lost(_) | WinRmError::Silent(_))
    }

    /// The same of a request that prepares another one, which was not sent then.
    fn of_preparation(self) -> Self {
        if self.is_unanswered() {
            WinRmError::Unsent(Box::new(self))
        } else {
            self
        }
    }
}

/// An answer of the service.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// A connection.
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// The service knows who we are.
    pub(crate) is_logged_in: bool,
    /// Then messages may have to be encrypted.
    pub(crate) seal: Option<Seal>,
    /// Reads and writes for as long as the link exists.
    _driver: JoinSet<()>,
}

/// Why a request has no answer.
pub(crate) enum PostError {
    /// It was not sent: the connection had ended before.
    Unsent,
    /// It was sent, or could not be made.
    Failed(WinRmError),
}

impl PostError {
    /// The same of a request that prepares another one.
    pub(crate) fn of_preparation(self) -> Self {
        match self {
            PostError::Unsent => PostError::Unsent,
            PostError::Failed(error) => PostError::Failed(error.of_preparation()),
        }
    }
}

impl<E: Into<WinRmError>> From<E> for PostError {
    fn from(error: E) -> Self {
        PostError::Failed(error.into())
    }
}

impl Link {
    /// Speaks HTTP on a stream.
    pub(crate) async fn new(stream: Box<dyn Stream>) -> Result<Link, WinRmError> {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(lost)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // How it ends is the result of the request under way.
            let _ = connection.await;
        });
        Ok(Link {
            sender,
            is_logged_in: false,
            seal: None,
            _driver: driver,
        })
    }

    /// Could it be used again?
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn post(
        &mut self,
        request: &Envelope<'_>,
        login: Option<HeaderValue>,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, PostError> {
        if self.sender.ready().await.is_err() {
            return Err(PostError::Unsent);
        }
        let body = match &mut self.seal {
            Some(seal) => Content::Sealed(seal.wrap(&body).into()),
            None => Content::Plain(body),
        };
        let request = request.with(login, body);
        let request = request.map_err(lost)?;
        let answer = timeout(limit, self.exchange(request)).await;
        let answer = answer.map_err(|_| WinRmError::Silent(limit))??;
        Ok(answer.unsealed(self.seal.as_mut())?)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, PostError> {
        let response = self.sender.try_send_request(request).await.map_err(|mut error| {
            if error.take_message().is_some() {
                PostError::Unsent
            } else {
                lost(error.into_error()).into()
            }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(lost)?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> WinRmError {
    WinRmError::Lost(error.into())
}

/// The body of a request.
enum Content {
    Plain(Bytes),
    Sealed(Bytes),
}

/// Where requests go.
pub(crate) struct Envelope<'a> {
    pub(crate) url: &'a Uri,
    pub(crate) forwarding: Option<&'a Forwarding>,
}

impl Envelope<'_> {
    fn with(&self, login: Option<HeaderValue>, content: Content) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let (kind, body) = match content {
            Content::Plain(body) => ("application/soap+xml;charset=UTF-8", body),
            Content::Sealed(body) => (seal::CONTENT_TYPE, body),
        };
        let host = self.url.authority().map_or("", hyper::http::uri::Authority::as_str);
        let mut request = Request::builder()
            .method(Method::POST)
            .header(HOST, host)
            .header(CONTENT_TYPE, kind);
        if let Some(login) = login {
            request = request.header(AUTHORIZATION, login);
        }
        let Some(forwarding) = self.forwarding else {
            return request.uri(self.url.path()).body(Full::new(body));
        };
        if let Some(login) = &forwarding.login {
            request = request.header(PROXY_AUTHORIZATION, login);
        }
        request.uri(self.url.clone()).body(Full::new(body))
    }
}

impl Answer {
    /// The same, decrypted. A session whose messages are encrypted takes no others.
    fn unsealed(mut self, seal: Option<&mut Seal>) -> Result<Answer, WinRmError> {
        let Some(seal) = seal else { return Ok(self) };
        let kind = self.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !kind.starts_with(b"multipart/encrypted") {
            let is_envelope = kind.starts_with(b"application/soap+xml") || self.status == StatusCode::OK;
            return if is_envelope {
                Err(SealError::Forged.into())
            } else {
                Ok(self)
            };
        }
        self.body = seal.unwrap(&self.body)?.into();
        let kind = HeaderValue::from_static("application/soap+xml;charset=UTF-8");
        self.headers.insert(CONTENT_TYPE, kind);
        Ok(self)
    }

    /// The token with which the service goes on in a scheme, decoded; `WWW-Authenticate: Negotiate …`.
    pub(crate) fn token(&self, scheme: &str) -> Option<Vec<u8>> {
        self.offers().find_map(|offer| {
            let (name, token) = offer.split_once(' ')?;
            name.eq_ignore_ascii_case(scheme)
                .then(|| STANDARD.decode(token.trim()).ok())?
        })
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.status == StatusCode::OK
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    fn unauthorized(&self) -> WinRmError {
        let names = self
            .offers()
            .map(|offer| quoted(offer.split(' ').next().unwrap_or_default()));
        WinRmError::Unauthorized {
            offers: names.take(SCHEMES).collect(),
        }
    }

    /// The error of a handshake that the service does not go on with.
    pub(crate) fn unexpected(self) -> WinRmError {
        match self.envelope() {
            Ok(_) => WinRmError::Answer(AnswerError::Missing("challenge")),
            Err(error) => error,
        }
    }

    fn offers(&self) -> impl Iterator<Item = &str> {
        self.headers
            .get_all(WWW_AUTHENTICATE)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
    }

    /// The envelope in it; a fault is an error.
    pub(crate) fn envelope(self) -> Result<String, WinRmError> {
        if self.is_unauthorized() {
            return Err(self.unauthorized());
        }
        let kind = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let is_soap = kind.to_ascii_lowercase().starts_with("application/soap+xml");
        let text = String::from_utf8_lossy(&self.body);
        if is_soap && self.status == StatusCode::OK {
            return Ok(text.into_owned());
        }
        match super::response::fault(&text).filter(|_| is_soap) {
            Some(fault) => Err(fault.into()),
            None => Err(WinRmError::Status {
                status: self.status.as_u16(),
                text: visible(&text.chars().take(SHOWN).collect::<String>()).into_owned(),
            }),
        }
    }
}
