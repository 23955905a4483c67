//! What uploads and downloads share: a PowerShell process that is talked to in lines, and what is said of its failures.

use bakelite_engine::communicator::{CommunicatorError, Exit, Output, Running};
use bakelite_engine::foreign::visible;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::clixml;
use crate::destination::DestinationError;

/// Longest line of a script of ours: a piece of 48 KiB in base64, and a path.
const LONGEST_LINE: usize = 256 * 1024;

/// As much of its complaints as is kept, as XML, and then shown.
const LONGEST_COMPLAINT: usize = 256 * 1024;
const LONGEST_SHOWN: usize = 4 * 1024;

/// Why a transfer has failed.
pub(crate) enum TransferError {
    /// The other side says so.
    Refused(String),
    /// A file of this machine.
    Local(std::io::Error),
    /// The connection.
    Connection(CommunicatorError),
}

impl From<DestinationError> for TransferError {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Refused(why) => TransferError::Refused(why),
            DestinationError::Local(error) => TransferError::Local(error),
        }
    }
}

impl TransferError {
    /// The same for the engine, with what was being done.
    pub(crate) fn of(self, operation: String) -> CommunicatorError {
        match self {
            TransferError::Local(cause) => CommunicatorError::Local { operation, cause },
            TransferError::Connection(error) => error,
            TransferError::Refused(message) => CommunicatorError::Refused {
                help: help(&message),
                operation,
                message,
            },
        }
    }
}

/// What helps against the usual complaints; those of Windows itself are known in English only.
fn help(message: &str) -> Option<String> {
    let help = match message {
        text if text.ends_with("is a directory") => {
            "if the destination is a folder, end it with `/` to put the file into it"
        }
        text if text.contains("is denied") => {
            "the user may not write there, or the file is in use: upload to `C:/Windows/Temp` and move it with an elevated provisioner"
        }
        text if text.contains("not enough space") => {
            "the disk of the instance is full: give it a bigger volume, or remove what is in the way"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

/// A process that runs one of our scripts.
pub(crate) struct Process {
    peer: String,
    running: Running,
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    stdout: Vec<u8>,
    /// Up to here of `stdout` there is no end of a line.
    searched: usize,
    stderr: Vec<u8>,
}

impl Process {
    /// Of a command that was started.
    pub(crate) fn new(peer: &str, mut running: Running) -> Self {
        let stdin = running.stdin.take();
        Self {
            peer: peer.to_owned(),
            running,
            stdin,
            stdout: Vec::new(),
            searched: 0,
            stderr: Vec::new(),
        }
    }

    /// Writes a line to it. Whether it has read the line is only known at the end.
    pub(crate) async fn write(&mut self, line: &str) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\r\n").await
    }

    /// It gets no more input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line that it prints; nothing when that was all.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            let end = self.stdout[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| self.searched + end) {
                self.searched = 0;
                let line: Vec<u8> = self.stdout.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.stdout.len() > LONGEST_LINE {
                // None of ours: whoever reads it will say so.
                self.searched = 0;
                return Some(String::from_utf8_lossy(&std::mem::take(&mut self.stdout)).into_owned());
            }
            self.searched = self.stdout.len();
            match self.running.output.recv().await {
                Some(Output::Stdout(piece)) => self.stdout.extend_from_slice(&piece),
                Some(Output::Stderr(piece)) => {
                    let room = LONGEST_COMPLAINT.saturating_sub(self.stderr.len()).min(piece.len());
                    self.stderr.extend_from_slice(&piece[..room]);
                }
                None => return None,
            }
        }
    }

    /// Waits for its end: an error unless that was a good one.
    pub(crate) async fn end(mut self) -> Result<(), TransferError> {
        self.stdin = None;
        while self.line().await.is_some() {}
        let status = match self.running.exit.await {
            Ok(Exit::Status(status)) => status,
            Ok(Exit::Disconnected) | Err(_) => {
                let cause = (!self.stderr.is_empty()).then(|| complaint(&self.stderr, 0).into());
                return Err(TransferError::Connection(CommunicatorError::Disconnected {
                    peer: self.peer,
                    cause,
                }));
            }
        };
        if status == 0 {
            Ok(())
        } else {
            Err(TransferError::Refused(complaint(&self.stderr, status)))
        }
    }
}

fn complaint(stderr: &[u8], status: u32) -> String {
    let text = clixml::plain(&String::from_utf8_lossy(stderr));
    if text.is_empty() {
        format!("PowerShell ended with status {status}")
    } else {
        let cut = text.floor_char_boundary(LONGEST_SHOWN);
        visible(&text[..cut]).into_owned()
    }
}
