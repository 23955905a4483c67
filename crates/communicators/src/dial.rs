//! How a stream of bytes to the instance is opened. SSH sees only this, so that it knows nothing of bastions, proxies or Session
//! Manager.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bakelite_net::tcp::{self, Limits};
use tokio::io::BufReader;

/// Bytes that are read at a time.
const READ_BUFFER: usize = 128 * 1024;

/// How long one attempt to open a connection may take.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// How long TCP may take of it: less, so that its error is the one that is seen.
const CONNECT_LIMIT: Duration = Duration::from_secs(14);

pub use bakelite_net::Stream;

const UNREACHED: &str =
    "check that the security group allows this machine, and that the subnet has a route to the instance";

/// Why there is no stream.
#[derive(Debug)]
pub enum DialError {
    /// The connection was lost while it was set up.
    Io(io::Error),
    /// There is no connection to a host, by TCP or through a proxy.
    Net(Box<bakelite_net::DialError>),
    /// A host on the way refused or failed.
    Hop(Box<dyn Hop>),
}

impl fmt::Display for DialError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Io(error) => error.fmt(formatter),
            DialError::Net(error) => error.fmt(formatter),
            DialError::Hop(hop) => hop.fmt(formatter),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DialError::Io(error) => error.source(),
            DialError::Net(error) => error.source(),
            DialError::Hop(hop) => hop.source(),
        }
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        DialError::Io(error)
    }
}

impl From<bakelite_net::DialError> for DialError {
    fn from(error: bakelite_net::DialError) -> Self {
        DialError::Net(Box::new(error))
    }
}

/// The error of a host on the way, such as a bastion: what whoever opens streams has to know of it.
pub trait Hop: std::error::Error + Send + Sync + 'static {
    /// Whether opening another stream may succeed.
    fn refusal(&self) -> Refusal {
        Refusal::None
    }

    /// What the user can do about it.
    fn help(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// What a failure means for further attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was refused: another attempt may succeed.
    None,
    /// A login was refused: a few more attempts may succeed while a host starts.
    Login,
    /// Another attempt cannot succeed.
    Final,
}

impl DialError {
    /// Is it that a certificate is not trusted?
    pub(crate) fn is_about_certificate(&self) -> bool {
        matches!(self, DialError::Net(error) if error.is_about_certificate())
    }

    /// What the failure means for further attempts.
    pub fn refusal(&self) -> Refusal {
        match self {
            DialError::Net(error) if error.is_final() => Refusal::Final,
            DialError::Io(_) | DialError::Net(_) => Refusal::None,
            DialError::Hop(hop) => hop.refusal(),
        }
    }

    /// What the user can do about it.
    pub fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            DialError::Net(error) if error.proxy.is_some() => Some(error.help().into()),
            DialError::Net(error) if matches!(error.cause, bakelite_net::error::Cause::Timeout(_)) => {
                Some(UNREACHED.into())
            }
            DialError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Some(UNREACHED.into()),
            DialError::Io(_) | DialError::Net(_) => None,
            DialError::Hop(hop) => hop.help(),
        }
    }
}

/// Opens streams to one instance, as often as it is asked.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens a new one. The caller limits the time.
    async fn open(&self) -> Result<Box<dyn Stream>, DialError>;

    /// How long that may take.
    fn limit(&self) -> Duration {
        OPEN_LIMIT
    }

    /// How long an answer from there takes at least, where that is known once a stream was opened.
    fn distance(&self) -> Option<Duration> {
        None
    }
}

/// By TCP.
#[derive(Debug)]
pub struct Tcp {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Data that is not acknowledged for this long ends the connection, so that a write to a peer that is gone does not wait for
    /// the system's quarter of an hour.
    pub unacknowledged_limit: Option<Duration>,
    /// The shortest time in which a connection was made so far, in microseconds: one answer of the other system, however busy its
    /// programs are.
    quickest: AtomicU64,
}

impl Tcp {
    /// To this place.
    pub fn new(host: &str, port: u16, unacknowledged_limit: Option<Duration>) -> Self {
        Self {
            host: host.to_owned(),
            port,
            unacknowledged_limit,
            quickest: AtomicU64::new(u64::MAX),
        }
    }
}

#[async_trait]
impl Dial for Tcp {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        let limits = Limits {
            connect: CONNECT_LIMIT,
            unacknowledged: self.unacknowledged_limit,
        };
        let connected = tcp::connect(&self.host, self.port, limits).await?;
        let took = u64::try_from(connected.took.as_micros()).unwrap_or(u64::MAX);
        self.quickest.fetch_min(took, Ordering::Relaxed);
        // A packet is read in two steps, its length and the rest: without the buffer each would be a system call.
        Ok(Box::new(BufReader::with_capacity(READ_BUFFER, connected.stream)))
    }

    fn distance(&self) -> Option<Duration> {
        let quickest = self.quickest.load(Ordering::Relaxed);
        (quickest != u64::MAX).then(|| Duration::from_micros(quickest))
    }
}
