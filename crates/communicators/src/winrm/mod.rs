//! WinRM as a communicator: WS-Man shells over HTTP or TLS (MS-WSMV). Each command has a shell of its own, which is deleted when the
//! command has ended, so that nothing it left running outlives it; files are transferred through one PowerShell process each time.

mod client;
mod clixml;
mod config;
pub(crate) mod connect;
mod download;
mod envelope;
mod exec;
mod http;
mod lines;
mod ntlm;
mod powershell;
mod response;
mod route;
mod seal;
mod shell;
mod transfer;
mod upload;
mod xml;

use std::path::Path;

use async_trait::async_trait;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Running, Upload};
use tokio::io::AsyncWrite;

use exec::{Input, Service};
use transfer::Transfers;

pub(crate) use config::Config;

/// What the readers of answers make of bytes, whatever part of an answer they are.
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
        lines::Line::Directory(name) | lines::Line::File(name) | lines::Line::LeftOut(name) => {
            Some(name.replace('\\', "/"))
        }
        lines::Line::Piece(_) | lines::Line::End(_) => None,
    });
    names.collect()
}

/// An instance that is reached by WinRM.
struct WinRm(Transfers);

impl WinRm {
    fn service(&self) -> &Service {
        &self.0.service
    }
}

#[async_trait]
impl Communicator for WinRm {
    async fn exec(&self, command: &str) -> Result<Running, CommunicatorError> {
        self.service().start(command, Input::Console).await
    }

    async fn upload(&self, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
        upload::file(&self.0, file, destination).await
    }

    async fn upload_directory(
        &self,
        source: &Path,
        contents_only: bool,
        destination: &str,
    ) -> Result<(), CommunicatorError> {
        upload::directory(&self.0, source, contents_only, destination).await
    }

    async fn download(
        &self,
        source: &str,
        destination: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), CommunicatorError> {
        download::file(&self.0, source, destination).await
    }

    async fn download_directory(&self, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
        download::directory(&self.0, source, destination).await
    }

    async fn close(&self) {
        self.service().close().await;
    }
}
