//! Files from the instance: one PowerShell process prints them in lines. Its status and its complaints count, and every file is
//! checked against its digest.

use std::path::{Component, Path, PathBuf};

use bakelite_engine::communicator::CommunicatorError;
use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::exec::Input;
use super::lines::{self, Line, Sum};
use super::transfer::{Process, TransferError};
use super::{WinRm, powershell};
use bakelite_engine::transfer::Transfer;

/// Reads a file of the other side.
pub(crate) async fn file(
    winrm: &WinRm,
    source: &str,
    destination: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), CommunicatorError> {
    let received = async {
        let mut process = start(winrm, source, false).await?;
        let received = one_file(&mut process, destination).await;
        ended(process, received).await
    };
    received.await.map_err(|error| error.of(format!("download `{source}`")))
}

/// Copies a folder, or what a pattern matches, from the other side into `destination`.
pub(crate) async fn folder(winrm: &WinRm, source: &str, destination: &Path) -> Result<(), CommunicatorError> {
    let received = async {
        tokio::fs::create_dir_all(destination)
            .await
            .map_err(TransferError::Local)?;
        let progress = Transfer::begin(&winrm.events, source, None);
        let mut process = start(winrm, source, true).await?;
        let received = tree(&mut process, destination, &progress).await;
        ended(process, received).await
    };
    received.await.map_err(|error| error.of(format!("download `{source}`")))
}

async fn start(winrm: &WinRm, source: &str, folder: bool) -> Result<Process, TransferError> {
    // It reads nothing: that its input is refused makes no difference.
    let (refusal, _) = oneshot::channel();
    let command = powershell::command(&powershell::give(source, folder));
    let running = winrm
        .start(&command, Input::Pipe(refusal))
        .await
        .map_err(TransferError::Connection)?;
    Ok(Process::new(&winrm.client.peer, running))
}

/// What went wrong at the other side explains what is wrong here.
async fn ended(process: Process, received: Result<(), TransferError>) -> Result<(), TransferError> {
    match received {
        Err(TransferError::Refused(_)) | Ok(()) => {
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

async fn tree(process: &mut Process, destination: &Path, progress: &Transfer<'_>) -> Result<(), TransferError> {
    while let Some(line) = next(process).await? {
        match line {
            Line::Folder(name) => {
                let path = inside(destination, &name)?;
                tokio::fs::create_dir_all(path).await.map_err(TransferError::Local)?;
            }
            Line::File(name) => {
                let mut file = File::create(inside(destination, &name)?)
                    .await
                    .map_err(TransferError::Local)?;
                content(process, &mut file, &mut |count| progress.add(count)).await?;
            }
            Line::LeftOut(name) => tracing::warn!(name, "a link to a folder is left out of the download"),
            Line::Piece(_) | Line::End(_) => return Err(strange("a piece of no file")),
        }
    }
    Ok(())
}

/// Where a name of the other side belongs: below the destination, whatever it says.
fn inside(destination: &Path, name: &str) -> Result<PathBuf, TransferError> {
    let name = name.replace('\\', "/");
    let is_plain = |part| matches!(part, Component::Normal(_));
    if name.is_empty() || !Path::new(&name).components().all(is_plain) {
        return Err(strange("a name that leads out of the folder"));
    }
    Ok(destination.join(name))
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
    TransferError::Refused(format!("PowerShell sends {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_other_side_stay_below_the_destination() {
        let inside = |name| inside(Path::new("/d"), name).ok();
        assert_eq!(inside("a/b c"), Some("/d/a/b c".into()));
        assert_eq!(inside("a\\b"), Some("/d/a/b".into()));
        for name in ["", "..", "a/../../b", "/etc/passwd", "..\\x", "./x"] {
            assert_eq!(inside(name), None, "{name}");
        }
    }
}
