//! A session as its client sees it: streams to one port of an instance. One task drives it; it mends the line when the websocket
//! breaks, so that streams only notice a pause.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message as WebSocketMessage;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::driver::Driver;
use crate::handshake::{self, Agreed};
use crate::link::{Link, LinkError};
use crate::message::{OpenDataChannel, json};
use crate::smux::SmuxError;
use crate::socket::{self, Network, OpenError, Socket};
use crate::version::CLIENT_VERSION;

/// How long the agent may take until data may flow. It waits for us for 15 seconds.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// How long a broken line is mended. SSH asks every 5 seconds whether the other side is there and gives it 3 times, so this serves
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

/// Why there is no session, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No websocket.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The connection broke before data could flow.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The agent does not complete it.
    #[error("handshake of the session: not complete within {} seconds", HANDSHAKE_LIMIT.as_secs())]
    HandshakeTimeout,
    /// The agent violates the protocol.
    #[error("handshake of the session: {0}")]
    Handshake(&'static str),
    /// The session preferences of the account require encrypted data.
    #[error("session preferences require encryption with KMS key `{key}`, which is not supported")]
    Encrypted {
        /// The key's ARN.
        key: String,
    },
    /// The other side ended it.
    #[error("session was ended by the other side{}", reason(.0))]
    Closed(String),
    /// The line broke and could not be mended.
    #[error("session was lost: {broken}")]
    Lost {
        /// What happened to the line.
        broken: LinkError,
        /// What the last attempt to mend it failed with.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The multiplexed stream makes no sense.
    #[error(transparent)]
    Smux(#[from] SmuxError),
    /// We ended it.
    #[error("session was ended")]
    Terminated,
}

impl SessionError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Open(OpenError::Connect(error)) => Some(error.help().into()),
            Self::Encrypted { .. } => Some(
                "turn KMS encryption off in Session Manager's preferences, or use another `ssh_interface`; TLS and SSH encrypt all data anyway"
                    .into(),
            ),
            _ => None,
        }
    }

    /// Another session would meet the same end.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Open(OpenError::Connect(error)) => error.is_final(),
            Self::Encrypted { .. } | Self::Terminated | Self::Handshake(_) => true,
            _ => false,
        }
    }
}

fn reason(output: &str) -> String {
    let output = output.trim();
    if output.is_empty() {
        String::new()
    } else {
        format!(": {output}")
    }
}

/// A running session. Dropping it drops its websocket; [`close`](Self::close) ends it for good.
pub struct Session {
    agreed: Agreed,
    requests: mpsc::Sender<StreamRequest>,
    end: watch::Receiver<Option<Arc<SessionError>>>,
    closing: CancellationToken,
    _driver: JoinSet<()>,
}

/// Asks the driver for a stream.
pub(crate) type StreamRequest = oneshot::Sender<OpenedStream>;

/// A stream to the port.
pub struct OpenedStream {
    /// The stream itself.
    pub stream: DuplexStream,
    /// Comes when the other side has said something, or with why it will not. Without multiplexing nothing is known of that: it comes
    /// at once.
    pub answered: oneshot::Receiver<Result<(), PortError>>,
}

/// The agent cannot connect to the port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// It said so.
    #[error("the agent on the instance cannot connect to the port: nothing listens there")]
    Refused,
    /// It closed the stream before a byte had come.
    #[error("the instance closed the connection before it said anything")]
    Silent,
}

impl Session {
    /// Opens the data channel of a session that was started, and waits until data may flow.
    pub async fn open(start: &Start, network: Arc<Network>, resume: Arc<dyn Resume>) -> Result<Self, SessionError> {
        let opener = Opener {
            network,
            session: start.session.clone(),
            stream_url: start.stream_url.clone(),
            client: Uuid::new_v4(),
            resume,
        };
        let mut link = Link::of_client(opener.open(&start.token).await?);
        let agreed = timeout(HANDSHAKE_LIMIT, handshake::answer(&mut link)).await;
        let agreed = agreed.unwrap_or(Err(SessionError::HandshakeTimeout))?;
        tracing::debug!(
            session = start.session,
            agent = agreed.agent_version,
            multiplexed = agreed.is_multiplexed,
            "session"
        );

        let (requests, asked) = mpsc::channel(8);
        let (ended, end) = watch::channel(None);
        let closing = CancellationToken::new();
        let work = Driver::new(link, opener, &agreed, asked, closing.clone());
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let error = work.run().await;
            tracing::debug!(%error, "session ended");
            ended.send_replace(Some(Arc::new(error)));
        });
        Ok(Self {
            agreed,
            requests,
            end,
            closing,
            _driver: driver,
        })
    }

    /// Opens a stream. Without multiplexing there is one at a time: the next waits until the one before is dropped.
    pub async fn stream(&self) -> Result<OpenedStream, Arc<SessionError>> {
        let (request, answer) = oneshot::channel();
        if self.requests.send(request).await.is_ok()
            && let Ok(opened) = answer.await
        {
            return Ok(opened);
        }
        Err(self.ended().await)
    }

    /// The version of the instance's agent.
    pub fn agent_version(&self) -> &str {
        &self.agreed.agent_version
    }

    /// Whether several streams go through it at once.
    pub fn is_multiplexed(&self) -> bool {
        self.agreed.is_multiplexed
    }

    /// Why it ended, if it did.
    pub fn end(&self) -> Option<Arc<SessionError>> {
        self.end.borrow().clone()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> Arc<SessionError> {
        let mut end = self.end.clone();
        // The driver always returns how it ended, unless it was thrown out of its task.
        let ended = end.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|end| end.clone())
            .unwrap_or_else(|| Arc::new(SessionError::Terminated))
    }

    /// Ends the session: notifies the agent, and waits until that is done.
    pub async fn close(&self) {
        self.closing.cancel();
        let _ = self.ended().await;
    }
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
    async fn open(&self, token: &str) -> Result<Socket, SessionError> {
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

/// A flag as a payload.
pub(crate) fn flag(value: u32) -> Bytes {
    BytesMut::from(&value.to_be_bytes()[..]).freeze()
}
