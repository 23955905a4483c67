//! The contract of a communicator: how commands are run on an instance and files go over.

use std::borrow::Cow;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use crate::error::Explain;

/// A connection to an instance. Everything streams; nothing is buffered whole.
#[async_trait]
pub trait Communicator: Send + Sync {
    /// Starts a command, interpreted by the login shell of the other side.
    async fn exec(&self, command: &str) -> Result<Running, CommunicatorError>;

    /// Writes a file of the other side.
    async fn upload(&self, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError>;

    /// Copies a directory to the other side. A `source` that ends in `/` stands for its contents, any other for the directory itself.
    async fn upload_directory(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), CommunicatorError>;

    /// Reads a file of the other side.
    async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), CommunicatorError>;

    /// Copies a directory (or what a glob matches) from the other side into `destination`.
    async fn download_directory(&self, source: &str, destination: &Path) -> Result<(), CommunicatorError>;

    /// Waits until the connection that is in use has ended, as it does when the instance goes down; the next command makes a new one.
    /// Where no connection lasts longer than a command there is nothing to wait for.
    async fn disconnected(&self) {}

    /// Ends the connection in good order.
    async fn close(&self);
}

/// A file to be written.
pub struct Upload<'a> {
    /// Its content.
    pub content: &'a mut (dyn AsyncRead + Send + Unpin),
    /// Its length in bytes.
    pub size: u64,
    /// Permission bits of the file that is written.
    pub mode: u32,
}

/// A command that was started.
pub struct Running {
    /// What is written here is the command's standard input; dropping it ends the input.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its output as it comes; bounded, so a slow reader slows the command down. Ends when both outputs ended.
    pub output: mpsc::Receiver<Output>,
    /// How it ended. Dropped without an answer only when the communicator itself is gone: that is a disconnect.
    pub exit: oneshot::Receiver<Exit>,
}

impl Running {
    /// A command that went with the connection: nothing more is heard of it.
    pub fn lost() -> Self {
        let (_, output) = mpsc::channel(1);
        let (_, exit) = oneshot::channel();
        Self {
            stdin: None,
            output,
            exit,
        }
    }
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Of standard output.
    Stdout(Bytes),
    /// Of standard error.
    Stderr(Bytes),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status. A signal N counts as 128 + N.
    Status(u32),
    /// The connection went away before a status came.
    Disconnected,
}

/// The status that stands for a lost connection in `valid_exit_codes`.
pub const DISCONNECT_STATUS: u32 = 2_300_218;

impl Exit {
    /// As a number; a disconnect is [`DISCONNECT_STATUS`].
    pub fn code(self) -> u32 {
        match self {
            Exit::Status(status) => status,
            Exit::Disconnected => DISCONNECT_STATUS,
        }
    }
}

/// Why the other side could not be used. What a command itself did (its status) is never one of these.
#[derive(Debug, thiserror::Error)]
pub enum CommunicatorError {
    /// No connection, or it was lost: trying again may help.
    #[error("connection to {peer} is lost")]
    Disconnected {
        /// `user@host:port`
        peer: String,
        /// The cause, where one is known.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The connection was lost after a command was sent and before the other side answered: it may have run.
    #[error("connection to {peer} was lost before it answered whether the command was started")]
    Unanswered {
        /// `user@host:port`
        peer: String,
        /// The cause, where one is known.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The other side refused or failed an operation: trying again does not help by itself.
    #[error("{operation}: {message}")]
    Refused {
        /// What was being done: "upload `x` to `y`".
        operation: String,
        /// What the other side answered.
        message: String,
        /// What to do, where that is known.
        help: Option<String>,
    },
    /// A file of this machine could not be read or written.
    #[error("{operation}")]
    Local {
        /// What was being done.
        operation: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// This communicator cannot do that at all.
    #[error("communicator `{communicator}` cannot {operation}")]
    Unsupported {
        /// Its name: `none`.
        communicator: &'static str,
        /// What was asked.
        operation: &'static str,
    },
}

impl CommunicatorError {
    /// The same of a command that may as well run twice: whether it was started does not matter.
    #[must_use]
    pub fn of_repeatable_command(self) -> Self {
        match self {
            CommunicatorError::Unanswered { peer, cause } => CommunicatorError::Disconnected { peer, cause },
            error => error,
        }
    }
}

impl Explain for CommunicatorError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            CommunicatorError::Unanswered { .. } => {
                Some("it may have run, so it is not started again; `max_retries` of the provisioner runs it again as a whole".into())
            }
            CommunicatorError::Refused { help, .. } => help.as_deref().map(Cow::Borrowed),
            CommunicatorError::Disconnected { .. }
            | CommunicatorError::Local { .. }
            | CommunicatorError::Unsupported { .. } => None,
        }
    }
}
