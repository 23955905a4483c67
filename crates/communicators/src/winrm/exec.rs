//! Commands by WinRM: output is asked for again and again, input is sent as it comes, and the shell is deleted however it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bakelite_engine::communicator::{CommunicatorError, Exit, Output, Running};
use bytes::{Buf as _, BytesMut};
use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::http::WinRmError;
use super::shell::{Command, Shell};
use crate::tasks::Tasks;

/// Pieces of output that wait for their reader before the command has to.
const OUTPUT_QUEUE: usize = 16;

/// Bytes of input in a request: what a service since 2012 takes (500 KiB as an envelope), and what every one takes.
const MUCH_INPUT: usize = 360_000;
const LITTLE_INPUT: usize = 100_000;

/// How long the last input of a command that has ended may take.
const LAST_SEND_LIMIT: Duration = Duration::from_secs(2);

/// What kind of input a command has.
pub(crate) enum Input {
    /// That of a console, as commands of a template have it.
    Console,
    /// A pipe. When the service takes no input, the reason is sent here, and the command is ended.
    Pipe(oneshot::Sender<WinRmError>),
}

/// A command that is to be run, and the ends of its lines.
struct Job {
    command: String,
    input: Input,
    stdin: DuplexStream,
    output: mpsc::Sender<Output>,
    exit: oneshot::Sender<Exit>,
    started: oneshot::Sender<Result<(), StartError>>,
}

/// Why a command has not started, as far as is known.
enum StartError {
    /// It was not asked for.
    Shell(WinRmError),
    /// Its own request failed.
    Command(WinRmError),
}

/// How long the end waits for shells to be deleted.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);

/// A service that commands run on.
pub(crate) struct Service {
    pub(crate) client: Arc<Client>,
    /// What carries commands; each deletes its shell.
    tasks: Tasks,
}

impl Service {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client: Arc::new(client),
            tasks: Tasks::default(),
        }
    }

    /// Starts a command in a shell of its own.
    pub(crate) async fn start(&self, command: &str, input: Input) -> Result<Running, CommunicatorError> {
        let (near, stdin) = duplex(MUCH_INPUT);
        let (output_sender, output) = mpsc::channel(OUTPUT_QUEUE);
        let (exit_sender, exit) = oneshot::channel();
        let (started_sender, started) = oneshot::channel();
        let job = Job {
            command: command.to_owned(),
            input,
            stdin,
            output: output_sender,
            exit: exit_sender,
            started: started_sender,
        };
        self.tasks.keep(run(Arc::clone(&self.client), job));
        let peer = self.client.peer.clone();
        match started.await {
            Ok(Ok(())) => Ok(Running {
                stdin: Some(Box::new(near)),
                output,
                exit,
            }),
            Ok(Err(StartError::Command(error))) if error.is_unanswered() => Err(CommunicatorError::Unanswered {
                peer,
                cause: Some(Box::new(error)),
            }),
            Ok(Err(StartError::Shell(error) | StartError::Command(error))) if error.is_lost() => {
                Err(CommunicatorError::Disconnected {
                    peer,
                    cause: Some(Box::new(error)),
                })
            }
            Ok(Err(StartError::Shell(error) | StartError::Command(error))) => Err(CommunicatorError::Refused {
                operation: "start a command".into(),
                message: bakelite_engine::chain_of(&error),
                help: None,
            }),
            Err(_) => Err(CommunicatorError::Disconnected { peer, cause: None }),
        }
    }

    /// Waits for the shells to be deleted, and closes the connections.
    pub(crate) async fn close(&self) {
        self.tasks.finish(CLOSE_LIMIT).await;
        self.client.close();
    }
}

/// The whole life of a command. Never dropped half-way by whoever started it: so the shell is always deleted.
async fn run(client: Arc<Client>, job: Job) {
    let shell = match Shell::open(&client).await {
        Ok(shell) => shell,
        Err(error) => return answer(job.started, Err(StartError::Shell(error))),
    };
    let is_console = matches!(job.input, Input::Console);
    let command = match shell.start(&job.command, is_console).await {
        Ok(command) => command,
        Err(error) => {
            answer(job.started, Err(StartError::Command(error)));
            return shell.delete().await;
        }
    };
    answer(job.started, Ok(()));
    let mut exit = job.exit;
    let ended = pump(&command, job.input, job.stdin, &job.output, &mut exit).await;
    drop(job.output);
    if ended.is_none() {
        // Whoever started it has given up: the command is ended.
        command.terminate().await;
    }
    match ended {
        // Nobody is kept waiting for a service that may be gone.
        Some(Exit::Disconnected) => {
            answer(exit, Exit::Disconnected);
            shell.delete().await;
        }
        Some(ended) => {
            shell.delete().await;
            answer(exit, ended);
        }
        None => shell.delete().await,
    }
}

/// Whoever asked may have gone in this very moment.
fn answer<T>(to: oneshot::Sender<T>, value: T) {
    let _ = to.send(value);
}

/// Carries input and output until the command ends (`Some`) or whoever started it has given up (`None`).
async fn pump(
    command: &Command<'_>,
    input: Input,
    stdin: DuplexStream,
    output: &mpsc::Sender<Output>,
    exit: &mut oneshot::Sender<Exit>,
) -> Option<Exit> {
    let inward = drain(command, output);
    let over = CancellationToken::new();
    let outward = feed(command, stdin, &over);
    tokio::pin!(inward, outward);
    let mut refusal = match input {
        Input::Console => None,
        Input::Pipe(refusal) => Some(refusal),
    };
    let mut fed = false;
    loop {
        tokio::select! {
            ended = &mut inward => {
                if !fed {
                    // What is being sent is let through: a request that is given up costs its connection.
                    over.cancel();
                    let _ = timeout(LAST_SEND_LIMIT, outward).await;
                }
                return Some(ended);
            }
            sent = &mut outward, if !fed => {
                fed = true;
                match (sent, refusal.take()) {
                    (Ok(()), _) => {}
                    (Err(error), _) if error.is_lost() => return Some(Exit::Disconnected),
                    (Err(error), Some(refusal)) => {
                        answer(refusal, error);
                        return None;
                    }
                    // It has ended before it read everything, or does not read at all.
                    (Err(error), None) => tracing::debug!(error = bakelite_engine::chain_of(&error), "send input"),
                }
            }
            () = exit.closed() => return None,
        }
    }
}

/// Receives until the command has ended.
async fn drain(command: &Command<'_>, output: &mpsc::Sender<Output>) -> Exit {
    loop {
        match command.receive().await {
            Ok(received) => {
                for piece in received.output {
                    // Nobody may be reading; the status is needed nevertheless.
                    let _ = output.send(piece).await;
                }
                if let Some(code) = received.exit {
                    return Exit::Status(code);
                }
            }
            Err(WinRmError::Fault(fault)) if fault.is_timeout() => {}
            Err(error) => {
                let is_gone = matches!(&error, WinRmError::Fault(fault) if fault.is_gone());
                let text = bakelite_engine::chain_of(&error);
                tracing::debug!(error = text, "receive output");
                if !error.is_lost() && !is_gone {
                    // The status will never be known, but the cause is.
                    let _ = output.send(Output::Stderr(format!("WinRM: {text}\n").into())).await;
                }
                return Exit::Disconnected;
            }
        }
    }
}

/// Sends input as it comes, as much at a time as the service takes, until it ends or all is over.
async fn feed(command: &Command<'_>, mut stdin: DuplexStream, over: &CancellationToken) -> Result<(), WinRmError> {
    let mut buffer = BytesMut::new();
    loop {
        let read = tokio::select! {
            biased;
            () = over.cancelled() => return Ok(()),
            read = stdin.read_buf(&mut buffer) => read,
        };
        // Reading from memory cannot fail; its end is the end of the input.
        if read.unwrap_or(0) == 0 {
            return command.send(&[], true).await;
        }
        while let Some(Ok(1..)) = stdin.read_buf(&mut buffer).now_or_never() {}
        while !buffer.is_empty() && !over.is_cancelled() {
            let takes_little = command.client().takes_little.load(Ordering::Relaxed);
            let piece = buffer.len().min(if takes_little { LITTLE_INPUT } else { MUCH_INPUT });
            match command.send(&buffer[..piece], false).await {
                Ok(()) => buffer.advance(piece),
                Err(error) if error.is_lost() || piece <= LITTLE_INPUT => return Err(error),
                // Refused is not taken: less of it may be.
                Err(_) => command.client().takes_little.store(true, Ordering::Relaxed),
            }
        }
    }
}
