//! How a stream of bytes to the instance is opened. SSH sees only this, so that it knows nothing of bastions, proxies or Session
//! Manager.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;

/// Bytes that are read at a time.
const READ_BUFFER: usize = 128 * 1024;

/// How long one attempt to open a connection may take.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// A two-way stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Opens streams to one instance, as often as it is asked.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens a new one. The caller limits the time.
    async fn open(&self) -> io::Result<Box<dyn Stream>>;

    /// How long that may take.
    fn limit(&self) -> Duration {
        OPEN_LIMIT
    }
}

/// By TCP.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Data that is not acknowledged for this long ends the connection, so that a write to a peer that is gone does not wait for
    /// the system's quarter of an hour.
    pub unacknowledged_limit: Option<Duration>,
}

#[async_trait]
impl Dial for Tcp {
    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        if let Some(limit) = self
            .unacknowledged_limit
            .and_then(|limit| u32::try_from(limit.as_millis()).ok())
        {
            rustix::net::sockopt::set_tcp_user_timeout(&stream, limit)?;
        }
        // A packet is read in two steps, its length and the rest: without the buffer each would be a system call.
        Ok(Box::new(BufReader::with_capacity(READ_BUFFER, stream)))
    }
}
