//! SSH as a communicator: one connection, made again when it was lost; commands and files over its channels.

pub(crate) mod algorithms;
mod archive;
pub mod auth;
pub mod authorized_keys;
mod exec;
mod file_stream;
mod gzip;
pub mod host_key;
pub(crate) mod key;
mod program;
mod progress;
mod quote;
mod scp;
mod scp_wire;
pub(crate) mod session;
mod sftp;
mod tar_stream;
mod transfer;
mod tree;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Running, Upload};
use bakelite_engine::events::Events;
use russh::Channel;
use russh::client::Msg;
use tokio::io::AsyncWrite;
use tokio::sync::Mutex;

use crate::connect::reconnect;
use session::{Access, Session};
use transfer::TransferError;

/// How long one attempt to open a stream may take.
pub(crate) const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// A channel and the connection that it belongs to.
pub(crate) type Link = (Arc<Session>, Channel<Msg>);

/// An instance that is reached by SSH.
pub struct Ssh {
    access: Access,
    /// The connection that is in use; one that ended is replaced by the next operation.
    session: Mutex<Arc<Session>>,
    /// Ways to transfer that the other side was found not to have.
    missing: transfer::Missing,
    /// Where the progress of transfers goes.
    events: Events,
}

impl Ssh {
    pub(crate) fn new(access: Access, session: Session, events: Events) -> Self {
        Self {
            access,
            session: Mutex::new(Arc::new(session)),
            missing: transfer::Missing::default(),
            events,
        }
    }

    /// A channel of a connection that lives: once more when the first turns out to be dead.
    pub(crate) async fn channel(&self) -> Result<Link, CommunicatorError> {
        let session = self.session().await?;
        match session.open_channel().await {
            Err(CommunicatorError::Disconnected { .. }) => {
                let session = self.session().await?;
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
        let session = self.session().await.map_err(TransferError::Connection)?;
        Ok(session.is_far())
    }

    async fn session(&self) -> Result<Arc<Session>, CommunicatorError> {
        let mut session = self.session.lock().await;
        if !session.is_alive() {
            session.close().await;
            let lost = |cause| CommunicatorError::Disconnected {
                peer: self.access.peer.clone(),
                cause: Some(Box::new(cause)),
            };
            *session = Arc::new(reconnect(&self.access).await.map_err(lost)?);
        }
        Ok(Arc::clone(&session))
    }
}

#[async_trait]
impl Communicator for Ssh {
    async fn exec(&self, command: &str) -> Result<Running, CommunicatorError> {
        let (session, channel) = self.channel().await?;
        exec::exec(&session, channel, command, self.access.options.ssh_pty).await
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

    async fn close(&self) {
        self.session.lock().await.close().await;
    }
}
