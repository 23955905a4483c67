//! The proxy adapter: an SSH server of this machine, for Ansible alone, that passes on what it is asked for to the communicator of the
//! build. So Ansible goes every way that bakelite can go: past bastions, through Session Manager, over WinRM.

mod command;
mod connection;
mod files;
mod instance;
mod keys;
mod scp;
mod sftp;
mod stream;

use std::borrow::Cow;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::error::Explain;
use russh::MethodKind;
use russh::keys::PublicKey;
use russh::server::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use connection::Connection;
pub(crate) use instance::Instance;
pub(crate) use keys::{KeyError, Keys};

/// How many ports are tried from `local_port` on.
const PORTS: u16 = 10;

/// OpenSSH's client may offer the keys of an agent before ours.
const LOGIN_ATTEMPTS: usize = 100;

/// Why there is no adapter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdapterError {
    #[error("failed to listen for Ansible on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("failed to listen for Ansible: none of the ports from {first} to {last} is free")]
    NoPort { first: u16, last: u16 },
}

impl Explain for AdapterError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            AdapterError::Listen { .. } => None,
            AdapterError::NoPort { .. } => Some("set another `local_port`, or 0 for any port that is free".into()),
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("local_port".into())
    }
}

/// An SSH server that listens.
pub(crate) struct Adapter {
    listener: TcpListener,
    port: u16,
    config: Arc<Config>,
    door: Arc<Door>,
    /// Tells the connections when this value goes.
    _closing: DropGuard,
}

/// Who is let in, and where to.
struct Door {
    user: String,
    key: PublicKey,
    instance: Arc<Instance>,
    /// Told when the adapter closes: a connection that waits for a slow command shall not outlive it.
    closing: CancellationToken,
}

impl Adapter {
    /// Listens; `local_port` is the first port to try, 0 is any.
    pub(crate) async fn listen(
        local_port: u16,
        user: &str,
        keys: &Keys,
        instance: Instance,
    ) -> Result<Self, AdapterError> {
        let (listener, port) = listen(local_port).await?;
        let config = Config {
            server_id: russh::SshId::Standard("SSH-2.0-bakelite".into()),
            methods: [MethodKind::PublicKey].as_slice().into(),
            max_auth_attempts: LOGIN_ATTEMPTS,
            // Nobody but this machine's users can try keys on a loopback address.
            auth_rejection_time: Duration::ZERO,
            keys: vec![keys.host.clone()],
            inactivity_timeout: None,
            nodelay: true,
            ..Config::default()
        };
        let closing = CancellationToken::new();
        let door = Door {
            user: user.to_owned(),
            key: keys.authorized.clone(),
            instance: Arc::new(instance),
            closing: closing.clone(),
        };
        Ok(Self {
            listener,
            port,
            config: Arc::new(config),
            door: Arc::new(door),
            _closing: closing.drop_guard(),
        })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Serves until dropped; that cuts all connections and ends what runs on them.
    pub(crate) async fn serve(&self) -> std::convert::Infallible {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(serve(Arc::clone(&self.config), Arc::clone(&self.door), stream));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn listen(local_port: u16) -> Result<(TcpListener, u16), AdapterError> {
    let last = if local_port == 0 {
        0
    } else {
        local_port.saturating_add(PORTS - 1)
    };
    for port in local_port..=last {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listening = match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            bound => bound.and_then(|listener| Ok((listener.local_addr()?.port(), listener))),
        };
        let (port, listener) = listening.map_err(|source| AdapterError::Listen { address, source })?;
        return Ok((listener, port));
    }
    Err(AdapterError::NoPort {
        first: local_port,
        last,
    })
}

async fn serve(config: Arc<Config>, door: Arc<Door>, stream: TcpStream) {
    let Ok(_hang_up) = stream.as_fd().try_clone_to_owned().map(HangUp) else {
        return;
    };
    // Without it answers take longer, and that is all.
    let _ = stream.set_nodelay(true);
    if let Ok(session) = russh::server::run_stream(config, stream, Connection::new(door)).await {
        // A client that breaks off is no concern of ours.
        let _ = session.await;
    }
}

/// Cuts a connection when dropped: the SSH library's own task ends with it.
struct HangUp(OwnedFd);

impl Drop for HangUp {
    fn drop(&mut self) {
        // The client may have gone first.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let first = taken.local_addr().unwrap().port();
        let (_listener, port) = listen(first).await.unwrap();
        assert!(port > first && port < first.saturating_add(PORTS), "{first} {port}");
    }

    #[tokio::test]
    async fn the_last_port_has_no_successor() {
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, u16::MAX)).await;
        let error = listen(u16::MAX).await.err().unwrap();
        assert!(error.to_string().contains("65535"), "{error}");
    }
}
