//! The way to a URL: directly or through the environment's proxy, with TLS where the scheme asks for it.

use std::fmt;
use std::time::Duration;

use hyper::Uri;
use hyper::http::HeaderValue;
use hyper_util::client::legacy::connect::{self, Connected};
use rustls::pki_types::ServerName;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Stream;
use crate::error::{Cause, DialError, Via, bracketed};
use crate::handshake::{self, Speech};
use crate::proxies::{Environment, Protocol, Proxies, Proxy, UnusableProxy};
use crate::tap::{Tap, Tapped};
use crate::tcp::{self, Limits};
use crate::trust::{Trust, TrustError};

/// How long opening a connection may take where nothing else is set: the name's look-up, TCP, the proxy and TLS together.
const USUAL_LIMIT: Duration = Duration::from_secs(30);

/// How this machine reaches others.
pub struct Network {
    proxies: Proxies,
    trust: Trust,
    limit: Duration,
    tls: OnceCell<TlsConnector>,
}

impl Network {
    /// With the proxies and the certificates of this environment.
    pub fn new(environment: &Environment) -> Self {
        Self {
            proxies: Proxies::of(environment),
            trust: Trust::machine(environment),
            limit: USUAL_LIMIT,
            tls: OnceCell::new(),
        }
    }

    /// Without any proxy.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.proxies = Proxies::default();
        self
    }

    /// Trusting others than the environment does.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self.tls = OnceCell::new();
        self
    }

    /// Opening a connection takes this long at most.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Opens a stream to the host and port of a URL (`http`, `https`, `ws`, `wss`), through the proxy if there is one, with TLS if the
    /// scheme asks for it.
    pub async fn stream(&self, url: &Uri) -> Result<Connection, DialError> {
        self.open(url, false).await
    }

    /// The same for HTTP requests, which a proxy forwards itself if they are not encrypted.
    pub async fn http(&self, url: &Uri) -> Result<Connection, DialError> {
        self.open(url, true).await
    }

    /// The proxy that forwards requests for this URL, if there is one: they name the whole URL then.
    pub fn forwarding(&self, url: &Uri) -> Result<Option<Forwarding>, UnusableProxy> {
        let proxy = self.proxies.proxy_for(url)?;
        Ok(proxy.and_then(|proxy| Forwarding::by(&proxy, url)))
    }

    /// Loads the certificates that are trusted. Else the first encrypted connection does it.
    pub async fn prepare(&self) -> Result<(), TrustError> {
        self.tls.get_or_try_init(|| self.trust.connector()).await.map(drop)
    }

    async fn open(&self, url: &Uri, may_forward: bool) -> Result<Connection, DialError> {
        let host = url.host().unwrap_or_default();
        let usual_port = match url.scheme_str() {
            Some("http" | "ws") => Some(80),
            Some("https" | "wss") => Some(443),
            _ => None,
        };
        let port = url.port_u16().or(usual_port).unwrap_or_default();
        let failed = |proxy, cause| DialError {
            host: bracketed(host),
            port,
            proxy,
            cause,
        };
        if host.is_empty() || usual_port.is_none() {
            let shown = format!("{}://{}:{port}", url.scheme_str().unwrap_or_default(), bracketed(host));
            return Err(failed(None, Cause::Url(shown)));
        }
        let proxy = self.proxies.proxy_for(url);
        let proxy = proxy.map_err(|error| failed(None, error.into()))?;
        let way = Way {
            host,
            port,
            is_secure: is_secure(url),
            is_forwarded: may_forward && proxy.as_ref().is_some_and(|proxy| Forwarding::by(proxy, url).is_some()),
            proxy: proxy.as_ref(),
        };
        let opened = timeout(self.limit, self.go(&way)).await;
        let opened = opened.unwrap_or(Err(Cause::Timeout(self.limit)));
        opened.map_err(|cause| match cause {
            // It names the host already.
            Cause::Unreached(error) if proxy.is_none() => *error,
            cause => failed(proxy.as_ref().map(via), cause),
        })
    }

    async fn go(&self, way: &Way<'_>) -> Result<Connection, Cause> {
        let Way { host, port, .. } = *way;
        let stream = match way.proxy {
            None => self.tcp(host, port).await?,
            Some(proxy) if way.is_forwarded => self.to_proxy(proxy).await?,
            Some(proxy) => {
                let speech = match proxy.protocol {
                    Protocol::Http | Protocol::Https => Speech::Connect(proxy.authorization.clone()),
                    Protocol::Socks5 => Speech::Socks5(proxy.login.clone()),
                };
                handshake::through(&speech, host, port, || Box::pin(self.to_proxy(proxy))).await?
            }
        };
        let stream = if way.is_secure {
            self.encrypted(host, stream).await?
        } else {
            stream
        };
        Ok(Tapped {
            stream,
            tap: Forwarded(way.is_forwarded),
        })
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, Cause> {
        let limits = Limits {
            connect: self.limit,
            unacknowledged: None,
        };
        let connected = tcp::connect(host, port, limits).await;
        let connected = connected.map_err(|error| Cause::Unreached(Box::new(error)))?;
        Ok(Box::new(connected.stream))
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<Box<dyn Stream>, Cause> {
        let stream = self.tcp(&proxy.host, proxy.port).await?;
        if proxy.protocol != Protocol::Https {
            return Ok(stream);
        }
        let encrypted = self.encrypted(&proxy.host, stream).await;
        encrypted.map_err(|cause| {
            Cause::Unreached(Box::new(DialError {
                host: bracketed(&proxy.host),
                port: proxy.port,
                proxy: None,
                cause,
            }))
        })
    }

    async fn encrypted(&self, host: &str, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Cause> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|_| Cause::Url(format!("https://{host}")))?;
        let tls = self.tls.get_or_try_init(|| self.trust.connector()).await?;
        let stream = tls.connect(name, stream).await.map_err(Cause::Tls)?;
        Ok(Box::new(stream))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The proxies may have passwords in their URLs.
        formatter.debug_struct("Network").finish_non_exhaustive()
    }
}

/// Where to, and how.
struct Way<'a> {
    host: &'a str,
    port: u16,
    is_secure: bool,
    is_forwarded: bool,
    proxy: Option<&'a Proxy>,
}

fn is_secure(url: &Uri) -> bool {
    matches!(url.scheme_str(), Some("https" | "wss"))
}

fn via(proxy: &Proxy) -> Via {
    Via {
        address: format!("{}:{}", bracketed(&proxy.host), proxy.port),
        named_by: proxy.variable.clone(),
        credentials: "they are part of its URL, as in http://USER:PASSWORD@HOST:PORT",
    }
}

/// An open stream to a host, or to the proxy that forwards requests to it.
pub type Connection = Tapped<Box<dyn Stream>, Forwarded>;

/// Does a proxy forward the requests of a connection?
#[derive(Debug, Clone, Copy)]
pub struct Forwarded(bool);

impl Tap for Forwarded {}

impl connect::Connection for Connection {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.tap.0)
    }
}

/// A proxy that reads requests and forwards them.
#[derive(Debug, Clone)]
pub struct Forwarding {
    /// The value of `Proxy-Authorization` for it.
    pub login: Option<HeaderValue>,
}

impl Forwarding {
    /// By HTTP proxies, for URLs that are not encrypted.
    fn by(proxy: &Proxy, url: &Uri) -> Option<Self> {
        let forwards = proxy.protocol != Protocol::Socks5 && !is_secure(url);
        forwards.then(|| Self {
            login: proxy.authorization.clone(),
        })
    }
}
