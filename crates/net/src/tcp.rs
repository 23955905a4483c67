//! TCP: all addresses of a name, those of the other family after a moment (RFC 8305), within a limit, and kept alive.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::{TcpStream, lookup_host};
use tower_service::Service;

use crate::error::{Cause, DialError, bracketed};

/// An idle connection is asked after this time whether the other side is still there, so that routers on the way do not forget it.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// The time between such questions that are not answered.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// What differs between connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long looking up the name and connecting may take.
    pub connect: Duration,
    /// Data that is not acknowledged for this long ends the connection (on Linux), so that a write to a peer that is gone does not
    /// wait for the system's quarter of an hour.
    pub unacknowledged: Option<Duration>,
}

/// A new connection.
#[derive(Debug)]
pub struct Connected {
    /// The stream. What is written is sent at once.
    pub stream: TcpStream,
    /// How long connecting took once the addresses were known.
    pub took: Duration,
}

/// Connects to a host; the name or address may be in brackets.
pub async fn connect(host: &str, port: u16, limits: Limits) -> Result<Connected, DialError> {
    let bare = host.trim_matches(['[', ']']);
    let failed = |cause| DialError {
        host: bracketed(bare),
        port,
        proxy: None,
        cause,
    };
    let opened = tokio::time::timeout(limits.connect, open(bare, port, limits)).await;
    opened.unwrap_or(Err(Cause::Timeout(limits.connect))).map_err(failed)
}

async fn open(host: &str, port: u16, limits: Limits) -> Result<Connected, Cause> {
    let lookup = |cause| Cause::Lookup {
        name: host.to_owned(),
        cause,
    };
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(lookup)?.collect();
    if addresses.is_empty() {
        return Err(lookup(io::Error::other("it has none")));
    }
    let mut connector = HttpConnector::new_with_resolver(Found(addresses));
    connector.set_connect_timeout(Some(limits.connect));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_nodelay(true);
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(limits.unacknowledged);
    let began = Instant::now();
    let target = format!("http://found:{port}/");
    let target: Uri = target.parse().map_err(|_| Cause::Url(target))?;
    let opened = connector.call(target).await;
    let stream = opened.map_err(|error| failure(&error, limits.connect))?;
    Ok(Connected {
        stream: stream.into_inner(),
        took: began.elapsed(),
    })
}

/// The system's error, without the library's message around it.
fn failure(error: &(dyn std::error::Error + 'static), limit: Duration) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = error.downcast_ref::<io::Error>() {
            return match (cause.kind(), cause.raw_os_error()) {
                (_, Some(code)) => Cause::Connect(io::Error::from_raw_os_error(code)),
                (io::ErrorKind::TimedOut, None) => Cause::Timeout(limit),
                (kind, None) => Cause::Connect(io::Error::new(kind, cause.to_string())),
            };
        }
        next = error.source();
    }
    Cause::Connect(io::Error::other(error.to_string()))
}

/// Addresses that are looked up already, as a resolver.
#[derive(Debug, Clone)]
struct Found(Vec<SocketAddr>);

impl Service<Name> for Found {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}
