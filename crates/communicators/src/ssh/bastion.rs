//! A host to go through: we log in to it as to any other, and it opens the stream to the next. One login serves all streams for as long
//! as it lasts.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::error::Explain as _;
use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Mutex;

use super::session::{Connector, Session, SessionError};
use crate::dial::{Dial, DialError, Hop, Refusal, Stream};

/// No way through a bastion.
#[derive(Debug, thiserror::Error)]
enum BastionError {
    /// It cannot be logged in to.
    #[error("failed to log in to the bastion {peer}")]
    LogIn {
        peer: String,
        #[source]
        cause: SessionError,
    },
    /// It does not connect to the next host.
    #[error("bastion {peer} cannot connect to {target}: {reason}")]
    Forward {
        peer: String,
        target: String,
        reason: String,
    },
}

impl Hop for BastionError {
    fn refusal(&self) -> Refusal {
        match self {
            BastionError::LogIn { cause, .. } => cause.refusal(),
            BastionError::Forward { .. } => Refusal::None,
        }
    }

    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            BastionError::LogIn { cause, .. } => cause.help(),
            BastionError::Forward { .. } => None,
        }
    }
}

impl From<BastionError> for DialError {
    fn from(error: BastionError) -> Self {
        DialError::Hop(Box::new(error))
    }
}

/// Opens streams through a bastion.
pub(crate) struct Bastion {
    connector: Connector,
    /// Where to go from there.
    host: String,
    port: u16,
    session: Mutex<Option<Arc<Session>>>,
}

impl Bastion {
    pub(crate) fn new(connector: Connector, host: String, port: u16) -> Self {
        Self {
            connector,
            host,
            port,
            session: Mutex::new(None),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, BastionError> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| session.is_alive()) {
            return Ok(Arc::clone(session));
        }
        let peer = &self.connector.peer;
        let logged_in = self
            .connector
            .log_in_once()
            .await
            .map_err(|cause| BastionError::LogIn {
                peer: peer.clone(),
                cause,
            })?;
        tracing::debug!(bastion = peer, "logged in to the bastion");
        Ok(Arc::clone(session.insert(Arc::new(logged_in))))
    }
}

#[async_trait]
impl Dial for Bastion {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        let session = self.session().await?;
        let opened = session.open_stream(&self.host, self.port).await;
        let channel = opened.map_err(|reason| BastionError::Forward {
            peer: self.connector.peer.clone(),
            target: format!("{}:{}", self.host, self.port),
            reason,
        })?;
        Ok(Box::new(Through {
            stream: channel.into_stream(),
            session,
        }))
    }

    fn distance(&self) -> Option<Duration> {
        self.connector.dial.distance()
    }

    /// A login takes longer than a connection.
    fn limit(&self) -> Duration {
        self.connector.dial.limit() + self.connector.credentials.timeout(Duration::from_secs(45))
    }
}

/// A stream through a bastion, which lasts as long as its session is held.
struct Through {
    stream: ChannelStream<Msg>,
    session: Arc<Session>,
}

impl Through {
    /// The end of the stream is the bastion's, when its connection has ended.
    fn end(&self) -> io::Result<()> {
        if self.session.is_alive() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the bastion is gone: {}",
            bakelite_engine::chain_of(&self.session.lost(None))
        )))
    }
}

impl AsyncRead for Through {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before => Poll::Ready(self.end()),
            polled => polled,
        }
    }
}

impl AsyncWrite for Through {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
