//! SSH as a communicator: one connection, made again when it was lost; commands and files over its channels.

pub(crate) mod algorithms;
pub(crate) mod auth;
pub mod authorized_keys;
pub(crate) mod bastion;
pub(crate) mod connection;
pub mod console;
mod exec;
pub(crate) mod host_key;
pub(crate) mod key;
pub(crate) mod methods;
mod program;
pub(crate) mod proxy;
mod scp;
pub(crate) mod session;
mod sftp;
mod stream;
pub(crate) mod tunnel;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Running, Upload};
use tokio::io::AsyncWrite;
use tokio::task::JoinSet;

use connection::Connection;
use methods::{Job, Method, Transfers};
use tunnel::{Tunnel, TunnelError};

use crate::transfer::tree::Source;

pub(crate) use scp::{Record, parse_record};

/// An instance that is reached by SSH.
pub(crate) struct Ssh {
    connection: Arc<Connection>,
    transfers: Transfers,
    /// Commands run on a terminal.
    pty: bool,
    /// Ports of this machine that lead to the instance's network; they end with the value.
    _tunnels: JoinSet<()>,
}

impl Ssh {
    /// A communicator over a connection, with the tunnels of this side.
    pub(crate) async fn new(
        connection: Connection,
        tunnels: &[Tunnel],
        pty: bool,
        methods: &'static [Method],
    ) -> Result<Self, TunnelError> {
        let connection = Arc::new(connection);
        Ok(Self {
            _tunnels: connection.listen(tunnels).await?,
            transfers: Transfers::new(Arc::clone(&connection), methods),
            connection,
            pty,
        })
    }
}

#[async_trait]
impl Communicator for Ssh {
    async fn exec(&self, command: &str) -> Result<Running, CommunicatorError> {
        exec::exec(self.connection.link().await?, command, self.pty).await
    }

    async fn upload(&self, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
        let file = Upload {
            content: &mut *file.content,
            ..file
        };
        self.transfers.run(Job::Upload(file, destination)).await
    }

    async fn upload_directory(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), CommunicatorError> {
        let source = Source {
            path: source,
            contents_only,
        };
        self.transfers.run(Job::UploadDirectory(source, destination)).await
    }

    async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), CommunicatorError> {
        self.transfers.run(Job::Download(source, destination)).await
    }

    async fn download_directory(&self, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
        self.transfers.run(Job::DownloadDirectory(source, destination)).await
    }

    async fn disconnected(&self) {
        self.connection.gone().await;
    }

    async fn close(&self) {
        self.connection.close().await;
    }
}
