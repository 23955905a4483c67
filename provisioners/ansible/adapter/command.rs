//! A command of Ansible's on the instance: input, both outputs and the status go through.

use bakelite_engine::communicator::{CommunicatorError, Exit, Output};
use bakelite_engine::error::chain_of;
use tokio::io::{AsyncWriteExt as _, BufReader, copy_buf};

use super::instance::Instance;
use super::stream::Streams;

/// What Ansible takes for a host that cannot be reached: OpenSSH's own status for a lost connection.
pub(super) const UNREACHABLE: u32 = 255;

/// Bytes that are passed on at once.
const PIECE: usize = 32 * 1024;

/// Runs a command until it ends; answers its status. Dropped, it ends the command.
pub(super) async fn run(instance: &Instance, command: &str, streams: Streams) -> u32 {
    let Streams {
        input,
        mut output,
        mut errors,
    } = streams;
    let mut running = match instance.communicator.exec(command).await {
        Ok(running) => running,
        Err(error) => {
            errors.say(&text_of(&error)).await;
            return UNREACHABLE;
        }
    };
    let stdin = running.stdin.take();
    let inward = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = copy_buf(&mut BufReader::with_capacity(PIECE, input), &mut stdin).await;
            let _ = stdin.shutdown().await;
        }
        std::future::pending::<std::convert::Infallible>().await
    };
    let outward = async {
        while let Some(piece) = running.output.recv().await {
            // A client that reads no more still wants the status.
            let _ = match piece {
                Output::Stdout(bytes) => output.send(&bytes).await,
                Output::Stderr(bytes) => errors.send(&bytes).await,
            };
        }
        running.exit.await.unwrap_or(Exit::Disconnected)
    };
    let exit = tokio::select! {
        exit = outward => exit,
        never = inward => match never {},
    };
    match exit {
        Exit::Status(status) => status,
        Exit::Disconnected => {
            errors.say("the connection to the instance was lost").await;
            UNREACHABLE
        }
    }
}

/// An error as Ansible's user reads it.
pub(super) fn text_of(error: &CommunicatorError) -> String {
    chain_of(error)
}

/// The status that tells Ansible about a transfer that failed.
pub(super) fn status_of(error: &CommunicatorError) -> u32 {
    match error {
        CommunicatorError::Disconnected { .. } | CommunicatorError::Unanswered { .. } => UNREACHABLE,
        _ => 1,
    }
}
