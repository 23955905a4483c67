//! What uploads and downloads share: a PowerShell process that exchanges lines, and its failures.

use std::sync::atomic::AtomicBool;

use bakelite_engine::communicator::{CommunicatorError, Exit, Output, Running};
use bakelite_engine::events::Events;
use bakelite_engine::untrusted::visible;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::exec::{Input, Service};
use super::http::WinRmError;
use super::{clixml, powershell};
use crate::transfer::{Reason, TransferError};

/// Longest line of a script of ours: a piece of 48 KiB in base64, and a path.
const LONGEST_LINE: usize = 256 * 1024;

/// As much of its complaints as is kept, as XML, and then shown.
const LONGEST_COMPLAINT: usize = 256 * 1024;
const LONGEST_SHOWN: usize = 4 * 1024;

/// Transfers by one service.
pub(crate) struct Transfers {
    pub(crate) service: Service,
    /// Input was refused: files are transferred in command lines.
    pub(crate) without_input: AtomicBool,
    /// Where the progress of transfers is reported.
    pub(crate) events: Events,
}

impl Transfers {
    pub(crate) fn new(service: Service, events: Events) -> Self {
        Self {
            service,
            without_input: AtomicBool::new(false),
            events,
        }
    }

    /// Starts one of our scripts. `refusal` receives the reason when the service takes no input.
    pub(crate) async fn start(
        &self,
        script: &str,
        refusal: oneshot::Sender<WinRmError>,
    ) -> Result<Process, TransferError> {
        self.process(&powershell::command(script), Input::Pipe(refusal)).await
    }

    /// Starts a command.
    pub(crate) async fn process(&self, command: &str, input: Input) -> Result<Process, TransferError> {
        let running = self.service.start(command, input).await;
        let running = running.map_err(|error| TransferError::Connection(error.of_repeatable_command()))?;
        Ok(Process::new(&self.service.client.peer, running))
    }
}

/// The complaint of one of our scripts; those of Windows itself are known in English only.
fn complained(message: String) -> TransferError {
    let reason = match message.as_str() {
        text if text.ends_with("is a directory") => Some(Reason::IsDirectory),
        text if text.contains("is denied") => Some(Reason::Denied),
        text if text.contains("not enough space") => Some(Reason::NoSpace),
        _ => None,
    };
    TransferError::Refused { message, reason }
}

/// What helps against the usual refusals.
pub(crate) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::IsDirectory => "if the destination is a directory, end it with `/` to put the file into it",
        Reason::Denied => {
            "the user may not write there, or the file is in use: upload to `C:/Windows/Temp` and move it with an elevated provisioner"
        }
        Reason::NotFound => "see that the path exists on the instance",
        Reason::NoSpace => "the disk of the instance is full: give it a bigger volume, or remove what is in the way",
    }
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
    fn new(peer: &str, mut running: Running) -> Self {
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
                // None of ours: whoever reads it refuses it.
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
            Err(complained(complaint(&self.stderr, status)))
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
