//! Files from the instance: one PowerShell process prints them in lines. Its status and its complaints count, and every file is
//! checked against its digest.

use std::path::{Path, PathBuf};

use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::transfer::Transfer;
use bakelite_engine::untrusted::quoted;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::lines::{self, Line, Sum};
use super::powershell;
use super::transfer::{Process, Transfers, advice};
use crate::transfer::TransferError;
use crate::transfer::destination::{Beside, DestinationError, place};

/// Windows has no modes; the umask takes from these.
const FILE_MODE: u32 = 0o666;
const DIRECTORY_MODE: u32 = 0o777;

/// Reads a file of the other side.
pub(crate) async fn file(
    winrm: &Transfers,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), CommunicatorError> {
    let received = async {
        let mut process = start(winrm, source, false).await?;
        let received = one_file(&mut process, destination).await;
        ended(process, received).await
    };
    received
        .await
        .map_err(|error| error.of(format!("download `{source}`"), advice))
}

/// Copies a directory, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn directory(winrm: &Transfers, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
    let received = async {
        let destination = Beside::open(destination).await?;
        let progress = Transfer::begin(&winrm.events, source, None);
        let mut process = start(winrm, source, true).await?;
        let received = tree(&mut process, &destination, &progress).await;
        ended(process, received).await
    };
    received
        .await
        .map_err(|error| error.of(format!("download `{source}`"), advice))
}

async fn start(winrm: &Transfers, source: &str, directory: bool) -> Result<Process, TransferError> {
    // It reads nothing: that its input is refused makes no difference.
    let (refusal, _) = oneshot::channel();
    winrm.start(&powershell::give(source, directory), refusal).await
}

/// What went wrong at the other side explains what is wrong here.
async fn ended(process: Process, received: Result<(), TransferError>) -> Result<(), TransferError> {
    match received {
        Err(TransferError::Refused { .. }) | Ok(()) => {
            process.end().await?;
            received
        }
        failed => failed,
    }
}

async fn one_file(
    process: &mut Process,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), TransferError> {
    match next(process).await? {
        Some(Line::File(_)) => content(process, destination, &mut |_| ()).await,
        _ => Err(strange("no file")),
    }
}

async fn tree(process: &mut Process, destination: &Beside, progress: &Transfer<'_>) -> Result<(), TransferError> {
    while let Some(line) = next(process).await? {
        match line {
            Line::Directory(name) => destination.directory(place_of(&name)?, DIRECTORY_MODE, None).await?,
            Line::File(name) => {
                let file = destination.file(place_of(&name)?, FILE_MODE).await?;
                let mut stream = file.stream().map_err(TransferError::Local)?;
                content(process, &mut stream, &mut |count| progress.add(count)).await?;
                file.complete(None).map_err(TransferError::Local)?;
            }
            Line::LeftOut(name) => {
                tracing::warn!(
                    name = quoted(&name),
                    "a link to a directory is left out of the download"
                );
            }
            Line::Piece(_) | Line::End(_) => return Err(strange("a piece of no file")),
        }
    }
    Ok(destination.finish().await?)
}

/// Where a name of the other side belongs, which has separators of either kind.
fn place_of(name: &str) -> Result<PathBuf, DestinationError> {
    place(name.replace('\\', "/").as_bytes())
}

/// The content of a file up to its end.
async fn content(
    process: &mut Process,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
    received: &mut (dyn FnMut(u64) + Send),
) -> Result<(), TransferError> {
    let mut sum = Sum::default();
    loop {
        match next(process).await? {
            Some(Line::Piece(bytes)) => {
                sum.add(&bytes);
                destination.write_all(&bytes).await.map_err(TransferError::Local)?;
                received(bytes.len() as u64);
            }
            Some(Line::End(end)) if end == sum.end() => {
                return destination.flush().await.map_err(TransferError::Local);
            }
            Some(Line::End(_)) => return Err(strange("a file that is not what was read there")),
            _ => return Err(strange("a file without an end")),
        }
    }
}

async fn next(process: &mut Process) -> Result<Option<Line>, TransferError> {
    match process.line().await {
        None => Ok(None),
        Some(line) => lines::parse(&line)
            .map(Some)
            .ok_or_else(|| strange("a line that is none of a transfer")),
    }
}

fn strange(what: &str) -> TransferError {
    TransferError::refused(format!("PowerShell sends {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_other_side_stay_below_the_destination() {
        let place = |name| place_of(name).ok();
        assert_eq!(place("a/b c"), Some("a/b c".into()));
        assert_eq!(place("a\\b"), Some("a/b".into()));
        for name in ["", "..", "a/../../b", "/etc/passwd", "..\\x", "\\x", "a\0b"] {
            assert_eq!(place(name), None, "{name}");
        }
    }
}
