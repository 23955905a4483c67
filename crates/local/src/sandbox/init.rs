//! The machine's init: boots it, starts what the parent asks for, reaps what ends, and powers off.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{WaitOptions, WaitStatus};

use super::accounts::{self, Residents};
use super::failure::{Failure, Step as _};
use super::mounts::Root;
use super::wire::{End, MachineStart, Message, Report, Request, receive, send};
use super::{boot, execute, first_boot, kernel, services};

/// How long processes have between the friendly and the final signal.
const GRACE: Duration = Duration::from_secs(2);
/// How long the manager of services has to stop them; it takes less by itself.
const SERVICES_GRACE: Duration = Duration::from_secs(12);
/// How often the manager of services is started again in one boot.
const MOST_RESTARTS: u32 = 5;
/// systemd's `SIGRTMIN+4` and busybox's and sysvinit's signals for the same.
const POWER_OFF: [i32; 4] = [38, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPWR];
/// systemd's `SIGRTMIN+5`, and what busybox sends to its init for a reboot.
const REBOOT: [i32; 2] = [39, libc::SIGTERM];

struct Init<'a> {
    control: &'a OwnedFd,
    signals: OwnedFd,
    machine: &'a MachineStart,
    /// The root that was built; nothing without isolation.
    root: Option<&'a Root>,
    residents: Residents,
    /// Which process is which run.
    runs: HashMap<i32, u64>,
    services: Services,
}

/// The process that manages services.
#[derive(Default)]
struct Services {
    pid: Option<i32>,
    restarts: u32,
    is_stopping: bool,
}

/// What the main loop goes on with.
enum Next {
    Continue,
    End,
}

/// Boots and serves until the machine powers off or the parent is gone.
pub(super) fn run(control: &OwnedFd, machine: &MachineStart, root: &Root) -> Result<(), Failure> {
    rustix::thread::set_name(c"init").step("name init")?;
    let signals =
        kernel::signal_file(&[&[libc::SIGCHLD][..], &POWER_OFF, &REBOOT].concat()).step("listen for signals")?;
    let null = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .step("open `/dev/null`")?;
    rustix::stdio::dup2_stdin(&null).step("close standard input")?;
    rustix::stdio::dup2_stdout(&null).step("close standard output")?;
    rustix::stdio::dup2_stderr(&null).step("close standard error")?;
    drop(null);
    boot::boot(machine, root.shims.sudo)?;
    let mut init = Init {
        control,
        signals,
        machine,
        root: Some(root),
        residents: Residents::OfRoot,
        runs: HashMap::new(),
        services: Services::default(),
    };
    init.start_services();
    init.serve()
}

/// A machine without isolation: processes of this machine itself, of which only the home directories are the machine's own.
pub(super) fn run_bare(control: &OwnedFd, machine: &MachineStart) -> Result<(), Failure> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("adopt orphans")?;
    let signals = kernel::signal_file(&[libc::SIGCHLD]).step("listen for signals")?;
    let homes = machine.store.join(&machine.directory).join("fs/home");
    let names: Vec<String> = machine.users.iter().cloned().chain(["root".into()]).collect();
    for name in &names {
        if !accounts::is_valid_name(name) {
            return Err(Failure {
                step: format!("create user `{name}`"),
                error: io::Error::other("not a valid name"),
            });
        }
        fs::create_dir_all(homes.join(name)).step(format!("create the home directory of `{name}`"))?;
    }
    let residents = Residents::Ourselves { homes, names };
    let mut init = Init {
        control,
        signals,
        machine,
        root: None,
        residents,
        runs: HashMap::new(),
        services: Services::default(),
    };
    let outcome = init.serve();
    init.end_processes(); // no namespace ends them with us
    outcome
}

impl Init<'_> {
    fn serve(&mut self) -> Result<(), Failure> {
        self.report(&Report::Booted, &[]);
        loop {
            let mut files = [
                PollFd::new(self.control, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            match rustix::event::poll(&mut files, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).step("wait for requests"),
            }
            let (asked, signalled) = (!files[0].revents().is_empty(), !files[1].revents().is_empty());
            if signalled && matches!(self.handle_signals()?, Next::End) {
                return Ok(());
            }
            if asked {
                match receive::<Request>(self.control.as_fd()) {
                    Ok(Some(message)) => {
                        if matches!(self.handle(message), Next::End) {
                            return Ok(());
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).step("read a request"),
                }
            }
        }
    }

    fn handle(&mut self, message: Message<Request>) -> Next {
        match message.content {
            Request::Run(mut run) => {
                run.environment.splice(0..0, self.machine.environment.iter().cloned());
                match execute::start(&run, message.bytes, message.files, &self.residents, self.machine.ids) {
                    Ok(started) => {
                        self.runs.insert(started.pid.as_raw_nonzero().get(), run.id);
                        let files: Vec<_> = started.master.iter().map(|master| master.as_fd()).collect();
                        send(self.control.as_fd(), &Report::Started { id: run.id }, &[], &files).ok();
                    }
                    Err(error) => self.report(
                        &Report::Refused {
                            id: run.id,
                            error: error.to_string(),
                        },
                        &[],
                    ),
                }
            }
            Request::Signal { id, signal } => {
                if let Some((pid, _)) = self.runs.iter().find(|(_, run)| **run == id) {
                    kernel::kill(-pid, signal).ok();
                }
            }
            Request::Account { id, user } => {
                let known = self.residents.find(&user).is_some();
                self.report(&Report::Account { id, known }, &[]);
            }
            Request::Connect { id, port } => match self.connect(port) {
                Ok(socket) => {
                    send(self.control.as_fd(), &Report::Started { id }, &[], &[socket.as_fd()]).ok();
                }
                Err(error) => self.report(
                    &Report::Refused {
                        id,
                        error: error.to_string(),
                    },
                    &[],
                ),
            },
            Request::FirstBoot => self.start_first_boot(&message.files),
            Request::Stop => {
                self.end_processes();
                return Next::End;
            }
            Request::Start(_) | Request::Mapped { .. } | Request::Attached { .. } => {}
        }
        Next::Continue
    }

    /// Begins a connection in the machine's network. Without isolation it has none: what answers would be a service of the host.
    fn connect(&self, port: u16) -> io::Result<OwnedFd> {
        use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType, connect, socket_with};
        if self.root.is_none() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        let address = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        match connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error.into()),
        }
    }

    fn start_first_boot(&self, files: &[OwnedFd]) {
        let [plan, output] = files else { return };
        let started = first_boot::start(plan, output, &self.residents, self.machine, self.root.is_some());
        if let Err(error) = started {
            self.report(&Report::Console, format!("user data: {error}\n").as_bytes());
        }
    }

    fn handle_signals(&mut self) -> Result<Next, Failure> {
        while let Some(signal) = kernel::next_signal(&self.signals) {
            if signal == libc::SIGCHLD {
                self.reap();
            } else if POWER_OFF.contains(&signal) {
                self.end_processes();
                return Ok(Next::End);
            } else if let Some(root) = self.root.filter(|_| REBOOT.contains(&signal)) {
                self.report(&Report::Rebooting, &[]);
                self.end_processes();
                boot::boot(self.machine, root.shims.sudo)?;
                self.services = Services::default();
                self.start_services();
                // What the first boot has left undone stays so, as with cloud-init.
                if let Err(error) = first_boot::finish(&[]) {
                    self.report(
                        &Report::Console,
                        format!("failed to finish the boot: {error}\n").as_bytes(),
                    );
                }
                self.report(&Report::Booted, &[]);
            }
        }
        Ok(Next::Continue)
    }

    /// Collects what has ended; whether anything is left.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get();
                    if let Some(id) = self.runs.remove(&pid) {
                        self.report(&Report::Exited { id, end: end(status) }, &[]);
                    } else if self.services.pid == Some(pid) {
                        self.lose_services();
                    }
                }
                Ok(None) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Starts the manager of services. A machine boots without it as well.
    fn start_services(&mut self) {
        let Some(root) = self.root else { return };
        match services::start(self.machine.ids > 1, &root.enabled_by_host) {
            Ok(pid) => self.services.pid = Some(pid.as_raw_nonzero().get()),
            Err(error) => self.report(
                &Report::Console,
                format!("failed to start the manager of services: {error}\n").as_bytes(),
            ),
        }
    }

    /// The manager of services has ended: it was asked to, or it was killed.
    fn lose_services(&mut self) {
        self.services.pid = None;
        if !self.services.is_stopping && self.services.restarts < MOST_RESTARTS {
            self.services.restarts += 1;
            self.report(
                &Report::Console,
                b"the manager of services has ended and is started again\n",
            );
            self.start_services();
        }
    }

    /// Has the services stopped in their order.
    fn stop_services(&mut self) {
        self.services.is_stopping = true;
        let Some(pid) = self.services.pid else { return };
        kernel::kill(pid, libc::SIGTERM).ok(); // when it is gone, that is noticed below
        let deadline = Instant::now() + SERVICES_GRACE;
        while self.reap() && self.services.pid.is_some() && Instant::now() < deadline {
            self.pause(Duration::from_millis(50));
        }
    }

    /// Waits for a signal, for a while.
    fn pause(&self, most: Duration) {
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(most.subsec_nanos().max(1_000_000)),
        };
        let mut files = [PollFd::new(&self.signals, PollFlags::IN)];
        rustix::event::poll(&mut files, Some(&pause)).ok();
        while kernel::next_signal(&self.signals).is_some() {}
    }

    /// Ends everyone but init, with a grace period; the services first.
    fn end_processes(&mut self) {
        self.stop_services();
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGCONT] {
            self.signal_everyone(signal);
        }
        let deadline = Instant::now() + GRACE;
        while self.reap() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.signal_everyone(libc::SIGKILL);
            }
            self.pause(left.min(Duration::from_millis(50)));
        }
    }

    /// Signals everyone but init.
    fn signal_everyone(&self, signal: i32) {
        if self.root.is_some() {
            kernel::kill(-1, signal).ok(); // nobody there is as good
            return;
        }
        let mut waiting = vec![rustix::process::getpid().as_raw_nonzero().get()];
        while let Some(parent) = waiting.pop() {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            for child in children
                .split_whitespace()
                .filter_map(|child| child.parse::<i32>().ok())
            {
                waiting.push(child);
                kernel::kill(child, signal).ok();
            }
        }
    }

    fn report(&self, report: &Report, bytes: &[u8]) {
        // A parent that is gone is noticed where requests are read.
        send(self.control.as_fd(), report, bytes, &[]).ok();
    }
}

fn end(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => End::Status(status),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Status(255),
    }
}
