//! Commands of the other side: output streams in both directions, and every way to end is distinguished.

use bakelite_engine::communicator::{CommunicatorError, Exit, Output, Running};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty, Sig};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};

use super::session::{Link, Session};

/// Pieces of output that wait for their reader before the command has to.
const OUTPUT_QUEUE: usize = 16;

/// Bytes of input on their way to the command.
const INPUT_BUFFER: usize = 64 * 1024;

/// What is asked for, in errors.
const START: &str = "start a command";

/// Starts a command; with a terminal when `pty` is set.
pub(crate) async fn exec(
    Link { session, mut channel }: Link,
    command: &str,
    pty: bool,
) -> Result<Running, CommunicatorError> {
    if session.offers_agent() {
        // What the server thinks of it is not waited for: without an agent commands run as well.
        let _ = channel.agent_forward(false).await;
    }
    if pty {
        let modes = [
            (Pty::ECHO, 0),
            (Pty::TTY_OP_ISPEED, 14_400),
            (Pty::TTY_OP_OSPEED, 14_400),
        ];
        let requested = channel.request_pty(true, "xterm", 80, 40, 0, 0, &modes).await;
        requested.map_err(|error| session.lost(Some(error)))?;
        answered(&session, &mut channel, "open a terminal").await?;
    }
    request(&session, &channel, command).await?;
    // From here on it may run.
    let started = answered(&session, &mut channel, START).await;
    started.map_err(|error| match error {
        CommunicatorError::Disconnected { peer, cause } => CommunicatorError::Unanswered { peer, cause },
        error => error,
    })?;
    let (read, write) = channel.split();
    let (stdin, input) = duplex(INPUT_BUFFER);
    let (output_sender, output) = mpsc::channel(OUTPUT_QUEUE);
    let (exit_sender, exit) = oneshot::channel();
    session.keep(pump(read, write, input, output_sender, exit_sender));
    Ok(Running {
        stdin: Some(Box::new(stdin)),
        output,
        exit,
    })
}

/// Asks for a command and waits until it was started.
pub(crate) async fn start(
    session: &Session,
    channel: &mut Channel<Msg>,
    command: &str,
) -> Result<(), CommunicatorError> {
    request(session, channel, command).await?;
    answered(session, channel, START).await
}

/// Asks for a command. An error: nothing was sent.
async fn request(session: &Session, channel: &Channel<Msg>, command: &str) -> Result<(), CommunicatorError> {
    let requested = channel.exec(true, format!("{command}\n")).await;
    requested.map_err(|error| session.lost(Some(error)))
}

/// Waits for the answer to a request of ours that was sent.
pub(crate) async fn answered(
    session: &Session,
    channel: &mut Channel<Msg>,
    operation: &str,
) -> Result<(), CommunicatorError> {
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => {
                let message = "the server refuses the request".into();
                return Err(CommunicatorError::Refused {
                    operation: operation.to_owned(),
                    message,
                    help: None,
                });
            }
            Some(ChannelMsg::Close) | None => return Err(session.lost(None)),
            Some(_) => {}
        }
    }
}

/// Carries input, output and the status of a running command until it ends or whoever started it has given up.
async fn pump(
    mut read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    input: DuplexStream,
    output: mpsc::Sender<Output>,
    mut exit: oneshot::Sender<Exit>,
) {
    let ended = {
        let outward = feed(&write, input);
        let inward = drain(&mut read, &output);
        tokio::pin!(outward, inward);
        let mut fed = false;
        loop {
            tokio::select! {
                ended = &mut inward => break Some(ended),
                () = &mut outward, if !fed => fed = true,
                () = exit.closed() => break None,
            }
        }
    };
    if let Some(ended) = ended {
        // The receiver may have gone in this very moment.
        let _ = exit.send(ended);
    } else {
        // Whoever started it has given up: the command is ended. Without a connection it cannot be.
        let _ = write.signal(Sig::TERM).await;
        let _ = write.close().await;
    }
}

/// Sends input until it ends.
async fn feed(write: &ChannelWriteHalf<Msg>, mut input: DuplexStream) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(length @ 1..) = input.read(&mut buffer).await {
        let piece = buffer.get(..length).unwrap_or_default().to_vec();
        if write.data_bytes(piece).await.is_err() {
            return;
        }
    }
    // A command that has ended needs no end of input.
    let _ = write.eof().await;
}

/// Passes output on until the channel ends; answers how the command did.
async fn drain(read: &mut ChannelReadHalf, output: &mpsc::Sender<Output>) -> Exit {
    let mut exit = Exit::Disconnected;
    loop {
        let piece = match read.wait().await {
            Some(ChannelMsg::Data { data }) => Output::Stdout(data),
            Some(ChannelMsg::ExtendedData { data, .. }) => Output::Stderr(data),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                exit = Exit::Status(exit_status);
                continue;
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                exit = Exit::Status(128 + signal_number(&signal_name));
                continue;
            }
            Some(ChannelMsg::Close) | None => return exit,
            Some(_) => continue,
        };
        // Output that nobody reads is dropped; the status may still be needed.
        let _ = output.send(piece).await;
    }
}

/// The number of a signal on Linux.
fn signal_number(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(name) => match name.as_str() {
            "TRAP" => 5,
            "BUS" => 7,
            "USR2" => 12,
            "XCPU" => 24,
            "XFSZ" => 25,
            "SYS" => 31,
            _ => 0,
        },
    }
}
