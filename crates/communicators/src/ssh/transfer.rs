//! How files go over: by scp or SFTP, as the template says and as the other side can.

use std::path::Path;
use std::sync::atomic::Ordering;

use bakelite_engine::communicator::{CommunicatorError, Upload};
use tokio::io::AsyncWrite;

use super::scp_wire::ScpError;
use super::sftp::{Sftp, SftpError};
use super::{Ssh, scp};
use crate::options::TransferMethod;

/// Writes a file of the other side.
pub(crate) async fn upload(ssh: &Ssh, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
    let what = Operation(format!("upload to `{destination}`"));
    if destination.is_empty() || destination.ends_with('/') {
        let help = Some("name the file that is to be written".into());
        return Err(CommunicatorError::Refused {
            operation: what.0,
            message: "that is the name of a folder".into(),
            help,
        });
    }
    let Upload { content, size, mode } = file;
    if by_scp(ssh) {
        match scp::upload(ssh.channel().await?, content, size, mode, destination).await {
            // Nothing of the content is read before scp has answered.
            Err(ScpError::Missing(why)) => remember(ssh, &why),
            done => return done.map_err(|error| what.scp(error)),
        }
    }
    let sftp = open_sftp(ssh, &what).await?;
    sftp.upload(content, size, mode, destination)
        .await
        .map_err(|error| what.sftp(error))
}

/// Copies a folder to the other side.
pub(crate) async fn upload_folder(
    ssh: &Ssh,
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(), CommunicatorError> {
    let what = Operation(format!("upload `{}` to `{destination}`", source.display()));
    if by_scp(ssh) {
        match scp::upload_folder(ssh.channel().await?, source, contents_only, destination).await {
            Err(ScpError::Missing(why)) => remember(ssh, &why),
            done => return done.map_err(|error| what.scp(error)),
        }
    }
    let sftp = open_sftp(ssh, &what).await?;
    sftp.upload_folder(source, contents_only, destination)
        .await
        .map_err(|error| what.sftp(error))
}

/// Reads a file of the other side.
pub(crate) async fn download(
    ssh: &Ssh,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), CommunicatorError> {
    let what = Operation(format!("download `{source}`"));
    if by_scp(ssh) {
        match scp::download(ssh.channel().await?, source, destination).await {
            Err(ScpError::Missing(why)) => remember(ssh, &why),
            done => return done.map_err(|error| what.scp(error)),
        }
    }
    let sftp = open_sftp(ssh, &what).await?;
    sftp.download(source, destination)
        .await
        .map_err(|error| what.sftp(error))
}

/// Copies a folder, or what a pattern matches, from the other side.
pub(crate) async fn download_folder(ssh: &Ssh, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
    let what = Operation(format!("download `{source}`"));
    if by_scp(ssh) {
        match scp::download_folder(ssh.channel().await?, source, destination).await {
            Err(ScpError::Missing(why)) => remember(ssh, &why),
            done => return done.map_err(|error| what.scp(error)),
        }
    }
    let sftp = open_sftp(ssh, &what).await?;
    sftp.download_folder(source, destination)
        .await
        .map_err(|error| what.sftp(error))
}

fn by_scp(ssh: &Ssh) -> bool {
    ssh.access.options.transfer_method() == TransferMethod::Scp && !ssh.without_scp.load(Ordering::Relaxed)
}

fn remember(ssh: &Ssh, why: &str) {
    tracing::info!(why, "no scp on the other side, using SFTP");
    ssh.without_scp.store(true, Ordering::Relaxed);
}

async fn open_sftp(ssh: &Ssh, what: &Operation) -> Result<Sftp, CommunicatorError> {
    let started = Sftp::start(ssh.channel().await?).await;
    started.map_err(|error| match error {
        SftpError::Missing if ssh.without_scp.load(Ordering::Relaxed) => what.refused(
            "the server has neither scp nor SFTP".into(),
            Some("install one of them in the source image"),
        ),
        SftpError::Missing => what.refused(error.to_string(), Some("set `ssh_file_transfer_method = \"scp\"`")),
        error => what.sftp(error),
    })
}

/// What is being done, for errors.
struct Operation(String);

impl Operation {
    fn scp(&self, error: ScpError) -> CommunicatorError {
        match error {
            ScpError::Missing(_) => self.refused(error.to_string(), None),
            ScpError::Refused(message) => self.complaint(message),
            ScpError::Local(cause) => CommunicatorError::Local {
                operation: self.0.clone(),
                cause,
            },
            ScpError::Connection(error) => error,
        }
    }

    fn sftp(&self, error: SftpError) -> CommunicatorError {
        match error {
            SftpError::Missing => self.refused(error.to_string(), None),
            SftpError::Refused(message) => self.complaint(message),
            SftpError::Local(cause) => CommunicatorError::Local {
                operation: self.0.clone(),
                cause,
            },
            SftpError::Connection(error) => error,
        }
    }

    /// A complaint of the other side, with what helps against the usual ones.
    fn complaint(&self, message: String) -> CommunicatorError {
        let help = match message.as_str() {
            text if text.contains("Is a directory") || text.ends_with("Failure") => {
                Some("if the destination is a folder, end it with `/` to put the file into it")
            }
            text if text.to_lowercase().contains("permission denied") => Some(
                "the user may not write there: upload to `/tmp` and move the file with `sudo` in a shell provisioner",
            ),
            text if text.contains("No such file") => {
                Some("the folder must exist: make it in a shell provisioner before")
            }
            _ => None,
        };
        self.refused(message, help)
    }

    fn refused(&self, message: String, help: Option<&str>) -> CommunicatorError {
        CommunicatorError::Refused {
            operation: self.0.clone(),
            message,
            help: help.map(str::to_owned),
        }
    }
}
