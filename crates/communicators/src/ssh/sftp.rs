//! Files by the other side's SFTP subsystem, with many requests in flight (communicators.md §5.4).

use std::sync::Arc;

use russh::Channel;
use russh::client::Msg;
use russh_sftp::client::error::Error as WireError;
use russh_sftp::client::fs::ReadDir;
use russh_sftp::client::{Config, SftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::exec::answered;
use super::listing::{Scales, Weighed, Weight};
use super::quote::without_shell;
use super::session::Session;
use super::transfer::TransferError;
use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::foreign::quoted;

/// Requests of one file in flight: 2 MiB, the window of OpenSSH's channels.
const REQUESTS_AT_ONCE: usize = 64;

/// A dead peer is noticed by the keep-alive questions, so the library's own limit need never be reached on a slow line.
const REQUEST_LIMIT_SECONDS: u64 = 24 * 60 * 60;

/// The subsystem on a channel of its own.
pub(crate) struct Sftp {
    pub(super) wire: SftpSession,
    session: Arc<Session>,
    scales: Arc<Scales>,
}

impl Sftp {
    /// Starts the subsystem.
    pub(crate) async fn start((session, mut channel): (Arc<Session>, Channel<Msg>)) -> Result<Self, TransferError> {
        let requested = channel.request_subsystem(true, "sftp").await;
        answered(&session, &mut channel, requested, "start SFTP")
            .await
            .map_err(|error| match error {
                CommunicatorError::Refused { .. } => TransferError::Missing("the server has no SFTP".into()),
                error => TransferError::Connection(error),
            })?;
        let config = Config {
            max_concurrent_reads: REQUESTS_AT_ONCE,
            max_concurrent_writes: REQUESTS_AT_ONCE,
            request_timeout_secs: REQUEST_LIMIT_SECONDS,
            ..Config::default()
        };
        // A subsystem whose program is missing ends before it answers.
        let scales = Arc::<Scales>::default();
        let stream = Weighed::new(channel.into_stream(), Arc::clone(&scales));
        let wire = SftpSession::new_with_config(stream, config).await;
        match wire {
            Ok(wire) => Ok(Self { wire, session, scales }),
            Err(_) if session.is_alive() => Err(TransferError::Missing("the server has no SFTP".into())),
            Err(_) => Err(TransferError::Connection(session.lost(None))),
        }
    }

    /// Writes a file of the other side.
    pub(crate) async fn upload(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        size: u64,
        mode: u32,
        destination: &str,
    ) -> Result<(), TransferError> {
        let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE;
        let opened = self
            .wire
            .open_with_flags_and_attributes(without_shell(destination), flags, permissions(mode))
            .await;
        let mut file = opened.map_err(|error| self.refused(destination, error))?;
        // A file that was there keeps its mode, and the umask takes from that of a new one.
        unless_denied(file.set_metadata(permissions(mode)).await).map_err(|error| self.refused(destination, error))?;
        let mut content = content.take(size);
        let mut left = size;
        let mut buffer = vec![0; 256 * 1024];
        while left > 0 {
            let length = content.read(&mut buffer).await.map_err(TransferError::Local)?;
            if length == 0 {
                let message = format!("content ends {left} bytes before its length of {size}");
                return Err(TransferError::Local(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    message,
                )));
            }
            left -= length as u64;
            file.write_all(buffer.get(..length).unwrap_or_default())
                .await
                .map_err(|error| self.broken(destination, &error))?;
        }
        file.close().await.map_err(|error| self.broken(destination, &error))
    }

    /// Reads a file of the other side.
    pub(crate) async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), TransferError> {
        let mut file = self
            .wire
            .open(without_shell(source))
            .await
            .map_err(|error| self.refused(source, error))?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let length = file
                .read(&mut buffer)
                .await
                .map_err(|error| self.broken(source, &error))?;
            if length == 0 {
                return destination.flush().await.map_err(TransferError::Local);
            }
            destination
                .write_all(buffer.get(..length).unwrap_or_default())
                .await
                .map_err(TransferError::Local)?;
        }
    }

    /// The names in a folder, with what their list weighs as long as it is kept.
    pub(super) async fn list(&self, folder: &str) -> Result<(ReadDir, Weight), TransferError> {
        let (listed, weight) = self.scales.weigh(self.wire.read_dir(folder)).await;
        if self.scales.is_too_much() {
            let folder = quoted(folder);
            return Err(TransferError::Refused(format!(
                "`{folder}` has more entries than can be listed (about 300,000): pack it there and download the archive"
            )));
        }
        listed
            .map(|entries| (entries, weight))
            .map_err(|error| self.refused(folder, error))
    }

    pub(super) fn refused(&self, path: &str, error: WireError) -> TransferError {
        let path = quoted(path);
        match error {
            WireError::Status(status) => TransferError::Refused(format!("{path}: {}", quoted(&status.error_message))),
            _ if !self.session.is_alive() => TransferError::Connection(self.session.lost(None)),
            error => TransferError::Refused(format!("{path}: {}", quoted(&error.to_string()))),
        }
    }

    /// An error in the middle of a file.
    fn broken(&self, path: &str, error: &std::io::Error) -> TransferError {
        if self.session.is_alive() {
            TransferError::Refused(format!("{}: {}", quoted(path), quoted(&error.to_string())))
        } else {
            TransferError::Connection(self.session.lost(None))
        }
    }
}

/// A file of somebody else can be written but not given a mode or a time.
pub(super) fn unless_denied(set: Result<(), WireError>) -> Result<(), WireError> {
    match set {
        Err(WireError::Status(status)) if status.status_code == StatusCode::PermissionDenied => Ok(()),
        set => set,
    }
}

pub(super) fn permissions(mode: u32) -> FileAttributes {
    FileAttributes {
        permissions: Some(mode),
        ..FileAttributes::empty()
    }
}
