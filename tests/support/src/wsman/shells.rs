//! Shells, and the commands that run in them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Power;
use super::machine::{Machine, Pipe, Process, Stdin};
use super::soap::{self, Fault, Operation, Request};

/// Pieces of output that wait for somebody to receive them.
const OUTPUT_QUEUE: usize = 16;

/// Pieces of input that wait for the command to read them.
const INPUT_QUEUE: usize = 4;

/// What an envelope holds besides streams, and what a stream needs beside its content, roughly.
const ENVELOPE: usize = 2048;

/// All shells of a server.
pub(super) struct Shells {
    machine: Arc<dyn Machine>,
    open: Mutex<BTreeMap<String, Shell>>,
    limit: usize,
}

#[derive(Default)]
struct Shell {
    environment: BTreeMap<String, String>,
    working_directory: Option<String>,
    commands: BTreeMap<String, Arc<Command>>,
}

struct Command {
    input: Mutex<Option<mpsc::Sender<Bytes>>>,
    output: tokio::sync::Mutex<Output>,
    /// Is there anybody waiting for output? Then its waiting ends with the command.
    gone: Notify,
    exit: watch::Receiver<Option<u32>>,
    /// The process; terminated with the value.
    process: Mutex<JoinSet<()>>,
}

struct Output {
    pieces: mpsc::Receiver<(&'static str, Bytes)>,
    /// What did not fit into the last answer.
    rest: VecDeque<(&'static str, Bytes)>,
}

impl Shells {
    pub(super) fn new(machine: Arc<dyn Machine>, limit: usize) -> Self {
        Self {
            machine,
            open: Mutex::default(),
            limit,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open.lock().unwrap().len()
    }

    /// Ends everything, as a restart does.
    pub(super) fn clear(&self) {
        let shells = std::mem::take(&mut *self.open.lock().unwrap());
        shells.into_values().for_each(Shell::end);
    }

    /// Does what is asked; answers the envelope.
    pub(super) async fn answer(
        &self,
        request: Request,
        longest_wait: Duration,
        power: &Power,
    ) -> Result<String, Fault> {
        let name = request.operation.name();
        let id = &request.message_id;
        match request.operation {
            Operation::Create {
                environment,
                working_directory,
            } => {
                let shell = soap::id();
                let made = Shell {
                    environment,
                    working_directory,
                    ..Shell::default()
                };
                let mut shells = self.open.lock().unwrap();
                if shells.len() >= self.limit {
                    return Err(Fault::TOO_MANY_SHELLS);
                }
                shells.insert(shell.clone(), made);
                Ok(soap::created(id, &shell))
            }
            Operation::Command { shell, command_line } => {
                let command = self.start(&shell, command_line, power)?;
                Ok(soap::started(id, &command))
            }
            Operation::Receive { shell, command } => {
                let running = self.command(&shell, &command)?;
                let wait = request.operation_timeout.min(longest_wait);
                let (pieces, exit) = running
                    .receive(wait, request.max_envelope_size.saturating_sub(ENVELOPE))
                    .await?;
                Ok(soap::received(id, &command, &pieces, exit))
            }
            Operation::Send {
                shell,
                command,
                bytes,
                end,
            } => {
                self.command(&shell, &command)?.send(bytes, end).await?;
                Ok(soap::empty(id, name))
            }
            Operation::Signal { shell, command, code } => {
                if code != "terminate" && code != "ctrl_c" {
                    return Err(Fault::SCHEMA);
                }
                let mut shells = self.open.lock().unwrap();
                let commands = &mut shells.get_mut(&shell).ok_or(Fault::NO_SUCH_SHELL)?.commands;
                commands.remove(&command).ok_or(Fault::NO_SUCH_SHELL)?.end();
                Ok(soap::empty(id, name))
            }
            Operation::Delete { shell } => {
                let removed = self.open.lock().unwrap().remove(&shell);
                removed.ok_or(Fault::NO_SUCH_SHELL)?.end();
                Ok(soap::empty(id, name))
            }
        }
    }

    fn start(&self, shell: &str, command_line: String, power: &Power) -> Result<String, Fault> {
        let mut shells = self.open.lock().unwrap();
        let shell = shells.get_mut(shell).ok_or(Fault::NO_SUCH_SHELL)?;
        let (input, stdin) = mpsc::channel(INPUT_QUEUE);
        let (pieces, output) = mpsc::channel(OUTPUT_QUEUE);
        let (ended, exit) = watch::channel(None);
        let process = Process {
            command_line,
            environment: shell.environment.clone(),
            working_directory: shell.working_directory.clone(),
            stdin: Stdin {
                pieces: stdin,
                rest: Vec::new(),
            },
            stdout: Pipe {
                name: "stdout",
                pieces: pieces.clone(),
            },
            stderr: Pipe { name: "stderr", pieces },
            power: power.clone(),
        };
        let machine = Arc::clone(&self.machine);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let code = machine.run(process).await;
            // Nobody may want to know any more.
            let _ = ended.send(Some(code));
        });
        let command = Command {
            input: Mutex::new(Some(input)),
            output: tokio::sync::Mutex::new(Output {
                pieces: output,
                rest: VecDeque::new(),
            }),
            gone: Notify::new(),
            exit,
            process: Mutex::new(running),
        };
        let id = soap::id();
        shell.commands.insert(id.clone(), Arc::new(command));
        Ok(id)
    }

    fn command(&self, shell: &str, command: &str) -> Result<Arc<Command>, Fault> {
        let shells = self.open.lock().unwrap();
        let commands = &shells.get(shell).ok_or(Fault::NO_SUCH_SHELL)?.commands;
        commands.get(command).cloned().ok_or(Fault::NO_SUCH_SHELL)
    }
}

impl Shell {
    fn end(self) {
        self.commands.into_values().for_each(|command| command.end());
    }
}

impl Command {
    fn end(&self) {
        self.process.lock().unwrap().abort_all();
        self.gone.notify_waiters();
    }

    async fn send(&self, bytes: Bytes, end: bool) -> Result<(), Fault> {
        let input = self.input.lock().unwrap().clone();
        if !bytes.is_empty() {
            let input = input.ok_or(Fault::BROKEN_PIPE)?;
            input.send(bytes).await.map_err(|_| Fault::BROKEN_PIPE)?;
        }
        if end {
            self.input.lock().unwrap().take();
        }
        Ok(())
    }

    /// Waits for output or the end; answers as much as fits.
    async fn receive(&self, wait: Duration, room: usize) -> Result<(Vec<(&'static str, Bytes)>, Option<u32>), Fault> {
        let gone = self.gone.notified();
        let mut output = self.output.lock().await;
        if output.rest.is_empty() {
            let piece = tokio::select! {
                piece = timeout(wait, output.pieces.recv()) => piece.map_err(|_| Fault::TIMED_OUT)?,
                () = gone => return Err(Fault::NO_SUCH_SHELL),
            };
            output.rest.extend(piece);
        }
        while let Ok(piece) = output.pieces.try_recv() {
            output.rest.push_back(piece);
        }
        let pieces = output.take(room / 4 * 3);
        let all = output.rest.is_empty() && output.pieces.is_closed() && output.pieces.is_empty();
        if !all {
            return Ok((pieces, None));
        }
        // All pipes are closed: it is about to end.
        let mut exit = self.exit.clone();
        let code = *exit.borrow_and_update();
        if code.is_some() || !pieces.is_empty() {
            return Ok((pieces, code));
        }
        let code = timeout(wait, exit.wait_for(Option::is_some)).await;
        match code.map_err(|_| Fault::TIMED_OUT)? {
            Ok(code) => Ok((pieces, *code)),
            Err(_) => Err(Fault::NO_SUCH_SHELL),
        }
    }
}

impl Output {
    /// The next pieces that are together no longer than `room`.
    fn take(&mut self, mut room: usize) -> Vec<(&'static str, Bytes)> {
        let mut taken = Vec::new();
        while let Some((name, mut bytes)) = self.rest.pop_front() {
            let fits = room.saturating_sub(256);
            if fits == 0 {
                self.rest.push_front((name, bytes));
                break;
            }
            if bytes.len() > fits {
                self.rest.push_front((name, bytes.split_off(fits)));
            }
            room -= bytes.len() + 256;
            taken.push((name, bytes));
        }
        taken
    }
}
