//! The parent's side of a sandbox: starting one, asking it to run processes, learning how they end.

use std::collections::HashMap;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::enter::socket_pair;
use super::idmap::IdMap;
use super::wire::{Action, End, Job, MachineStart, Message, Report, Request, Run, Start, Streams, receive, send};
use super::{interface, kernel};
use crate::cgroup::Cgroup;

/// Why a sandbox does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The program could not be started again.
    #[error("failed to start the sandbox's process: {0}")]
    Start(io::Error),
    /// The maps of its user namespace were refused.
    #[error("failed to write the id map of the sandbox: {0}")]
    IdMap(io::Error),
    /// It could not be put into its cgroup.
    #[error("failed to move the sandbox into its cgroup: {0}")]
    Cgroup(io::Error),
    /// A step inside failed.
    #[error("failed to {step}: {error}")]
    Inside {
        /// The step.
        step: String,
        /// The kernel's error.
        error: String,
        /// Its error number.
        errno: Option<i32>,
    },
    /// The sandbox ended without a report.
    #[error("the sandbox ended unexpectedly")]
    Gone,
    /// A message could not be passed.
    #[error("failed to exchange a message with the sandbox: {0}")]
    Message(#[from] io::Error),
    /// A process could not be started in it.
    #[error("failed to start a process: {0}")]
    Refused(String),
}

/// What a machine as a whole does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It runs.
    Running,
    /// It is between two boots.
    Rebooting,
    /// It has ended, by itself or not.
    Gone,
}

/// A running sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    control: Arc<AsyncFd<OwnedFd>>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, mpsc::UnboundedSender<Reply>>>,
    condition: watch::Sender<Condition>,
    console: Mutex<Vec<u8>>,
    child: tokio::sync::Mutex<Child>,
    /// Goes when the child has.
    cgroup: Mutex<Option<Cgroup>>,
}

/// The far ends of a machine's network.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    /// What its metadata service is asked on.
    pub(crate) metadata: Option<std::net::TcpListener>,
    /// Its TUN device, or why it has none; nothing when it was to have none.
    pub(crate) tun: Option<io::Result<OwnedFd>>,
}

/// What a run's owner is sent.
#[derive(Debug)]
enum Reply {
    Started(Option<OwnedFd>),
    Refused(String),
    Exited(End),
    Account(bool),
}

/// A process in the sandbox.
#[derive(Debug)]
pub(crate) struct Process {
    /// The sandbox's number for it.
    pub(crate) id: u64,
    /// Its terminal's master.
    pub(crate) master: Option<OwnedFd>,
    replies: mpsc::UnboundedReceiver<Reply>,
}

/// How a process ended, as its owner is told.
pub(crate) type ProcessEnd = End;

impl Process {
    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ProcessEnd {
        while let Some(reply) = self.replies.recv().await {
            if let Reply::Exited(end) = reply {
                return end;
            }
        }
        End::Signal(libc::SIGKILL)
    }
}

/// Starts the program again as a sandbox's first process.
fn spawn() -> Result<(AsyncFd<OwnedFd>, Child), SandboxError> {
    let (ours, theirs) = socket_pair().map_err(SandboxError::Start)?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|error| SandboxError::Start(error.into()))?;
    let child = Command::new("/proc/self/exe")
        .arg0("bakelite-machine")
        .arg(super::ENTER)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(SandboxError::Start)?;
    let control = kernel::awaitable(ours).map_err(SandboxError::Start)?;
    Ok((control, child))
}

async fn send_request(
    control: &AsyncFd<OwnedFd>,
    request: &Request,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    loop {
        let mut ready = control.writable().await?;
        if let Ok(outcome) = ready.try_io(|control| send(control.as_fd(), request, bytes, files)) {
            return outcome;
        }
    }
}

async fn receive_report(control: &AsyncFd<OwnedFd>) -> io::Result<Option<Message<Report>>> {
    loop {
        let mut ready = control.readable().await?;
        if let Ok(outcome) = ready.try_io(|control| receive(control.as_fd())) {
            return outcome;
        }
    }
}

/// What a sandbox has handed over before it serves.
#[derive(Debug, Default)]
struct SetUp {
    wires: Wires,
    /// What a job has measured.
    bytes: Vec<u64>,
}

/// Sends the first message and sees the sandbox through to its last report before it serves.
async fn set_up(
    control: &AsyncFd<OwnedFd>,
    child: &Child,
    start: Start,
    ids: IdMap,
    volumes: Vec<OwnedFd>,
) -> Result<SetUp, SandboxError> {
    let mut wires = Wires::default();
    let base = match &start {
        Start::Machine(machine) => machine.base().map(Path::to_owned),
        Start::Job { .. } => None,
    };
    send_request(control, &Request::Start(Box::new(start)), &[], &[]).await?;
    loop {
        let Some(message) = receive_report(control).await? else {
            return Err(SandboxError::Gone);
        };
        match message.content {
            Report::NeedMap => {
                let child = child.id().unwrap_or_default();
                ids.write(child).await.map_err(SandboxError::IdMap)?;
                let base = match &base {
                    Some(base) if ids.root().is_some() => Some(map_ids_of(base, child)?),
                    _ => None,
                };
                let files: Vec<_> = base.iter().chain(&volumes).map(OwnedFd::as_fd).collect();
                let has_base = base.is_some();
                send_request(control, &Request::Mapped { has_base }, &[], &files).await?;
            }
            Report::Network { wants_device } => {
                wires = Wires::of(message.files, wants_device);
                if let Some(tun) = &wires.tun {
                    let device = tun.is_ok();
                    send_request(control, &Request::Attached { device }, &[], &[]).await?;
                }
            }
            Report::Booted => {
                return Ok(SetUp {
                    wires,
                    bytes: Vec::new(),
                });
            }
            Report::Done { bytes } => return Ok(SetUp { wires, bytes }),
            Report::Failed { step, error, errno } => return Err(SandboxError::Inside { step, error, errno }),
            _ => {}
        }
    }
}

impl Wires {
    fn of(files: Vec<OwnedFd>, wants_device: bool) -> Wires {
        let mut files = files.into_iter();
        let metadata = files.next().map(std::net::TcpListener::from);
        let tun = files.next();
        let tun = tun.map(|file| {
            if wants_device {
                interface::attach_in(file)
            } else {
                Ok(file)
            }
        });
        Wires { metadata, tun }
    }
}

/// A mount of the user's directory on which what belongs to root of the host belongs to root of the sandbox.
fn map_ids_of(base: &Path, child: u32) -> Result<OwnedFd, SandboxError> {
    let map = || -> io::Result<OwnedFd> {
        let namespace = std::fs::File::open(format!("/proc/{child}/ns/user"))?;
        let path = std::ffi::CString::new(base.as_os_str().as_bytes())?;
        kernel::mapped_tree(&path, namespace.as_fd())
    };
    map().map_err(|error| SandboxError::Inside {
        step: format!("map the ids of base directory `{}`", base.display()),
        errno: error.raw_os_error(),
        error: error.to_string(),
    })
}

/// Does a job with the ids of the machines.
pub(crate) async fn do_job(job: Job, ids: IdMap) -> Result<(), SandboxError> {
    outcome_of(job, ids).await.map(drop)
}

/// How many bytes the files below each directory take; 0 where they cannot be read.
pub(crate) async fn measure(directories: Vec<PathBuf>, ids: IdMap) -> Result<Vec<u64>, SandboxError> {
    outcome_of(Job::Measure { directories }, ids).await
}

async fn outcome_of(job: Job, ids: IdMap) -> Result<Vec<u64>, SandboxError> {
    let (control, mut child) = spawn()?;
    // Root of a container needs no namespace to be allowed everything on the store's files; the probe wants exactly that namespace.
    let count = if matches!(ids, IdMap::Identity { .. }) && !matches!(job, Job::Probe { .. }) {
        0
    } else {
        ids.count()
    };
    let outcome = set_up(&control, &child, Start::Job { ids: count, job }, ids, Vec::new()).await;
    drop(control);
    child.wait().await?;
    outcome.map(|set_up| set_up.bytes)
}

impl Sandbox {
    /// Starts a machine, with what is attached for its volumes, and waits until it is up. `listen` must run for as long as its reports are wanted.
    pub(crate) async fn start(
        machine: MachineStart,
        ids: IdMap,
        cgroup: Cgroup,
        volumes: Vec<OwnedFd>,
    ) -> Result<(Sandbox, Wires), SandboxError> {
        let (control, child) = spawn()?;
        // It waits for its first message, so it has no children and no namespace yet.
        cgroup
            .add(child.id().unwrap_or_default())
            .map_err(SandboxError::Cgroup)?;
        let SetUp { wires, .. } = set_up(&control, &child, Start::Machine(machine), ids, volumes).await?;
        let sandbox = Sandbox {
            control: Arc::new(control),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            condition: watch::Sender::new(Condition::Running),
            console: Mutex::default(),
            child: tokio::sync::Mutex::new(child),
            cgroup: Mutex::new(Some(cgroup)),
        };
        Ok((sandbox, wires))
    }

    /// Forwards what the sandbox reports, until it is gone.
    pub(crate) async fn listen(&self) {
        while let Ok(Some(message)) = receive_report(&self.control).await {
            let mut files = message.files.into_iter();
            match message.content {
                Report::Started { id } => self.forward(id, Reply::Started(files.next())),
                Report::Refused { id, error } => self.forward(id, Reply::Refused(error)),
                Report::Account { id, known } => self.forward(id, Reply::Account(known)),
                Report::Exited { id, end } => {
                    self.forward(id, Reply::Exited(end));
                    self.waiting().remove(&id);
                }
                Report::Console => self.write_console(&message.bytes),
                Report::Failed { step, error, .. } => {
                    self.write_console(format!("failed to {step}: {error}\n").as_bytes());
                }
                Report::Rebooting => drop(self.condition.send_replace(Condition::Rebooting)),
                Report::Booted => drop(self.condition.send_replace(Condition::Running)),
                Report::NeedMap | Report::Network { .. } | Report::Done { .. } => {}
            }
        }
        self.child.lock().await.wait().await.ok();
        let cgroup = self.cgroup.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cgroup) = cgroup {
            cgroup.remove().await;
        }
        self.waiting().clear();
        self.condition.send_replace(Condition::Gone);
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::UnboundedSender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward(&self, id: u64, reply: Reply) {
        if let Some(owner) = self.waiting().get(&id) {
            owner.send(reply).ok(); // an owner that went away does not want to know
        }
    }

    fn expect(&self) -> (u64, mpsc::UnboundedReceiver<Reply>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        self.waiting().insert(id, sender);
        (id, receiver)
    }

    /// Starts a process; `streams` unless it gets a terminal.
    pub(crate) async fn run(
        &self,
        mut run: Run,
        command: &[u8],
        streams: Option<Streams>,
    ) -> Result<Process, SandboxError> {
        let (id, mut replies) = self.expect();
        run.id = id;
        let files = streams.as_ref().map(Streams::borrowed);
        send_request(
            &self.control,
            &Request::Run(run),
            command,
            files.as_ref().map_or(&[], |files| files.as_slice()),
        )
        .await?;
        match replies.recv().await {
            Some(Reply::Started(master)) => Ok(Process { id, master, replies }),
            Some(Reply::Refused(error)) => {
                self.waiting().remove(&id);
                Err(SandboxError::Refused(error))
            }
            _ => Err(SandboxError::Gone),
        }
    }

    /// Whether a login user exists.
    pub(crate) async fn knows(&self, user: &str) -> Result<bool, SandboxError> {
        let (id, mut replies) = self.expect();
        send_request(
            &self.control,
            &Request::Account {
                id,
                user: user.to_owned(),
            },
            &[],
            &[],
        )
        .await?;
        let answer = replies.recv().await;
        self.waiting().remove(&id);
        match answer {
            Some(Reply::Account(known)) => Ok(known),
            _ => Err(SandboxError::Gone),
        }
    }

    /// Connects to a port of the machine, in its own network.
    pub(crate) async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let (id, mut replies) = self.expect();
        send_request(&self.control, &Request::Connect { id, port }, &[], &[]).await?;
        let answer = replies.recv().await;
        self.waiting().remove(&id);
        let socket = match answer {
            Some(Reply::Started(Some(socket))) => std::net::TcpStream::from(socket),
            _ => return Err(io::ErrorKind::ConnectionRefused.into()),
        };
        socket.set_nonblocking(true)?;
        let stream = TcpStream::from_std(socket)?;
        stream.writable().await?;
        match stream.take_error()? {
            None => Ok(stream),
            Some(error) => Err(error),
        }
    }

    /// Sends a signal to the process group of a run.
    pub(crate) async fn signal(&self, id: u64, signal: i32) {
        // A sandbox that is gone has no processes left to signal.
        send_request(&self.control, &Request::Signal { id, signal }, &[], &[])
            .await
            .ok();
    }

    /// Finishes the boot by these actions; their output goes into `output`.
    pub(crate) async fn finish_boot(&self, actions: &[Action], output: &OwnedFd) -> Result<(), SandboxError> {
        let plan = rustix::fs::memfd_create(c"user-data", rustix::fs::MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut file = std::fs::File::from(plan.try_clone()?);
        file.write_all(&serde_json::to_vec(actions).map_err(io::Error::other)?)?;
        file.rewind()?;
        Ok(send_request(&self.control, &Request::FirstBoot, &[], &[plan.as_fd(), output.as_fd()]).await?)
    }

    /// Asks the machine to power off; `listen` ends when everything is gone.
    pub(crate) async fn request_stop(&self) {
        send_request(&self.control, &Request::Stop, &[], &[]).await.ok(); // already gone is as good
    }

    /// The machine's condition, to be watched.
    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Adds to the console.
    pub(crate) fn write_console(&self, bytes: &[u8]) {
        /// What EC2 keeps of a console.
        const KEPT: usize = 64 * 1024;
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        console.extend_from_slice(bytes);
        if console.len() > KEPT {
            let surplus = console.len() - KEPT;
            console.drain(..surplus);
        }
    }

    /// The console's last 64 KiB.
    pub(crate) fn console(&self) -> Vec<u8> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
