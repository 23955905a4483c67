//! SSH as a communicator: one connection, made again when it was lost; commands and files over its channels.

pub(crate) mod algorithms;
mod archive;
pub mod auth;
pub mod authorized_keys;
pub(crate) mod bastion;
pub mod console;
mod exec;
mod file_stream;
mod gzip;
pub mod host_key;
pub(crate) mod key;
mod listing;
mod pieces;
mod program;
pub(crate) mod proxy;
mod quote;
mod scp;
mod scp_wire;
pub(crate) mod session;
mod sftp;
mod sftp_folder;
mod tar_entries;
mod tar_script;
mod tar_stream;
pub(crate) mod terminal;
mod transfer;
pub(crate) mod tree;
pub mod tunnel;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Running, Upload};
use bakelite_engine::events::Events;
use russh::Channel;
use russh::client::Msg;
use tokio::io::AsyncWrite;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::connect::reconnect;
use crate::options::CommunicatorOptions;
use session::{Access, Session, SessionError};
use transfer::TransferError;
use tunnel::{Tunnel, TunnelError};

pub(crate) use archive::unpack;
pub(crate) use listing::{Scales, Weighed};
pub(crate) use scp_wire::{Record, parse_record};

/// A channel and the connection that it belongs to.
pub(crate) type Link = (Arc<Session>, Channel<Msg>);

/// The way to one instance, made again when it was lost.
pub(crate) struct Connection {
    access: Access,
    /// The session that is in use; one that ended is replaced when the next is wanted.
    session: Mutex<Arc<Session>>,
}

impl Connection {
    /// A session that lives, as far as we know.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, CommunicatorError> {
        let mut session = self.session.lock().await;
        if !session.is_alive() {
            session.close().await;
            let again = reconnect(&self.access).await;
            *session = Arc::new(again.map_err(|error| self.not_again(error))?);
        }
        Ok(Arc::clone(&session))
    }

    /// Why there is no connection any more. Another machine at the instance's address is not one that is to be waited for.
    fn not_again(&self, error: SessionError) -> CommunicatorError {
        if error.is_final() {
            return CommunicatorError::Refused {
                operation: format!("connect to {} again", self.access.peer),
                message: bakelite_engine::chain_of(&error),
                help: error.help().map(str::to_owned),
            };
        }
        CommunicatorError::Disconnected {
            peer: self.access.peer.clone(),
            cause: Some(Box::new(error)),
        }
    }
}

/// An instance that is reached by SSH.
pub struct Ssh {
    connection: Arc<Connection>,
    /// Ways to transfer that the other side was found not to have.
    missing: transfer::Missing,
    /// Where the progress of transfers goes.
    events: Events,
    /// Ports of this machine that lead to the instance's network; they end with the value.
    _tunnels: JoinSet<()>,
}

impl Ssh {
    /// A communicator over a session, with the tunnels of this side.
    pub(crate) async fn new(
        access: Access,
        session: Session,
        tunnels: &[Tunnel],
        events: Events,
    ) -> Result<Self, TunnelError> {
        let connection = Arc::new(Connection {
            access,
            session: Mutex::new(Arc::new(session)),
        });
        Ok(Self {
            _tunnels: tunnel::listen(tunnels, &connection).await?,
            connection,
            missing: transfer::Missing::default(),
            events,
        })
    }

    fn options(&self) -> &CommunicatorOptions {
        &self.connection.access.options
    }

    /// A channel of a connection that lives: once more when the first turns out to be dead.
    pub(crate) async fn channel(&self) -> Result<Link, CommunicatorError> {
        let session = self.connection.session().await?;
        match session.open_channel().await {
            Err(CommunicatorError::Disconnected { .. }) => {
                let session = self.connection.session().await?;
                let channel = session.open_channel().await?;
                Ok((session, channel))
            }
            opened => opened.map(|channel| (session, channel)),
        }
    }

    /// The same, for transfers.
    async fn link(&self) -> Result<Link, TransferError> {
        self.channel().await.map_err(TransferError::Connection)
    }

    /// Is the instance so far away that compression pays?
    async fn is_far(&self) -> Result<bool, TransferError> {
        let session = self.connection.session().await.map_err(TransferError::Connection)?;
        Ok(session.is_far())
    }
}

#[async_trait]
impl Communicator for Ssh {
    async fn exec(&self, command: &str) -> Result<Running, CommunicatorError> {
        let (session, channel) = self.channel().await?;
        exec::exec(&session, channel, command, self.options().ssh_pty).await
    }

    async fn upload(&self, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
        transfer::upload(self, file, destination).await
    }

    async fn upload_folder(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), CommunicatorError> {
        transfer::upload_folder(self, source, contents_only, destination).await
    }

    async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), CommunicatorError> {
        transfer::download(self, source, destination).await
    }

    async fn download_folder(&self, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
        transfer::download_folder(self, source, destination).await
    }

    async fn disconnected(&self) {
        let session = Arc::clone(&*self.connection.session.lock().await);
        session.gone().await;
    }

    async fn close(&self) {
        self.connection.session.lock().await.close().await;
    }
}
