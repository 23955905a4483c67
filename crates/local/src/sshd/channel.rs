//! One session channel: a process in the machine and the streams between it and the client.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelId, ChannelWriteHalf, Sig};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::sandbox::{
    Process, ProcessEnd, Program, Run, Sandbox, SandboxError, Streams, Terminal, awaitable, set_size,
};

/// How much of a client's input waits for a slow process before the client is made to wait.
const WAITING_INPUT: usize = 4 * 1024 * 1024;

/// A session channel as the connection knows it.
pub(super) struct SessionChannel {
    id: ChannelId,
    writer: Option<ChannelWriteHalf<Msg>>,
    /// The terminal that was asked for.
    pub(super) terminal: Option<Terminal>,
    /// The environment that was asked for.
    pub(super) environment: Vec<(String, String)>,
    run: Option<u64>,
    master: Option<Arc<AsyncFd<OwnedFd>>>,
    input: Option<Input>,
    /// Dropped with the channel, which tells the carrier that the client has closed it.
    open: Option<oneshot::Sender<()>>,
}

/// The client's input on its way to the process.
struct Input {
    queue: mpsc::UnboundedSender<Bytes>,
    flow: Arc<Flow>,
}

/// What is under way on a channel.
#[derive(Default)]
struct Flow {
    /// Bytes of input that wait for the process.
    waiting: AtomicUsize,
    /// Whether output waits for the client.
    stalled: AtomicBool,
    changed: Notify,
}

/// What a started channel needs done: streams to carry, and an end to wait for.
pub(super) struct Work {
    id: ChannelId,
    process: Process,
    writer: ChannelWriteHalf<Msg>,
    input: mpsc::UnboundedReceiver<Bytes>,
    flow: Arc<Flow>,
    ends: Ends,
    closed: oneshot::Receiver<()>,
}

/// Our ends of a process's streams.
enum Ends {
    Pipes {
        input: pipe::Sender,
        output: pipe::Receiver,
        error: pipe::Receiver,
    },
    Terminal(Arc<AsyncFd<OwnedFd>>),
}

impl SessionChannel {
    pub(super) fn new(channel: Channel<Msg>) -> SessionChannel {
        let id = channel.id();
        // Input comes through the handler; the reading half would only queue it a second time.
        let (_, writer) = channel.split();
        SessionChannel {
            id,
            writer: Some(writer),
            terminal: None,
            environment: Vec::new(),
            run: None,
            master: None,
            input: None,
            open: None,
        }
    }

    /// The sandbox's number of the process.
    pub(super) fn run(&self) -> Option<u64> {
        self.run
    }

    /// Starts the process; only one per channel (RFC 4254 §6.5).
    pub(super) async fn start(
        &mut self,
        sandbox: &Sandbox,
        user: &str,
        program: Program,
        command: &[u8],
        mut environment: Vec<(String, String)>,
    ) -> Result<Work, SandboxError> {
        let writer = self
            .writer
            .take()
            .ok_or_else(|| SandboxError::Refused("the channel runs something already".into()))?;
        environment.append(&mut self.environment);
        let terminal = self.terminal.take().filter(|_| program != Program::Sftp);
        let on_terminal = terminal.is_some();
        let run = Run {
            id: 0,
            user: user.to_owned(),
            program,
            terminal,
            environment,
        };
        let (mut process, ends) = if on_terminal {
            let mut process = sandbox.run(run, command, None).await?;
            let master = process.master.take().ok_or(SandboxError::Gone)?;
            rustix::io::ioctl_fionbio(&master, true).map_err(io::Error::from)?;
            let master = Arc::new(awaitable(master)?);
            self.master = Some(Arc::clone(&master));
            (process, Ends::Terminal(master))
        } else {
            let (theirs, ours) = pipes()?;
            (sandbox.run(run, command, Some(theirs)).await?, ours)
        };
        self.run = Some(process.id);
        let (queue, input) = mpsc::unbounded_channel();
        let flow = Arc::<Flow>::default();
        self.input = Some(Input {
            queue,
            flow: Arc::clone(&flow),
        });
        let (open, closed) = oneshot::channel();
        self.open = Some(open);
        process.master = None;
        Ok(Work {
            id: self.id,
            process,
            writer,
            input,
            flow,
            ends,
            closed,
        })
    }

    /// Takes input. Waits while much of it is unread, unless the process itself waits for the client to take its output:
    /// the connection must go on then, or both would wait for each other.
    pub(super) async fn feed(&self, data: &[u8]) {
        let Some(input) = &self.input else { return };
        let flow = &input.flow;
        flow.waiting.fetch_add(data.len(), Ordering::AcqRel);
        if input.queue.send(Bytes::copy_from_slice(data)).is_err() {
            flow.waiting.store(0, Ordering::Release); // the process has closed its input
            return;
        }
        loop {
            let changed = flow.changed.notified();
            let is_full = flow.waiting.load(Ordering::Acquire) > WAITING_INPUT;
            if !is_full || flow.stalled.load(Ordering::Acquire) || input.queue.is_closed() {
                return;
            }
            changed.await;
        }
    }

    /// The client sends no more.
    pub(super) fn end_input(&mut self) {
        self.input = None;
    }

    /// The client's window has another size.
    pub(super) fn resize(&self, columns: u32, rows: u32) {
        if let Some(master) = &self.master {
            set_size(master.get_ref(), size(columns), size(rows)).ok(); // a terminal that is gone has no size
        }
    }
}

/// A terminal's size as the kernel takes it.
pub(super) fn size(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn pipes() -> io::Result<(Streams, Ends)> {
    let (their_input, our_input) = pipe_with(PipeFlags::CLOEXEC)?;
    let (our_output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (our_error, their_error) = pipe_with(PipeFlags::CLOEXEC)?;
    let ends = Ends::Pipes {
        input: pipe::Sender::from_owned_fd(our_input)?,
        output: pipe::Receiver::from_owned_fd(our_output)?,
        error: pipe::Receiver::from_owned_fd(our_error)?,
    };
    Ok((
        Streams {
            input: their_input,
            output: their_output,
            error: their_error,
        },
        ends,
    ))
}

impl Work {
    /// Carries the streams until the process has ended and its output is through, and closes the channel.
    pub(super) async fn carry(self, sandbox: Arc<Sandbox>, handle: Handle) {
        let Work {
            id,
            mut process,
            writer,
            input,
            flow,
            ends,
            closed,
        } = self;
        let run = process.id;
        let on_terminal = matches!(ends, Ends::Terminal(_));
        let work = async {
            match ends {
                Ends::Pipes {
                    input: to,
                    output,
                    error,
                } => {
                    let end = async {
                        let end = process.end().await;
                        report(&handle, id, end).await;
                    };
                    let input = feed_pipe(input, to, &flow);
                    // Whoever holds the output open keeps the channel open, as sshd has it. Input needs no end.
                    let outputs = async {
                        tokio::join!(
                            copy_pipe(output, &writer, None, &flow),
                            copy_pipe(error, &writer, Some(1), &flow),
                            end
                        )
                    };
                    tokio::select! {
                        _ = outputs => {}
                        never = input => match never {},
                    }
                }
                Ends::Terminal(master) => {
                    let end = tokio::select! {
                        end = copy_terminal(&master, &writer, &flow, process.end()) => end,
                        never = feed_terminal(input, &master, &flow) => match never {},
                    };
                    report(&handle, id, end).await;
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = closed => {
                // The client closed the channel. A terminal's session gets a hangup; other processes run on, as under sshd.
                if on_terminal {
                    sandbox.signal(run, libc::SIGHUP).await;
                }
                return;
            }
        }
        handle.eof(id).await.ok();
        handle.close(id).await.ok();
    }
}

/// Tells the client how the process ended.
async fn report(handle: &Handle, id: ChannelId, end: ProcessEnd) {
    match end {
        ProcessEnd::Status(status) => handle.exit_status_request(id, status.cast_unsigned()).await.ok(),
        ProcessEnd::Signal(number) => match signal_name(number) {
            Some(signal) => handle
                .exit_signal_request(id, signal, false, String::new(), String::new())
                .await
                .ok(),
            None => handle
                .exit_status_request(id, (128 + number).cast_unsigned())
                .await
                .ok(),
        },
    };
}

async fn feed_pipe(
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    mut to: pipe::Sender,
    flow: &Flow,
) -> std::convert::Infallible {
    while let Some(data) = queue.recv().await {
        let written = to.write_all(&data).await;
        flow.took(data.len());
        if written.is_err() {
            break; // the process reads no more
        }
    }
    drop(to);
    queue.close();
    flow.changed.notify_waiters();
    std::future::pending().await
}

async fn copy_pipe(mut from: pipe::Receiver, writer: &ChannelWriteHalf<Msg>, extension: Option<u32>, flow: &Flow) {
    let mut to = writer.make_writer_ext(extension);
    let mut buffer = vec![0_u8; 32 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if flow.while_stalled(to.write_all(&buffer[..length])).await.is_err() {
            return;
        }
    }
}

async fn feed_terminal(
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    master: &AsyncFd<OwnedFd>,
    flow: &Flow,
) -> std::convert::Infallible {
    const END_OF_INPUT: u8 = 4;
    while let Some(data) = queue.recv().await {
        if write_terminal(master, &data).await.is_err() {
            break;
        }
        flow.took(data.len());
    }
    // A client that ends its input means the end of the file; a terminal has only the key for it.
    write_terminal(master, &[END_OF_INPUT]).await.ok();
    queue.close();
    flow.changed.notify_waiters();
    std::future::pending().await
}

async fn write_terminal(master: &AsyncFd<OwnedFd>, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let mut ready = master.writable().await?;
        if let Ok(written) = ready.try_io(|master| Ok(rustix::io::write(master.get_ref(), data)?)) {
            data = &data[written?..];
        }
    }
    Ok(())
}

/// Carries a terminal's output until its process has ended and what it wrote is through.
async fn copy_terminal(
    master: &AsyncFd<OwnedFd>,
    writer: &ChannelWriteHalf<Msg>,
    flow: &Flow,
    end: impl Future<Output = ProcessEnd>,
) -> ProcessEnd {
    let mut to = writer.make_writer();
    let mut buffer = vec![0_u8; 16 * 1024];
    tokio::pin!(end);
    let ended = loop {
        tokio::select! {
            ended = &mut end => break ended,
            ready = master.readable() => {
                let Ok(mut ready) = ready else { break end.await };
                match ready.try_io(|master| Ok(rustix::io::read(master.get_ref(), buffer.as_mut_slice())?)) {
                    Ok(Ok(length @ 1..)) => {
                        if flow.while_stalled(to.write_all(&buffer[..length])).await.is_err() {
                            break end.await;
                        }
                    }
                    // Nobody has the terminal open (any more).
                    Ok(_) => break end.await,
                    Err(_would_block) => {}
                }
            }
        }
    };
    while let Ok(length @ 1..) = rustix::io::read(master.get_ref(), buffer.as_mut_slice()) {
        if flow.while_stalled(to.write_all(&buffer[..length])).await.is_err() {
            break;
        }
    }
    ended
}

impl Flow {
    fn took(&self, length: usize) {
        self.waiting
            .fetch_sub(length.min(self.waiting.load(Ordering::Acquire)), Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Marks the output as stalled while a write to the client is under way.
    async fn while_stalled<T>(&self, write: impl Future<Output = T>) -> T {
        self.stalled.store(true, Ordering::Release);
        self.changed.notify_waiters();
        let outcome = write.await;
        self.stalled.store(false, Ordering::Release);
        outcome
    }
}

/// The kernel's number of a signal.
pub(super) fn signal_number(signal: &Sig) -> Option<i32> {
    Some(match signal {
        Sig::ABRT => libc::SIGABRT,
        Sig::ALRM => libc::SIGALRM,
        Sig::FPE => libc::SIGFPE,
        Sig::HUP => libc::SIGHUP,
        Sig::ILL => libc::SIGILL,
        Sig::INT => libc::SIGINT,
        Sig::KILL => libc::SIGKILL,
        Sig::PIPE => libc::SIGPIPE,
        Sig::QUIT => libc::SIGQUIT,
        Sig::SEGV => libc::SIGSEGV,
        Sig::TERM => libc::SIGTERM,
        Sig::USR1 => libc::SIGUSR1,
        Sig::Custom(_) => return None,
    })
}

/// The protocol's name of a signal.
fn signal_name(number: i32) -> Option<Sig> {
    let named = [
        Sig::ABRT,
        Sig::ALRM,
        Sig::FPE,
        Sig::HUP,
        Sig::ILL,
        Sig::INT,
        Sig::KILL,
        Sig::PIPE,
        Sig::QUIT,
        Sig::SEGV,
        Sig::TERM,
        Sig::USR1,
    ];
    named.into_iter().find(|signal| signal_number(signal) == Some(number))
}
