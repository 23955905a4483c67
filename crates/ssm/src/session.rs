//! A session as its client sees it: streams to one port of an instance. One task drives it; it resumes the session when the websocket
//! breaks, so that streams only notice a pause.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::driver::Driver;
pub use crate::error::SessionError;
use crate::handshake::{self, Agreed};
use crate::link::Link;
use crate::opener::Opener;
pub use crate::opener::{Resume, ResumeError, Start};
use crate::socket::Network;
use crate::streams::StreamRequest;
pub use crate::streams::{OpenedStream, PortError};

/// How long the agent may take until data may flow. It waits for us for 15 seconds.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// A running session. Dropping it drops its websocket; [`close`](Self::close) ends it for good.
pub struct Session {
    agreed: Agreed,
    requests: mpsc::Sender<StreamRequest>,
    end: watch::Receiver<Option<Arc<SessionError>>>,
    closing: CancellationToken,
    _driver: JoinSet<()>,
}

impl Session {
    /// Opens the data channel of a session that was started, and waits until data may flow.
    pub async fn open(start: &Start, network: Arc<Network>, resume: Arc<dyn Resume>) -> Result<Self, SessionError> {
        let opener = Opener::new(start, network, resume);
        let mut link = Link::of_client(opener.open(&start.token).await?);
        let agreed = timeout(HANDSHAKE_LIMIT, handshake::answer(&mut link)).await;
        let agreed = agreed.unwrap_or(Err(SessionError::HandshakeTimeout(HANDSHAKE_LIMIT)))?;
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
