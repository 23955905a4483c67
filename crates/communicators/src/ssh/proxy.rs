//! A proxy that the template names, on the way to an SSH server. Names are resolved by the proxy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_net::error::{Cause, Via};
use bakelite_net::handshake::{self, Refusal, Speech};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

use crate::dial::{Dial, DialError, Stream};

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// SOCKS version 5.
    Socks5,
    /// HTTP's CONNECT.
    Http,
}

/// Opens streams through a proxy.
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    /// How the proxy itself is reached.
    pub(crate) dial: Arc<dyn Dial>,
    /// `HOST:PORT` of the proxy.
    pub(crate) name: String,
    /// User and password, where it requires them.
    pub(crate) login: Option<(String, String)>,
    /// Where the user gives them.
    pub(crate) login_hint: &'static str,
    /// The host behind it.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What goes wrong on the way through a proxy.
enum Failure {
    /// Reaching the proxy.
    Way(DialError),
    /// What the proxy answers.
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

#[async_trait]
impl Dial for Proxy {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        let open = || {
            let opened = self.dial.open();
            Box::pin(async { opened.await.map_err(Failure::Way) }) as handshake::Opening<'_, _, _>
        };
        let opened = handshake::through(&self.speech(), &self.host, self.port, open).await;
        let cause = match opened {
            Ok(stream) => return Ok(stream),
            Err(Failure::Refused(refusal)) => Cause::Refused(refusal),
            Err(Failure::Way(DialError::Net(error))) => Cause::Unreached(error),
            Err(Failure::Way(other)) => return Err(other),
        };
        Err(DialError::from(bakelite_net::DialError {
            host: self.host.clone(),
            port: self.port,
            proxy: Some(Via {
                address: self.name.clone(),
                named_by: "`ssh_proxy_host`".into(),
                credentials: self.login_hint,
            }),
            cause,
        }))
    }

    fn limit(&self) -> Duration {
        self.dial.limit()
    }

    fn distance(&self) -> Option<Duration> {
        self.dial.distance()
    }
}

impl Proxy {
    fn speech(&self) -> Speech {
        match self.kind {
            ProxyKind::Socks5 => Speech::Socks5(self.login.clone()),
            ProxyKind::Http => Speech::Connect(self.login.as_ref().and_then(|(user, password)| {
                let login = STANDARD.encode(format!("{user}:{password}"));
                // Base64 is a value of a header, always.
                HeaderValue::try_from(format!("Basic {login}")).ok()
            })),
        }
    }
}
