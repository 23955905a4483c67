//! The SSH server of a machine. It runs in our own process, on a loopback address, and lets nothing but the sandbox's init
//! act: commands, file transfers and terminals all live in the machine.

mod channel;
mod connection;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use russh::MethodKind;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::connection_slots::{ConnectionSlots, Slot};
use crate::machine_error::MachineError;
use crate::sandbox::{Condition, Sandbox};
use crate::store::Store;
use connection::Connection;

/// Connections to one machine, attempts to log in on one of them, and how long they may take. All users of this machine can connect to a
/// loopback address; OpenSSH's server has the same limits of attempts and half the time.
const MOST_CONNECTIONS: usize = 64;
const MOST_ATTEMPTS: usize = 6;
const LOGIN_LIMIT: Duration = Duration::from_mins(1);

/// The SSH server of one machine.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Arc<Config>,
    host_key: String,
    authorized: Arc<[PublicKey]>,
    sandbox: Arc<Sandbox>,
}

/// The host key of a machine, which it keeps over restarts.
pub(crate) fn host_key(store: &Store, id: &str) -> Result<PrivateKey, MachineError> {
    let make = || {
        let key =
            PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(io::Error::other)?;
        Ok(key.to_openssh(LineEnding::LF).map_err(io::Error::other)?.to_string())
    };
    let text = store.host_key(id, make)?;
    PrivateKey::from_openssh(&text).map_err(|error| MachineError::HostKey {
        id: id.to_owned(),
        reason: error.to_string(),
    })
}

/// Binds the wanted port, or any other where that one is taken or needs more rights than we have.
pub(crate) async fn listen(address: Ipv4Addr, port: u16) -> Result<TcpListener, MachineError> {
    let wanted = SocketAddr::from((address, port));
    let refused = |address| move |source| MachineError::Listen { address, source };
    match TcpListener::bind(wanted).await {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse) && port != 0 =>
        {
            let any = SocketAddr::from((address, 0));
            TcpListener::bind(any).await.map_err(refused(any))
        }
        other => other.map_err(refused(wanted)),
    }
}

/// The keys of `authorized_keys` lines; options in front of a key are not supported, and such a line is ignored.
pub(crate) fn authorized<'a>(lines: impl Iterator<Item = &'a String>) -> Vec<PublicKey> {
    lines
        .filter_map(|line| PublicKey::from_openssh(line.trim()).ok())
        .collect()
}

impl Server {
    /// A server that is ready to serve.
    pub(crate) fn new(
        listener: TcpListener,
        key: PrivateKey,
        authorized: Vec<PublicKey>,
        sandbox: Arc<Sandbox>,
    ) -> io::Result<Server> {
        let host_key = key.public_key().to_openssh().map_err(io::Error::other)?;
        let config = Config {
            server_id: russh::SshId::Standard("SSH-2.0-bakelite".into()),
            methods: [MethodKind::PublicKey].as_slice().into(),
            max_auth_attempts: MOST_ATTEMPTS,
            // Whoever has no key of the instance may try; there is nothing to guess in a public key's signature.
            auth_rejection_time: Duration::ZERO,
            keys: vec![key],
            inactivity_timeout: None,
            nodelay: true,
            ..Config::default()
        };
        Ok(Server {
            address: listener.local_addr()?,
            listener,
            config: Arc::new(config),
            host_key,
            authorized: authorized.into(),
            sandbox,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its host key as an OpenSSH public key line.
    pub(crate) fn host_key(&self) -> String {
        self.host_key.clone()
    }

    /// Serves until dropped; that, and a reboot of the machine, cuts all connections.
    pub(crate) async fn serve(&self) {
        let mut condition = self.sandbox.condition();
        let mut connections = JoinSet::new();
        let mut slots = ConnectionSlots::new(MOST_CONNECTIONS);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let running = *condition.borrow() == Condition::Running;
                    match accepted {
                        Ok((stream, peer)) if running => if let Some(slot) = slots.acquire() {
                            connections.spawn(self.connect(stream, peer, slot));
                        },
                        Ok(_) => {}
                        Err(error) => {
                            tracing::warn!(%error, "SSH connection not accepted");
                            slots.await_room(&mut connections).await;
                        }
                    }
                }
                changed = condition.changed() => {
                    if changed.is_err() || *condition.borrow_and_update() == Condition::Gone {
                        return;
                    }
                    if *condition.borrow() == Condition::Rebooting {
                        connections.shutdown().await;
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn connect(&self, stream: TcpStream, peer: SocketAddr, slot: Slot) -> impl Future<Output = ()> + Send + 'static {
        let connection = Connection::new(
            Arc::clone(&self.sandbox),
            Arc::clone(&self.authorized),
            peer,
            self.address,
            slot.clone(),
        );
        let config = Arc::clone(&self.config);
        async move {
            let Ok(hang_up) = stream.as_fd().try_clone_to_owned().map(HangUp) else {
                return;
            };
            stream.set_nodelay(true).ok();
            let session = async {
                if let Ok(session) = russh::server::run_stream(config, stream, connection).await {
                    session.await.ok(); // a client that breaks off is no concern of ours
                }
            };
            tokio::select! {
                () = session => {}
                () = slot.evicted() => {}
                () = login_limit(&slot) => {}
            }
            drop(hang_up);
        }
    }
}

/// Completes when the time to log in is over without a login.
async fn login_limit(slot: &Slot) {
    if tokio::time::timeout(LOGIN_LIMIT, slot.until_authenticated())
        .await
        .is_ok()
    {
        std::future::pending::<()>().await;
    }
}

/// Cuts a connection when dropped: the SSH library's own task ends with it.
struct HangUp(OwnedFd);

impl Drop for HangUp {
    fn drop(&mut self) {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both).ok();
    }
}
