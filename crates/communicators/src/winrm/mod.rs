//! WinRM as a communicator: WS-Man shells over HTTP or TLS (MS-WSMV). Each command has a shell of its own, which is deleted when the
//! command has ended, so that nothing it left running outlives it; files go over through one PowerShell process per transfer.

pub(crate) mod client;
mod clixml;
pub(crate) mod connect;
mod download;
pub(crate) mod envelope;
mod exec;
mod http;
mod lines;
pub mod ntlm;
mod powershell;
pub mod response;
mod route;
mod seal;
mod shell;
mod transfer;
mod upload;
mod xml;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Running, Upload};
use bakelite_engine::events::Events;
use tokio::io::AsyncWrite;

use crate::tasks::Tasks;
use client::Client;
use exec::Input;

/// What the readers of answers say of bytes, whatever part of an answer they are.
pub(crate) fn read(bytes: &[u8], text: &str) -> Vec<String> {
    let login = ntlm::Login::new("DOMAIN\\user", "password");
    let moment = ntlm::Moment {
        nonce: [1; 8],
        time: 1,
        session: [7; 16],
    };
    let said = [
        response::shell_id(text).err().map(|error| error.to_string()),
        response::command_id(text).err().map(|error| error.to_string()),
        response::received(text).err().map(|error| error.to_string()),
        response::fault(text).map(|fault| format!("fault {}", fault.code)),
        seal::Seal::new(&[7; 16])
            .unwrap(bytes)
            .err()
            .map(|error| error.to_string()),
        ntlm::authenticate(bytes, &login, moment)
            .err()
            .map(|error| error.to_string()),
        Some(format!("{} bytes of complaints", clixml::plain(text).len().min(9))),
    ];
    said.into_iter().flatten().collect()
}

/// The names in lines of a transfer.
pub(crate) fn names(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| match lines::parse(line)? {
        lines::Line::Folder(name) | lines::Line::File(name) | lines::Line::LeftOut(name) => {
            Some(name.replace('\\', "/"))
        }
        lines::Line::Piece(_) | lines::Line::End(_) => None,
    });
    names.collect()
}

/// How long the end waits for shells to be deleted.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);

/// An instance that is reached by WinRM.
pub struct WinRm {
    client: Arc<Client>,
    /// What carries commands; each deletes its shell.
    tasks: Tasks,
    /// Was input refused? Then files go over in command lines.
    without_input: AtomicBool,
    /// Where the progress of transfers goes.
    events: Events,
}

impl WinRm {
    /// A communicator over a service that was seen to work.
    pub(crate) fn new(client: Client, events: Events) -> Self {
        Self {
            client: Arc::new(client),
            tasks: Tasks::default(),
            without_input: AtomicBool::new(false),
            events,
        }
    }

    /// Starts a command in a shell of its own.
    async fn start(&self, command: &str, input: Input) -> Result<Running, CommunicatorError> {
        exec::start(&self.client, &self.tasks, command, input).await
    }
}

#[async_trait]
impl Communicator for WinRm {
    async fn exec(&self, command: &str) -> Result<Running, CommunicatorError> {
        self.start(command, Input::Console).await
    }

    async fn upload(&self, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
        upload::file(self, file, destination).await
    }

    async fn upload_folder(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), CommunicatorError> {
        upload::folder(self, source, contents_only, destination).await
    }

    async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), CommunicatorError> {
        download::file(self, source, destination).await
    }

    async fn download_folder(&self, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
        download::folder(self, source, destination).await
    }

    async fn close(&self) {
        self.tasks.finish(CLOSE_LIMIT).await;
        self.client.close();
    }
}
