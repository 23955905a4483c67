//! A host to go through: we log in to it as to any other, and it opens the stream to the next (communicators.md §3.4). One login serves
//! all streams for as long as it lasts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Mutex;

use super::session::{Access, Session, SessionError};
use crate::dial::{Dial, Stream};

/// No way through a bastion.
#[derive(Debug, thiserror::Error)]
#[error("log in to the bastion {peer}")]
pub(crate) struct BastionError {
    /// Which.
    peer: String,
    /// The cause.
    #[source]
    pub(crate) cause: Box<SessionError>,
}

/// Opens streams through a bastion.
pub(crate) struct Bastion {
    access: Access,
    /// Where to go from there.
    host: String,
    port: u16,
    session: Mutex<Option<Arc<Session>>>,
}

impl Bastion {
    pub(crate) fn new(access: Access, host: String, port: u16) -> Self {
        Self {
            access,
            host,
            port,
            session: Mutex::new(None),
        }
    }

    async fn session(&self) -> io::Result<Arc<Session>> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| session.is_alive()) {
            return Ok(Arc::clone(session));
        }
        let failed = |cause| {
            io::Error::other(BastionError {
                peer: self.access.peer.clone(),
                cause: Box::new(cause),
            })
        };
        let stream = self.access.dial.open().await.map_err(|cause| {
            failed(SessionError::Dial {
                peer: self.access.peer.clone(),
                cause,
            })
        })?;
        let logged_in = self.access.log_in_over(stream).await.map_err(failed)?;
        tracing::debug!(bastion = self.access.peer, "logged in to the bastion");
        Ok(Arc::clone(session.insert(Arc::new(logged_in))))
    }
}

#[async_trait]
impl Dial for Bastion {
    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let session = self.session().await?;
        let opened = session.open_stream(&self.host, self.port).await;
        let channel = opened.map_err(|why| {
            let target = format!("{}:{}", self.host, self.port);
            io::Error::other(format!(
                "bastion {} cannot connect to {target}: {why}",
                self.access.peer
            ))
        })?;
        Ok(Box::new(Through {
            stream: channel.into_stream(),
            session,
        }))
    }

    fn distance(&self) -> Option<Duration> {
        self.access.dial.distance()
    }

    /// A login needs more time than a connection.
    fn limit(&self) -> Duration {
        self.access.dial.limit() + self.access.credentials.patience(Duration::from_secs(45))
    }
}

/// A stream through a bastion, which lasts as long as its session is held.
struct Through {
    stream: ChannelStream<Msg>,
    session: Arc<Session>,
}

impl Through {
    /// The end of the stream is the bastion's, when its connection has ended.
    fn judge(&self) -> io::Result<()> {
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
            Poll::Ready(Ok(())) if buffer.filled().len() == before => Poll::Ready(self.judge()),
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
