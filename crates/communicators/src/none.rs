//! The communicator `none`: for builds without an instance. Commands succeed without doing anything; files cannot go anywhere.

use std::path::Path;

use async_trait::async_trait;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit, Running, Upload};
use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot};

/// Nobody to talk to.
pub struct NoCommunicator;

impl NoCommunicator {
    fn cannot(operation: &'static str) -> CommunicatorError {
        CommunicatorError::Unsupported {
            communicator: "none",
            operation,
        }
    }
}

#[async_trait]
impl Communicator for NoCommunicator {
    async fn exec(&self, _command: &str) -> Result<Running, CommunicatorError> {
        let (_, output) = mpsc::channel(1);
        let (status, exit) = oneshot::channel();
        // The receiver is right here.
        let _ = status.send(Exit::Status(0));
        Ok(Running {
            stdin: Some(Box::new(tokio::io::sink())),
            output,
            exit,
        })
    }

    async fn upload(&self, _file: Upload<'_>, _destination: &str) -> Result<(), CommunicatorError> {
        Err(Self::cannot("upload"))
    }

    async fn upload_directory(
        &self,
        _source: &Path,
        _contents_only: bool,
        _destination: &str,
    ) -> Result<(), CommunicatorError> {
        Err(Self::cannot("upload"))
    }

    async fn download(
        &self,
        _source: &str,
        _destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), CommunicatorError> {
        Err(Self::cannot("download"))
    }

    async fn download_directory(&self, _source: &str, _destination: &Path) -> Result<(), CommunicatorError> {
        Err(Self::cannot("download"))
    }

    async fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_succeed_and_files_go_nowhere() {
        let running = NoCommunicator.exec("exit 7").await.unwrap();
        assert_eq!(running.exit.await, Ok(Exit::Status(0)));
        let refused = NoCommunicator
            .upload(
                Upload {
                    content: &mut &b"x"[..],
                    size: 1,
                    mode: 0o644,
                },
                "/x",
            )
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), "communicator `none` cannot upload");
    }
}
