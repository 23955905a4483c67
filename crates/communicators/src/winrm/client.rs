//! A client of one WinRM service: connections that are kept, and a login on each.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::time::timeout;

use super::envelope::{Envelopes, OPERATION_TIMEOUT};
use super::http::{Answer, Envelope, Link, PostError, WinRmError};
use super::ntlm::{self, Login, Moment};
use super::route::Route;
use super::seal::Seal;

/// How long opening a connection may take, with the proxy's and TLS' part of it.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// How long an answer may take: the time that the operation may wait there, and some.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(OPERATION_TIMEOUT as u64 + 30);

/// The scheme of authentication, with what it sends.
pub(crate) enum Credentials {
    /// With every request.
    Basic(HeaderValue),
    /// Once for each connection.
    Ntlm(Login),
}

impl Credentials {
    /// Basic authentication.
    pub(crate) fn basic(username: &str, password: &str) -> Self {
        let encoded = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        #[expect(clippy::unwrap_used, reason = "base64 has only characters that a header can have")]
        let mut value = HeaderValue::try_from(encoded).unwrap();
        value.set_sensitive(true);
        Credentials::Basic(value)
    }
}

/// A client of one service.
pub(crate) struct Client {
    /// `user@host:port`
    pub(crate) peer: String,
    pub(crate) envelopes: Envelopes,
    url: Uri,
    route: Route,
    credentials: Credentials,
    idle: Mutex<Vec<Link>>,
    /// Was a long request refused? Then shorter ones are sent.
    pub(crate) takes_little: AtomicBool,
}

impl Client {
    pub(crate) fn new(peer: String, url: Uri, route: Route, credentials: Credentials) -> Self {
        let envelopes = Envelopes { to: url.to_string() };
        Self {
            peer,
            envelopes,
            url,
            route,
            credentials,
            idle: Mutex::default(),
            takes_little: AtomicBool::new(false),
        }
    }

    /// Sends an envelope and answers the one that comes back.
    pub(crate) async fn ask(&self, envelope: String) -> Result<String, WinRmError> {
        let body = Bytes::from(envelope);
        loop {
            let idle = self.idle();
            let is_used = idle.is_some();
            let mut link = match idle {
                Some(link) => link,
                None => self.open().await?,
            };
            let answer = match self.exchange(&mut link, &body).await {
                Err(PostError::Unsent) if is_used => continue,
                Err(PostError::Unsent) => return Err(WinRmError::Unsent("it was closed at once".into())),
                Err(PostError::Failed(error)) => return Err(error),
                Ok(answer) => answer,
            };
            if is_used && answer.is_unauthorized() {
                // The service has forgotten who was there: again, from the start.
                continue;
            }
            if link.is_open() {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
            }
            return answer.envelope();
        }
    }

    /// Closes what is open.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Link::is_open);
        idle.pop()
    }

    async fn open(&self) -> Result<Link, WinRmError> {
        let failed = |cause| WinRmError::Dial {
            peer: self.peer.clone(),
            cause,
        };
        let opened = timeout(DIAL_LIMIT, self.route.open()).await;
        let stream = opened
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
            .map_err(failed)?;
        Link::new(stream).await
    }

    /// One request on one connection, logged in.
    async fn exchange(&self, link: &mut Link, body: &Bytes) -> Result<Answer, PostError> {
        let basic = match &self.credentials {
            Credentials::Basic(value) => Some(value.clone()),
            Credentials::Ntlm(login) => {
                if !link.is_logged_in {
                    self.log_in(link, login).await.map_err(PostError::of_preparation)?;
                }
                None
            }
        };
        link.post(&self.to(), basic, body.clone(), ANSWER_LIMIT).await
    }

    /// The handshake of NTLM, by messages without content. Without TLS what follows is encrypted.
    async fn log_in(&self, link: &mut Link, login: &Login) -> Result<(), PostError> {
        let token = header(&ntlm::negotiate());
        let answer = link.post(&self.to(), Some(token), Bytes::new(), ANSWER_LIMIT).await?;
        let Some(challenge) = answer.token("Negotiate") else {
            return Err(answer.unexpected().into());
        };
        let moment = Moment::now();
        let token = header(&ntlm::authenticate(&challenge, login, moment)?);
        let answer = link.post(&self.to(), Some(token), Bytes::new(), ANSWER_LIMIT).await?;
        if !answer.is_ok() {
            return Err(answer.unexpected().into());
        }
        link.is_logged_in = true;
        link.seal = (!self.route.is_tls()).then(|| Seal::new(&moment.session));
        Ok(())
    }

    fn to(&self) -> Envelope<'_> {
        Envelope {
            url: &self.url,
            forwarding: self.route.forwarding.as_ref(),
        }
    }
}

fn header(message: &[u8]) -> HeaderValue {
    #[expect(clippy::unwrap_used, reason = "base64 has only characters that a header can have")]
    let mut value = HeaderValue::try_from(format!("Negotiate {}", STANDARD.encode(message))).unwrap();
    value.set_sensitive(true);
    value
}
