//! A host to go through: we log in to it as to any other, and it opens the stream to the next. One login serves all streams for as long
//! as it lasts.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::error::Explain as _;
use bakelite_net::tap::{Tap, Tapped};
use tokio::sync::Mutex;

use super::session::{Connector, ForwardError, Session, SessionError};
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
    #[error("bastion {peer} cannot connect to {target}")]
    Forward {
        peer: String,
        target: String,
        #[source]
        cause: ForwardError,
    },
}

/// The connection to a bastion is lost, and what went through it with it.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the bastion is lost")]
struct Gone(#[source] CommunicatorError);

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
        let channel = opened.map_err(|cause| BastionError::Forward {
            peer: self.connector.peer.clone(),
            target: format!("{}:{}", self.host, self.port),
            cause,
        })?;
        Ok(Box::new(Tapped {
            stream: channel.into_stream(),
            tap: Through(session),
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

/// Keeps a bastion's session for as long as a stream goes through it.
struct Through(Arc<Session>);

impl Tap for Through {
    /// The end of the stream is the bastion's, when its connection has ended.
    fn delivered(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() || self.0.is_alive() {
            return Ok(());
        }
        Err(io::Error::other(Gone(self.0.lost(None))))
    }
}
