//! The connection to one instance: the wait until there is one, the same connection made again when it was lost, and the tunnels over it.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bakelite_engine::clock::{Paused, pause};
use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::error::Explain as _;
use bakelite_engine::events::Events;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::session::{Connector, Link, Session, SessionError};
use super::tunnel::{Tunnel, TunnelError, carry_channel};
use crate::dial::{Refusal, Stream};

/// How long to wait for an instance that has gone away in the middle of a bake, as one that restarts does.
const RECONNECT: Wait = Wait {
    limit: Some(Duration::from_mins(2)),
    // The first login shows whether our credentials still work; a server that is starting refuses some with "booting up".
    refusals: Some(5),
};

/// Attempts to open a stream that run side by side: a lost packet of one does not hold up the next.
const ATTEMPTS_AT_ONCE: usize = 5;

/// The pause after a login that was refused.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// How long to go on with attempts to connect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// Altogether; without one there is no limit.
    pub(crate) limit: Option<Duration>,
    /// Refused logins that end the wait; without a number any are accepted.
    pub(crate) refusals: Option<u32>,
}

/// Why no more attempts are made.
pub(crate) enum GaveUp {
    /// Another attempt cannot succeed.
    Refused(SessionError),
    /// The limit was reached; what the last attempt failed with.
    TimedOut(Option<SessionError>),
}

impl Connector {
    /// Connects, with as many attempts as it takes within the limits: the first success wins.
    pub(crate) async fn connect(&self, wait: Wait, cancel: &CancellationToken) -> Result<Session, GaveUp> {
        let started = Instant::now();
        let deadline = wait.limit.map(|limit| started + limit);
        let mut last = None;
        let mut refusals = 0;
        loop {
            let attempt = self.attempt(&mut last, cancel);
            let result = match deadline {
                Some(deadline) => timeout_at(deadline, attempt).await,
                None => Ok(attempt.await),
            };
            let error = match result {
                Err(_) => return Err(GaveUp::TimedOut(last)),
                Ok(Ok(session)) => {
                    tracing::debug!(peer = self.peer, took = ?started.elapsed(), "connected");
                    return Ok(session);
                }
                Ok(Err(error)) => error,
            };
            tracing::debug!(
                peer = self.peer,
                error = bakelite_engine::chain_of(&error),
                "attempt to connect"
            );
            let refusal = error.refusal();
            refusals += u32::from(refusal == Refusal::Login);
            if refusal == Refusal::Final || wait.refusals.is_some_and(|allowed| refusals >= allowed) {
                return Err(GaveUp::Refused(error));
            }
            last = Some(error);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let span = left.map_or(PAUSE_AFTER_REFUSAL, |left| left.min(PAUSE_AFTER_REFUSAL));
            if pause(span, cancel).await == Paused::Cancelled {
                return Err(GaveUp::TimedOut(last));
            }
        }
    }

    /// Opens a stream, however long it takes, and logs in over it. `last` is what went wrong meanwhile.
    async fn attempt(
        &self,
        last: &mut Option<SessionError>,
        cancel: &CancellationToken,
    ) -> Result<Session, SessionError> {
        let stream = self.open(last, cancel).await?;
        self.log_in_over(stream).await
    }

    /// Opens a stream: a new attempt starts when the one before has had its time, without giving that one up.
    async fn open(
        &self,
        last: &mut Option<SessionError>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Stream>, SessionError> {
        let mut attempts = FuturesUnordered::new();
        let mut span = Duration::from_millis(25);
        loop {
            if attempts.len() < ATTEMPTS_AT_ONCE {
                attempts.push(tokio::time::timeout(self.dial.limit(), self.dial.open()));
            }
            let next = pause(span, cancel);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    _ = &mut next => break,
                    Some(opened) = attempts.next() => {
                        let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
                        match opened.unwrap_or_else(timed_out) {
                            Ok(stream) => return Ok(stream),
                            // A bastion that refuses us is not tried again and again.
                            Err(cause) if cause.refusal() != Refusal::None => return Err(self.dial_failed(cause)),
                            Err(cause) => *last = Some(self.dial_failed(cause)),
                        }
                    }
                }
            }
            span = (span * 2).min(Duration::from_secs(1));
        }
    }
}

/// The connection to one instance, made again when it was lost.
pub(crate) struct Connection {
    connector: Connector,
    /// The session that is in use; one that ended is replaced when the next is needed.
    session: Mutex<Arc<Session>>,
    /// Where the progress of transfers is reported.
    pub(crate) events: Events,
    /// Ends the wait for an instance that has gone away.
    cancel: CancellationToken,
}

impl Connection {
    pub(crate) fn new(connector: Connector, session: Session, events: Events, cancel: CancellationToken) -> Self {
        Self {
            connector,
            session: Mutex::new(Arc::new(session)),
            events,
            cancel,
        }
    }

    /// A session that is alive, as far as we know.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, CommunicatorError> {
        let mut session = self.session.lock().await;
        if !session.is_alive() {
            session.close().await;
            let again = self.connector.connect(RECONNECT, &self.cancel).await;
            *session = Arc::new(again.map_err(|gave_up| self.not_again(gave_up))?);
        }
        Ok(Arc::clone(&session))
    }

    /// Why there is no connection any more. Another machine at the instance's address is not one to wait for.
    fn not_again(&self, gave_up: GaveUp) -> CommunicatorError {
        let peer = self.connector.peer.clone();
        let error = match gave_up {
            GaveUp::Refused(error) | GaveUp::TimedOut(Some(error)) => error,
            GaveUp::TimedOut(None) => SessionError::Silent { peer: peer.clone() },
        };
        if error.refusal() == Refusal::Final {
            return CommunicatorError::Refused {
                operation: format!("failed to reconnect to {peer}"),
                message: bakelite_engine::chain_of(&error),
                help: error.help().map(Into::into),
            };
        }
        CommunicatorError::Disconnected {
            peer,
            cause: Some(Box::new(error)),
        }
    }

    /// A channel of a session that is alive: once more when the first turns out to be dead.
    pub(crate) async fn link(&self) -> Result<Link, CommunicatorError> {
        let session = self.session().await?;
        let (session, channel) = match session.open_channel().await {
            Err(CommunicatorError::Disconnected { .. }) => {
                let session = self.session().await?;
                let channel = session.open_channel().await?;
                (session, channel)
            }
            opened => (session, opened?),
        };
        Ok(Link { session, channel })
    }

    /// Waits until the session that is in use has ended.
    pub(crate) async fn gone(&self) {
        let session = Arc::clone(&*self.session.lock().await);
        session.gone().await;
    }

    pub(crate) async fn close(&self) {
        self.session.lock().await.close().await;
    }

    /// Listens on ports of this machine; what connects is carried to the instance's network for as long as the value lives, after a
    /// reconnect over the new session.
    pub(crate) async fn listen(self: &Arc<Self>, tunnels: &[Tunnel]) -> Result<JoinSet<()>, TunnelError> {
        let mut listening = JoinSet::new();
        for tunnel in tunnels {
            let bound = TcpListener::bind(("localhost", tunnel.listen)).await;
            let listener = bound.map_err(|cause| TunnelError::Listen {
                port: tunnel.listen,
                tunnel: tunnel.to_string(),
                cause,
            })?;
            listening.spawn(accept(listener, tunnel.clone(), Arc::downgrade(self)));
        }
        Ok(listening)
    }
}

async fn accept(listener: TcpListener, tunnel: Tunnel, connection: Weak<Connection>) {
    let mut carrying = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Some(connection) = connection.upgrade() else { return };
                    carrying.spawn(outward(stream, tunnel.clone(), connection));
                }
                Err(error) => tracing::warn!(%error, %tunnel, "failed to accept a connection to a tunnel"),
            },
            Some(_) = carrying.join_next() => {}
        }
    }
}

async fn outward(stream: TcpStream, tunnel: Tunnel, connection: Arc<Connection>) {
    let opened = match connection.session().await {
        Ok(session) => session.open_stream(&tunnel.host, tunnel.port).await,
        Err(error) => Err(error.into()),
    };
    drop(connection);
    match opened {
        Ok(channel) => carry_channel(channel, stream).await,
        Err(error) => {
            let error = bakelite_engine::chain_of(&error);
            tracing::warn!(error, %tunnel, "the instance failed to connect to the target of a tunnel");
        }
    }
}
