//! Files to the instance: lines to the input of one PowerShell process, however many files there are. Where the service takes no
//! input, the lines are sent in command lines of `cmd`, which collect them in a file: slow, but it is what every service can do.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bakelite_engine::communicator::{CommunicatorError, Upload};
use bakelite_engine::transfer::Transfer;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::exec::Input;
use super::transfer::{Process, Transfers, advice};
use super::{lines, powershell};
use crate::transfer::TransferError;
use crate::transfer::tree::{EntryKind, Links, walk_beside};

/// Bytes of a file in a line of input.
const PIECE: usize = 48 * 1024;

/// The longest line that goes into a command line: what `cmd` takes, without the words around it.
const LONGEST_LINE: usize = powershell::LONGEST_COMMAND - 300;

/// How long PowerShell may take to confirm its first line. The first start after a boot is slow.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Writes a file of the other side.
pub(crate) async fn file(winrm: &Transfers, file: Upload<'_>, destination: &str) -> Result<(), CommunicatorError> {
    let sent = async {
        let mut sink = Sink::open(winrm).await?;
        let sent = sink.file(destination, file.content, &mut |_| ()).await;
        sink.end(sent).await
    };
    sent.await
        .map_err(|error| error.of(format!("upload to `{destination}`"), advice))
}

/// Copies a directory to the other side; its own name is kept unless only its contents are copied.
pub(crate) async fn directory(
    winrm: &Transfers,
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(), CommunicatorError> {
    let sent = async {
        let mut sink = Sink::open(winrm).await?;
        let sent = tree(winrm, &mut sink, source, contents_only, destination).await;
        sink.end(sent).await
    };
    sent.await
        .map_err(|error| error.of(format!("upload `{}` to `{destination}`", source.display()), advice))
}

async fn tree(
    winrm: &Transfers,
    sink: &mut Sink<'_>,
    source: &Path,
    contents_only: bool,
    destination: &str,
) -> Result<(), TransferError> {
    let entries = walk_beside(source, Links::Follow).await.map_err(TransferError::Local)?;
    let mut root = destination.trim_end_matches(['/', '\\']).to_owned();
    if !contents_only {
        let path = tokio::fs::canonicalize(source).await.map_err(TransferError::Local)?;
        if let Some(name) = path.file_name() {
            root = format!("{root}\\{}", name.to_string_lossy());
        }
    }
    let total = entries
        .iter()
        .map(|entry| {
            if let EntryKind::File(size) = entry.kind {
                size
            } else {
                0
            }
        })
        .sum();
    let progress = Transfer::begin(&winrm.events, &source.display().to_string(), Some(total));
    sink.line(&lines::directory(&root)).await?;
    for entry in entries {
        let path = format!("{root}\\{}", entry.relative.to_string_lossy().replace('/', "\\"));
        match entry.kind {
            EntryKind::Directory => sink.line(&lines::directory(&path)).await?,
            // What the Finder of macOS leaves everywhere.
            EntryKind::File(_) if entry.relative.file_name().is_some_and(|name| name == ".DS_Store") => {}
            EntryKind::File(_) => {
                let mut content = tokio::fs::File::open(&entry.path).await.map_err(TransferError::Local)?;
                sink.file(&path, &mut content, &mut |count| progress.add(count)).await?;
            }
            // All links were followed.
            EntryKind::Link(_) => {}
        }
    }
    Ok(())
}

/// Where lines go.
enum Way<'a> {
    /// Into the input of a process that takes them.
    Input(Process),
    /// Into a file of the other side, by a command for each.
    File { winrm: &'a Transfers, path: String },
}

struct Sink<'a> {
    way: Way<'a>,
    /// Files that were sent.
    files: u32,
}

impl<'a> Sink<'a> {
    /// The quickest way that the service has.
    async fn open(winrm: &'a Transfers) -> Result<Sink<'a>, TransferError> {
        if !winrm.without_input.load(Ordering::Relaxed) {
            match through_input(winrm).await {
                Ok(process) => {
                    return Ok(Sink {
                        way: Way::Input(process),
                        files: 0,
                    });
                }
                Err(TransferError::Missing(why)) => {
                    tracing::warn!(
                        peer = winrm.service.client.peer,
                        why,
                        "WinRM accepts no input: transferring files in command lines"
                    );
                    winrm.without_input.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        let path = format!("%TEMP%\\bakelite-{}.tmp", uuid::Uuid::new_v4());
        Ok(Sink {
            way: Way::File { winrm, path },
            files: 0,
        })
    }

    fn piece(&self) -> usize {
        match self.way {
            Way::Input(_) => PIECE,
            Way::File { .. } => LONGEST_LINE / 4 * 3 - 3,
        }
    }

    async fn line(&mut self, line: &str) -> Result<(), TransferError> {
        match &mut self.way {
            // Why a process is gone is read at the end.
            Way::Input(process) => process
                .write(line)
                .await
                .map_err(|_| TransferError::refused("PowerShell has ended")),
            // The redirection comes first: a digit before it would be the number of a stream.
            Way::File { winrm, path } => run(winrm, &format!(">>\"{path}\" echo {line}")).await,
        }
    }

    async fn file(
        &mut self,
        path: &str,
        content: &mut (dyn AsyncRead + Send + Unpin),
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), TransferError> {
        self.line(&lines::file(path)).await?;
        let mut sum = lines::Sum::default();
        let mut buffer = vec![0; self.piece()];
        loop {
            let count = fill(content, &mut buffer).await.map_err(TransferError::Local)?;
            if count == 0 {
                break;
            }
            sum.add(&buffer[..count]);
            self.line(&lines::piece(&buffer[..count])).await?;
            sent(count as u64);
        }
        self.files += 1;
        self.line(&format!("e {}", sum.end())).await
    }

    /// Waits until everything is written there. What went wrong at the other side explains what went wrong here.
    async fn end(self, sent: Result<(), TransferError>) -> Result<(), TransferError> {
        let is_over = matches!(sent, Err(TransferError::Local(_) | TransferError::Connection(_)));
        let mut process = match self.way {
            Way::Input(process) if is_over => {
                // It removes the half of a file that it has.
                let _ = process.end().await;
                return sent;
            }
            Way::Input(process) => process,
            Way::File { winrm, path } => {
                let taken = match sent {
                    Ok(()) => {
                        let (refusal, _) = oneshot::channel();
                        let process = winrm.start(&powershell::take_from(&path), refusal).await?;
                        taken(process, self.files).await
                    }
                    failed => failed,
                };
                let removed = run(winrm, &format!("del /q \"{path}\"")).await;
                return taken.and(removed);
            }
        };
        process.end_input();
        let taken = taken(process, self.files).await;
        match sent {
            Err(_) if taken.is_ok() => Err(TransferError::refused("PowerShell ended before everything was sent")),
            _ => taken,
        }
    }
}

/// Waits for the last line of the process: have all files arrived?
async fn taken(mut process: Process, files: u32) -> Result<(), TransferError> {
    let mut last = String::new();
    while let Some(line) = process.line().await {
        last = line;
    }
    process.end().await?;
    if last == format!("done {files}") {
        return Ok(());
    }
    Err(TransferError::refused(format!(
        "{files} files were sent, but PowerShell printed `{last}`"
    )))
}

/// A process that has taken a first line from its input; [`TransferError::Missing`] is why the service takes none.
async fn through_input(winrm: &Transfers) -> Result<Process, TransferError> {
    let missing = |why: String| Err(TransferError::Missing(why));
    let (refusal, mut refused) = oneshot::channel();
    let mut process = winrm.start(&powershell::take(), refusal).await?;
    if process.write("h").await.is_err() {
        return missing("the input is closed".into());
    }
    let ready = tokio::select! {
        biased;
        Ok(error) = &mut refused => return missing(bakelite_engine::chain_of(&error)),
        line = timeout(START_LIMIT, process.line()) => line,
    };
    match ready {
        Ok(Some(line)) if line == "ready" => Ok(process),
        Ok(Some(line)) => missing(format!("PowerShell printed `{line}`")),
        Ok(None) => {
            process.end().await?;
            missing("PowerShell has read no input".into())
        }
        Err(_) => missing("PowerShell waits for input that was sent".into()),
    }
}

/// Runs a command that prints nothing.
async fn run(winrm: &Transfers, command: &str) -> Result<(), TransferError> {
    winrm.process(command, Input::Console).await?.end().await
}

/// Reads until the buffer is full or the content ends.
async fn fill(content: &mut (dyn AsyncRead + Send + Unpin), buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]).await? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
