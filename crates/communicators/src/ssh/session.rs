//! One SSH connection that is logged in, and how it comes about.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::error::Explain;
use bakelite_engine::untrusted::quoted;
use russh::client::{self, ChannelOpenHandle, DisconnectReason, Handle, Msg};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Channel, ChannelOpenFailure, Disconnect, SshId};
use tokio::net::UnixStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::algorithms::preferred;
use super::auth::{AuthError, Credentials, log_in};
use super::host_key::{HostKey, WrongHostKey, fingerprint};
use super::tunnel::{RemoteTunnels, Tunnel, carry_channel};
use crate::dial::{Dial, DialError, Refusal, Stream};
use crate::tasks::Tasks;

/// How long a server may take from the open stream to the end of the login.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_mins(1);

/// Missed keepalives after which a connection counts as lost.
const MISSED_KEEPALIVES: usize = 3;

/// Algorithms of a server that an error names.
const ALGORITHMS_SHOWN: usize = 32;

/// Bytes that a server may send before we answer: what a line of 100 ms carries at 80 MB/s.
const WINDOW: u32 = 8 * 1024 * 1024;

/// Servers that answer within this time are near: a network that quick carries more than gzip packs.
const FAR_MICROSECONDS: u64 = 20_000;

/// How a connection behaves, whatever the options are called that it comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// Interval of keepalives; none are sent without one.
    pub(crate) keepalive: Option<Duration>,
    /// The connection counts as lost when nothing is received for this long.
    pub(crate) inactivity_timeout: Option<Duration>,
    /// Ciphers to offer, by their OpenSSH names; empty: the default ones.
    pub(crate) ciphers: Vec<String>,
    /// Key exchange algorithms to offer, by their OpenSSH names; empty: the default ones.
    pub(crate) key_exchanges: Vec<String>,
}

impl Config {
    /// How long data may stay unacknowledged until the other side is gone as the keepalives see it.
    pub(crate) fn unacknowledged_limit(&self) -> Option<Duration> {
        let keepalives = u32::try_from(MISSED_KEEPALIVES).unwrap_or(u32::MAX) + 1;
        self.keepalive.map(|interval| interval * keepalives)
    }
}

/// Everything that is needed to connect to one server, once or again.
pub(crate) struct Connector {
    /// `user@host:port`, for people.
    pub(crate) peer: String,
    /// How streams are opened.
    pub(crate) dial: Arc<dyn Dial>,
    /// Its host key.
    pub(crate) host_key: Arc<HostKey>,
    /// What we log in with.
    pub(crate) credentials: Credentials,
    /// Ports of the server that lead to this side.
    pub(crate) remote_tunnels: RemoteTunnels,
    /// The socket of the agent that is offered to the server.
    pub(crate) offered_agent: Option<PathBuf>,
    /// How the connection behaves.
    pub(crate) config: Config,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No stream of bytes to the server.
    #[error("failed to connect to {peer}")]
    Dial {
        /// `user@host:port` of the server.
        peer: String,
        /// What dialling failed with.
        #[source]
        cause: DialError,
    },
    /// It does not speak SSH, or no algorithm that we do.
    #[error("SSH handshake with {peer} failed")]
    Handshake {
        /// `user@host:port` of the server.
        peer: String,
        /// What the protocol failed with.
        #[source]
        cause: russh::Error,
    },
    /// It did not answer in time.
    #[error("SSH handshake with {peer} timed out after {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Silent {
        /// `user@host:port` of the server.
        peer: String,
    },
    /// It is not the server that it was.
    #[error(transparent)]
    HostKey(#[from] WrongHostKey),
    /// The login failed.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// It does not forward the port of a tunnel.
    #[error("failed to open port {} of {peer} for the tunnel `{tunnel}`", .tunnel.listen)]
    Tunnel {
        /// `user@host:port` of the server.
        peer: String,
        /// The tunnel of `ssh_remote_tunnels`.
        tunnel: Box<Tunnel>,
        /// What the request failed with.
        #[source]
        cause: russh::Error,
    },
}

/// Why a server opens no stream to another host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// Its configuration forbids it.
    #[error("it does not allow connections to other hosts")]
    Prohibited,
    /// The other host does not answer.
    #[error("no connection")]
    Unreached,
    /// The connection to the server itself is lost.
    #[error(transparent)]
    Lost(#[from] CommunicatorError),
}

impl SessionError {
    /// What the failure means for further attempts; that of a bastion counts as the server's own.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            SessionError::Dial { cause, .. } => cause.refusal(),
            SessionError::HostKey(_) => Refusal::Final,
            SessionError::Auth(AuthError::Refused { .. }) => Refusal::Login,
            _ => Refusal::None,
        }
    }
}

impl Explain for SessionError {
    fn help(&self) -> Option<Cow<'_, str>> {
        let help = match self {
            SessionError::Dial { cause, .. } => return cause.help(),
            SessionError::Auth(AuthError::Refused { .. }) => {
                "see that the user is one of the image's, and that the key is the one that it was launched with"
            }
            SessionError::HostKey(_) => {
                "another machine may answer at this address; if this is the right one, change `ssh_host_key`"
            }
            SessionError::Handshake {
                cause: russh::Error::NoCommonAlgo { .. },
                ..
            } => "see `ssh_ciphers` and `ssh_key_exchange_algorithms`: the server must know one of each",
            _ => return None,
        };
        Some(help.into())
    }
}

/// Our side of the protocol: what the library asks of us.
pub(crate) struct Client {
    peer: String,
    host_key: Arc<HostKey>,
    offered: Arc<OnceLock<PublicKey>>,
    ended: Arc<Mutex<Option<String>>>,
    /// The library drops this value when the connection has ended.
    _gone: DropGuard,
    tasks: Tasks,
    remote_tunnels: RemoteTunnels,
    offered_agent: Option<PathBuf>,
}

/// Why the library's session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(transparent)]
    HostKey(#[from] WrongHostKey),
}

impl client::Handler for Client {
    type Error = ClientError;

    async fn check_server_key(&mut self, server: &PublicKeyOrCertificate) -> Result<bool, ClientError> {
        let key = match server {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.clone(),
            PublicKeyOrCertificate::Certificate(certificate) => PublicKey::from(certificate.public_key().clone()),
        };
        self.host_key.check(&key)?;
        tracing::debug!(peer = self.peer, host_key = fingerprint(&key), "host key of the server");
        // A key exchange later in the same connection asks again: the first answer counts.
        let _ = self.offered.set(key);
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _connected_address: &str,
        connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), ClientError> {
        let tunnels = self.remote_tunnels.clone();
        self.tasks.keep(async move {
            match tunnels.connect(connected_port).await {
                Ok(stream) => {
                    reply.accept().await;
                    carry_channel(channel, stream).await;
                }
                Err(reason) => reply.reject(reason).await,
            }
        });
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), ClientError> {
        // Only an agent that was offered may be asked.
        let Some(socket) = self.offered_agent.clone() else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        self.tasks.keep(async move {
            match UnixStream::connect(socket).await {
                Ok(agent) => {
                    reply.accept().await;
                    carry_channel(channel, agent).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<ClientError>) -> Result<(), ClientError> {
        let why = match reason {
            DisconnectReason::ReceivedDisconnect(info) => quoted(&info.message),
            DisconnectReason::Error(error) => quoted(&bakelite_engine::chain_of(&error)),
        };
        tracing::debug!(peer = self.peer, why, "connection ended");
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        Ok(())
    }
}

/// A channel and the session that it belongs to.
pub(crate) struct Link {
    pub(crate) session: Arc<Session>,
    pub(crate) channel: Channel<Msg>,
}

/// A connection that is logged in.
pub(crate) struct Session {
    handle: Handle<Client>,
    peer: String,
    ended: Arc<Mutex<Option<String>>>,
    gone: CancellationToken,
    /// The quickest answer so far, in microseconds: that of the system, or one of the server, which may wait to send it with others.
    quickest_answer: AtomicU64,
    tasks: Tasks,
    /// Commands can use the agent.
    offers_agent: bool,
}

impl Connector {
    /// Shakes hands and logs in over an open stream.
    pub(crate) async fn log_in_over(&self, stream: Box<dyn Stream>) -> Result<Session, SessionError> {
        let limited = tokio::time::timeout(self.credentials.timeout(HANDSHAKE_TIMEOUT), self.shake_hands(stream)).await;
        limited.unwrap_or_else(|_| {
            Err(SessionError::Silent {
                peer: self.peer.clone(),
            })
        })
    }

    /// Opens a stream and logs in over it: one attempt.
    pub(crate) async fn log_in_once(&self) -> Result<Session, SessionError> {
        let opened = self.dial.open().await;
        let stream = opened.map_err(|cause| self.dial_failed(cause))?;
        self.log_in_over(stream).await
    }

    pub(crate) fn dial_failed(&self, cause: DialError) -> SessionError {
        SessionError::Dial {
            peer: self.peer.clone(),
            cause,
        }
    }

    async fn shake_hands(&self, stream: Box<dyn Stream>) -> Result<Session, SessionError> {
        let (offered, ended) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(None)));
        let tasks = Tasks::default();
        let gone = CancellationToken::new();
        let client = Client {
            peer: self.peer.clone(),
            host_key: Arc::clone(&self.host_key),
            offered: Arc::clone(&offered),
            ended: Arc::clone(&ended),
            _gone: gone.clone().drop_guard(),
            tasks: tasks.clone(),
            remote_tunnels: self.remote_tunnels.clone(),
            offered_agent: self.offered_agent.clone(),
        };
        let mut handle = client::connect_stream(Arc::new(self.config()), stream, client)
            .await
            .map_err(|error| self.handshake_failed(error))?;
        log_in(&mut handle, &self.credentials).await?;
        if let Some(key) = offered.get() {
            self.host_key.remember(key.clone());
        }
        for (port, tunnel) in self.remote_tunnels.ports() {
            let asked = handle.tcpip_forward("localhost", port).await;
            asked.map_err(|cause| SessionError::Tunnel {
                peer: self.peer.clone(),
                tunnel: Box::new(tunnel.clone()),
                cause,
            })?;
        }
        Ok(Session {
            handle,
            peer: self.peer.clone(),
            ended,
            gone,
            quickest_answer: AtomicU64::new(self.dial.distance().map_or(u64::MAX, microseconds)),
            tasks,
            offers_agent: self.offered_agent.is_some(),
        })
    }

    fn handshake_failed(&self, error: ClientError) -> SessionError {
        let cause = match error {
            ClientError::HostKey(wrong) => return wrong.into(),
            ClientError::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => {
                let theirs: Vec<String> = theirs.iter().take(ALGORITHMS_SHOWN).map(|name| quoted(name)).collect();
                // Only the kind of the key that is known was asked for.
                if matches!(kind, AlgorithmKind::Key)
                    && let Err(wrong) = self.host_key.check_kind(&theirs)
                {
                    return wrong.into();
                }
                russh::Error::NoCommonAlgo { kind, ours, theirs }
            }
            ClientError::Ssh(cause) => cause,
        };
        SessionError::Handshake {
            peer: self.peer.clone(),
            cause,
        }
    }

    fn config(&self) -> client::Config {
        client::Config {
            client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-bakelite_", env!("CARGO_PKG_VERSION")))),
            preferred: preferred(
                &self.config.ciphers,
                &self.config.key_exchanges,
                self.host_key.algorithm().as_ref(),
            ),
            keepalive_interval: self.config.keepalive,
            keepalive_max: MISSED_KEEPALIVES,
            inactivity_timeout: self.config.inactivity_timeout,
            nodelay: true,
            window_size: WINDOW,
            ..client::Config::default()
        }
    }
}

impl Session {
    /// Is the connection still there, as far as we know?
    pub(crate) fn is_alive(&self) -> bool {
        !self.handle.is_closed()
    }

    /// Waits until it is not.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Opens a channel for a command or a subsystem.
    pub(crate) async fn open_channel(&self) -> Result<Channel<Msg>, CommunicatorError> {
        let opened = self.measured(self.handle.channel_open_session()).await;
        opened.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(reason) => CommunicatorError::Refused {
                operation: format!("open a session on {}", self.peer),
                message: format!("{reason:?}"),
                help: None,
            },
            error => self.lost(Some(error)),
        })
    }

    /// Waits for an answer of the server, and notes how long that took.
    async fn measured<T>(&self, answer: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        let answer = answer.await;
        self.quickest_answer
            .fetch_min(microseconds(asked.elapsed()), Ordering::Relaxed);
        answer
    }

    /// Is the server so far away that the line, and not the machines at its ends, is what takes time?
    pub(crate) fn is_far(&self) -> bool {
        self.quickest_answer.load(Ordering::Relaxed) > FAR_MICROSECONDS
    }

    /// The error of a connection that is gone.
    pub(crate) fn lost(&self, cause: Option<russh::Error>) -> CommunicatorError {
        let why = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cause: Option<Box<dyn std::error::Error + Send + Sync>> = match (why, cause) {
            (Some(why), _) if !why.is_empty() => Some(why.into()),
            (_, Some(cause)) => Some(cause.into()),
            _ => None,
        };
        CommunicatorError::Disconnected {
            peer: self.peer.clone(),
            cause,
        }
    }

    /// Runs a task for as long as the session lasts.
    pub(crate) fn keep(&self, pump: impl Future<Output = ()> + Send + 'static) {
        self.tasks.keep(pump);
    }

    /// Can commands use the agent?
    pub(crate) fn offers_agent(&self) -> bool {
        self.offers_agent
    }

    /// Opens a stream from the server to somewhere else.
    pub(crate) async fn open_stream(&self, host: &str, port: u16) -> Result<Channel<Msg>, ForwardError> {
        let opened = self
            .handle
            .channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0)
            .await;
        opened.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                ForwardError::Prohibited
            }
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => ForwardError::Unreached,
            error => self.lost(Some(error)).into(),
        })
    }

    /// Says goodbye and waits until everything of this connection has ended.
    pub(crate) async fn close(&self) {
        // The server may be gone already.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
        self.tasks.finish(Duration::ZERO).await;
    }
}

fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
