//! The handshake with a proxy before the stream to the host behind it begins: HTTP's CONNECT, or SOCKS version 5. Names are resolved by
//! the proxy.

use std::error::Error as _;
use std::future::{Future, Ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::HeaderValue;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::Stream;
use crate::tap::{Tap, Tapped};

/// As much of a proxy's answer as an error shows.
const SHOWN: usize = 200;

/// The protocol of a proxy, with the credentials for it.
#[derive(Debug, Clone)]
pub enum Speech {
    /// CONNECT, with this `Proxy-Authorization`.
    Connect(Option<HeaderValue>),
    /// SOCKS5, with this user and password.
    Socks5(Option<(String, String)>),
}

/// Why a proxy leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing that a proxy could be asked for.
    #[error("`{0}` is not the name of a host")]
    Host(String),
    /// None were given.
    #[error("the proxy requires credentials")]
    CredentialsRequired,
    /// Those that were given are wrong, or too long for the protocol.
    #[error("the proxy does not accept the credentials")]
    CredentialsRefused,
    /// The status line of an HTTP proxy.
    #[error("the proxy answered `{0}`")]
    Status(String),
    /// A SOCKS proxy's word for it.
    #[error("the proxy answered: {0}")]
    Socks(String),
    /// What it answered was something else.
    #[error("the proxy does not support {0}")]
    Protocol(&'static str),
    /// The connection to it was lost.
    #[error("connection to the proxy was lost")]
    Lost(#[source] io::Error),
}

/// A stream to the proxy that is being opened.
pub type Opening<'a, S, E> = Pin<Box<dyn Future<Output = Result<S, E>> + Send + 'a>>;

/// Leads a stream to a proxy on to a host behind it. SOCKS proxies that take no credentials end the stream when they are offered some:
/// then it is opened once more.
pub async fn through<'a, S: Stream, E: From<Refusal>>(
    speech: &Speech,
    host: &str,
    port: u16,
    open: impl Fn() -> Opening<'a, S, E> + Sync,
) -> Result<S, E> {
    let bare = host.trim_matches(['[', ']']);
    let target = if bare.contains(':') {
        format!("http://[{bare}]:{port}/")
    } else {
        format!("http://{bare}:{port}/")
    };
    let target: Uri = target.parse().map_err(|_| Refusal::Host(host.to_owned()))?;
    match speech {
        Speech::Connect(authorization) => Ok(connect(open().await?, target, authorization.as_ref()).await?),
        Speech::Socks5(None) => Ok(socks5(open().await?, target, None).await?),
        Speech::Socks5(login) => match socks5(open().await?, target.clone(), login.as_ref()).await {
            Err(Refusal::CredentialsRefused) => match socks5(open().await?, target, None).await {
                Err(Refusal::CredentialsRequired) => Err(Refusal::CredentialsRefused.into()),
                other => Ok(other?),
            },
            other => Ok(other?),
        },
    }
}

async fn connect<S: Stream>(stream: S, target: Uri, authorization: Option<&HeaderValue>) -> Result<S, Refusal> {
    let (stream, answer) = sip(stream);
    let mut tunnel = Tunnel::new(Uri::default(), Opened(Some(stream)));
    if let Some(authorization) = authorization {
        tunnel = tunnel.with_auth(authorization.clone());
    }
    let failure = match tunnel.call(target).await {
        Ok(stream) => return Ok(stream.into_inner().stream),
        Err(failure) => failure,
    };
    if let Some(lost) = failure.source().and_then(|cause| cause.downcast_ref::<io::Error>()) {
        return Err(Refusal::Lost(io::Error::new(lost.kind(), lost.to_string())));
    }
    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let printable = line.iter().filter(|byte| matches!(byte, b' '..=b'~')).take(SHOWN);
    let status: String = printable.map(|byte| char::from(*byte)).collect();
    Err(match status.strip_prefix("HTTP/1.") {
        None if answer.is_empty() => ended(),
        None => Refusal::Protocol("HTTP"),
        Some(rest) if rest.get(2..5) != Some("407") => Refusal::Status(status),
        Some(_) if authorization.is_some() => Refusal::CredentialsRefused,
        Some(_) => Refusal::CredentialsRequired,
    })
}

async fn socks5<S: Stream>(stream: S, target: Uri, login: Option<&(String, String)>) -> Result<S, Refusal> {
    let (stream, answer) = sip(stream);
    let mut socks = SocksV5::new(Uri::default(), Opened(Some(stream)));
    if let Some((user, password)) = login {
        socks = socks.with_auth(user.clone(), password.clone());
    }
    let failure = match socks.call(target).await {
        Ok(stream) => return Ok(stream.into_inner().stream),
        Err(failure) => failure.to_string(),
    };
    // The type of the failure is private: what the proxy answered shows which it is. Version and method, where that is 2 the version
    // and the result of the login, then version and the reply (RFC 1928 and 1929).
    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
    Err(match (&**answer, login) {
        ([], _) => ended(),
        ([5, _] | [5, 2, 1, 1..=255], Some(_)) => Refusal::CredentialsRefused,
        ([5, 2 | 0xff], None) => Refusal::CredentialsRequired,
        ([5, 0, 5, 1..=8, ..] | [5, 2, 1, 0, 5, 1..=8, ..], _) => {
            Refusal::Socks(failure.trim_start_matches("SOCKS error: ").to_owned())
        }
        _ if failure.contains("io error") => ended(),
        _ => Refusal::Protocol("SOCKS5"),
    })
}

fn ended() -> Refusal {
    Refusal::Lost(io::ErrorKind::UnexpectedEof.into())
}

/// A stream to a proxy that is open already, in the form of the library's connectors.
struct Opened<S>(Option<Sip<S>>);

impl<S: Stream> Service<Uri> for Opened<S> {
    type Response = TokioIo<Sip<S>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take().ok_or(io::ErrorKind::NotConnected);
        std::future::ready(stream.map(TokioIo::new).map_err(io::Error::from))
    }
}

/// Keeps a proxy's answer, and takes one byte at a time: the library throws away what it has read beyond the answer, and there begins what
/// the host behind the proxy sends (an SSH server speaks first).
struct Answer(Arc<Mutex<Vec<u8>>>);

impl Tap for Answer {
    const AT_ONCE: Option<usize> = Some(1);

    fn delivered(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer.extend_from_slice(bytes);
        Ok(())
    }
}

type Sip<S> = Tapped<S, Answer>;

/// A stream whose answer is kept, and where.
fn sip<S>(stream: S) -> (Sip<S>, Arc<Mutex<Vec<u8>>>) {
    let answer = Arc::<Mutex<Vec<u8>>>::default();
    let tap = Answer(Arc::clone(&answer));
    (Tapped { stream, tap }, answer)
}
