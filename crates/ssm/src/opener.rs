//! Opens the websockets of a session: the first one, and another one whenever one breaks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as WebSocketMessage;
use uuid::Uuid;

use crate::error::SessionError;
use crate::link::LinkError;
use crate::message::{OpenDataChannel, json};
use crate::socket::{self, Network, Socket};
use crate::version::CLIENT_VERSION;

/// How long resuming is tried. SSH asks every 5 seconds whether the other side is there and gives it 3 times, so this serves
/// the connection after the next one, too.
const RESUME_LIMIT: Duration = Duration::from_mins(1);

/// What `StartSession` answered.
#[derive(Clone)]
pub struct Start {
    /// The session's id.
    pub session: String,
    /// Where its data channel is: `wss://…`.
    pub stream_url: String,
    /// The right to use it, as good as a password.
    pub token: String,
}

/// Gets a new token for a session whose websocket broke.
#[async_trait]
pub trait Resume: Send + Sync {
    /// What `ResumeSession` answers.
    async fn resume(&self, session: &str) -> Result<String, ResumeError>;
}

/// Why a session does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It is over.
    #[error("session does not exist any more")]
    Gone,
    /// The call failed.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// Opens the websockets of one session.
pub(crate) struct Opener {
    network: Arc<Network>,
    session: String,
    stream_url: String,
    client: Uuid,
    resume: Arc<dyn Resume>,
}

impl Opener {
    /// The opener of a session that was started.
    pub(crate) fn new(start: &Start, network: Arc<Network>, resume: Arc<dyn Resume>) -> Self {
        Self {
            network,
            session: start.session.clone(),
            stream_url: start.stream_url.clone(),
            client: Uuid::new_v4(),
            resume,
        }
    }

    /// Opens a websocket with a token.
    pub(crate) async fn open(&self, token: &str) -> Result<Socket, SessionError> {
        use futures::SinkExt as _;
        let mut socket = socket::open(&self.network, &self.stream_url).await?;
        let hello = OpenDataChannel {
            message_schema_version: "1.0".into(),
            request_id: Uuid::new_v4().to_string(),
            token_value: token.to_owned(),
            client_id: self.client.to_string(),
            client_version: CLIENT_VERSION.into(),
        };
        let hello = String::from_utf8_lossy(&json(&hello)).into_owned();
        let sent = async {
            socket.send(WebSocketMessage::text(hello)).await?;
            socket
                .send(WebSocketMessage::Ping(Bytes::from_static(b"keepalive")))
                .await
        };
        sent.await.map_err(LinkError::from)?;
        Ok(socket)
    }

    /// Opens another websocket for the session, with a new token; tries again for a minute.
    #[expect(clippy::disallowed_methods, reason = "an unreachable service sends no event")]
    pub(crate) async fn open_again(&self, broken: LinkError) -> Result<Socket, SessionError> {
        let deadline = Instant::now() + RESUME_LIMIT;
        let mut pause = Duration::from_millis(100);
        loop {
            let attempt = async {
                match self.resume.resume(&self.session).await {
                    Ok(token) => self
                        .open(&token)
                        .await
                        .map_err(|error| ResumeError::Failed(error.into())),
                    Err(error) => Err(error),
                }
            };
            let error = match attempt.await {
                Ok(socket) => return Ok(socket),
                Err(error) => error,
            };
            tracing::debug!(error = %error, "session not resumed");
            if matches!(error, ResumeError::Gone) || Instant::now() + pause > deadline {
                let cause = Box::new(error);
                return Err(SessionError::Lost { broken, cause });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}
