//! The process of the manager: it waits for processes, time and clients, and answers these.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with,
};
use rustix::process::WaitOptions;

use crate::sandbox::kernel;

use super::activation::Target;
use super::answers::{self, Answer};
use super::client;
use super::enabling::Enabling;
use super::manager::{Manager, Refusal, enabled_at_boot};
use super::request::{LogRequest, Request};
use super::service;
use super::unit::full_name;

/// The most clients at a time.
const MOST_CLIENTS: usize = 64;
/// The longest request: all arguments with a NUL after each.
const LONGEST_REQUEST: usize = 64 * 1024;
/// How much of an answer goes at a time, and how long one may be.
const PACKET: usize = 16 * 1024;
const LONGEST_ANSWER: usize = 1 << 20;
/// How long a client may take to ask.
const ASKING: Duration = Duration::from_secs(5);
/// How long a client may take to read its answer.
const IDLE: Duration = Duration::from_secs(30);
/// How long services have to stop when the machine does.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// The exit code that leaves a request to the root's own `systemctl`.
const NOT_OURS: u8 = 250;
/// What only needs files, of which the root's own `systemctl` knows more.
const OF_FILES: [&str; 13] = [
    "preset",
    "preset-all",
    "link",
    "revert",
    "add-wants",
    "add-requires",
    "edit",
    "set-default",
    "get-default",
    "list-dependencies",
    "list-machines",
    "help",
    "bind",
];
/// What concerns units, and only root may ask for.
const OF_UNITS: [&str; 17] = [
    // It shows files that others may not be able to read.
    "cat",
    "start",
    "stop",
    "restart",
    "try-restart",
    "condrestart",
    "reload",
    "force-reload",
    "reload-or-restart",
    "reload-or-try-restart",
    "try-reload-or-restart",
    "kill",
    "enable",
    "reenable",
    "disable",
    "mask",
    "unmask",
];
/// What concerns the machine, and only root may ask for.
const OF_ROOT: [&str; 11] = [
    "reset-failed",
    "daemon-reload",
    "daemon-reexec",
    "poweroff",
    "halt",
    "reboot",
    "isolate",
    "default",
    "rescue",
    "emergency",
    "kexec",
];
/// What everybody may ask about units.
const QUESTIONS: [&str; 3] = ["is-active", "is-failed", "is-enabled"];

/// A connected `systemctl`.
#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    is_root: bool,
    packets: VecDeque<Vec<u8>>,
    /// Its jobs that are under way, by unit, and what is printed about those that have failed.
    pending: Option<(usize, Answer)>,
    is_answered: bool,
    deadline: Instant,
}

struct Server {
    manager: Manager,
    listener: OwnedFd,
    signals: OwnedFd,
    clients: BTreeMap<u64, Client>,
    next: u64,
    end: Option<Instant>,
}

/// The socket that clients connect to; made before the manager's process, so that there is no moment without.
pub(super) fn listen_for_clients() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    fs::remove_file(client::SOCKET).ok();
    bind(&listener, &SocketAddrUnix::new(client::SOCKET)?)?;
    // Everybody may ask; who may have something done is decided by who asks.
    fs::set_permissions(client::SOCKET, fs::Permissions::from_mode(0o666))?;
    listen(&listener, 64)?;
    Ok(listener)
}

/// Serves until the machine stops. The services that a boot starts are those enabled besides `had`.
pub(super) fn serve(listener: OwnedFd, is_switchable: bool, had: &BTreeSet<PathBuf>) -> io::Result<()> {
    let signals = kernel::signal_file(&[libc::SIGCHLD, libc::SIGTERM])?;
    rustix::thread::set_name(c"services")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut server = Server {
        manager: Manager::new(is_switchable),
        listener,
        signals,
        clients: BTreeMap::new(),
        next: 1,
        end: None,
    };
    let mut units = enabled_at_boot(&server.manager.files, had);
    units.retain(|unit| server.manager.find(unit).is_ok());
    server.manager.start(&units, None, Instant::now());
    server.run()
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            let now = Instant::now();
            while let Some(signal) = kernel::next_signal(&self.signals) {
                if signal == libc::SIGTERM && self.end.is_none() {
                    self.end = Some(now + SHUTDOWN);
                    self.manager.stop_everything(now);
                }
            }
            // Keepers, and what they have left.
            while matches!(rustix::process::wait(WaitOptions::NOHANG), Ok(Some(_))) {}
            let names: BTreeSet<(String, bool)> = self
                .manager
                .sources()
                .into_iter()
                .map(|(name, is_notice, _)| (name, is_notice))
                .collect();
            for (name, is_notice) in names {
                if is_notice {
                    self.manager.read_notices(&name, now);
                } else {
                    self.manager.read_reports(&name, now);
                }
            }
            self.manager.tick(now);
            self.accept(now);
            self.read_requests(now);
            self.take_ended();
            self.write_answers(now);
            let is_down = self.manager.loaded.values().all(|loaded| loaded.activation.is_down());
            if self.end.is_some_and(|end| end <= now || is_down) {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> io::Result<()> {
        let now = Instant::now();
        let sources = self.manager.sources();
        let mut files = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if self.clients.len() < MOST_CLIENTS {
            files.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        files.extend(sources.iter().map(|(_, _, file)| PollFd::new(*file, PollFlags::IN)));
        for client in self.clients.values() {
            let flags = if client.packets.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::OUT
            };
            files.push(PollFd::new(&client.socket, flags));
        }
        let deadlines = self
            .clients
            .values()
            .filter(|client| client.pending.is_none())
            .map(|client| client.deadline);
        let next = deadlines.chain(self.manager.next_tick(now)).chain(self.end).min();
        let timeout = next.map(|next| {
            let left = next.saturating_duration_since(now).max(Duration::from_millis(1));
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match rustix::event::poll(&mut files, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn accept(&mut self, now: Instant) {
        while self.clients.len() < MOST_CLIENTS {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Ok(socket) = accept_with(&self.listener, flags) else {
                return;
            };
            let is_root = rustix::net::sockopt::socket_peercred(&socket).is_ok_and(|peer| peer.uid.is_root());
            let client = Client {
                socket,
                is_root,
                packets: VecDeque::new(),
                pending: None,
                is_answered: false,
                deadline: now + ASKING,
            };
            self.clients.insert(self.next, client);
            self.next += 1;
        }
    }

    fn read_requests(&mut self, now: Instant) {
        let mut buffer = vec![0_u8; LONGEST_REQUEST];
        let ids: Vec<u64> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(client) = self.clients.get(&id) else { continue };
            match recv(&client.socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((_, length)) if length > 0 && !client.is_answered && client.pending.is_none() => {
                    let answer = match buffer.get(..length) {
                        Some(request) => self.handle(id, request, now),
                        None => Some(Answer::failed(1, "systemctl: the arguments are too long")),
                    };
                    if let Some(answer) = answer {
                        self.answer(id, &answer, now);
                    }
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                // One that is gone, or that goes on asking.
                _ => drop(self.clients.remove(&id)),
            }
        }
    }

    /// What a client gets at once; nothing if it waits for jobs.
    fn handle(&mut self, id: u64, request: &[u8], now: Instant) -> Option<Answer> {
        let words = request
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned());
        let mut words: Vec<String> = words.collect();
        words.pop(); // after the last NUL
        let (program, arguments) = words.split_first()?;
        let is_root = self.clients.get(&id).is_some_and(|client| client.is_root);
        if program.ends_with("/journalctl") {
            let request = LogRequest::parse(arguments);
            return Some(if request.is_foreign {
                not_ours()
            } else {
                answers::logs(&request)
            });
        }
        let mut request = Request::parse(arguments);
        if request.is_foreign || OF_FILES.contains(&request.verb.as_str()) {
            return Some(not_ours());
        }
        if !is_root && OF_UNITS.iter().chain(&OF_ROOT).any(|verb| *verb == request.verb) {
            let verb = &request.verb;
            return Some(Answer::failed(
                1,
                &format!("Failed to {verb}: Access denied: only root may ask for this; use sudo."),
            ));
        }
        if !is_root {
            // Logs are root's.
            request.lines = Some(0);
        }
        self.expand_patterns(&mut request);
        self.dispatch(id, &request, now)
    }

    /// Replaces names with `*` by those of services that are known.
    fn expand_patterns(&self, request: &mut Request) {
        if request.verb.starts_with("list-") {
            return;
        }
        let units = std::mem::take(&mut request.units);
        for unit in units {
            if unit.contains('*') {
                let known = self.manager.loaded.keys().filter(|name| answers::is_like(name, &unit));
                request.units.extend(known.cloned());
            } else {
                request.units.push(unit);
            }
        }
    }

    fn dispatch(&mut self, id: u64, request: &Request, now: Instant) -> Option<Answer> {
        let needs_units = OF_UNITS.iter().chain(&QUESTIONS).any(|verb| *verb == request.verb);
        if needs_units && request.units.is_empty() {
            return Some(Answer::failed(1, &format!("{}: too few arguments", request.verb)));
        }
        Some(match request.verb.as_str() {
            "start"
            | "stop"
            | "restart"
            | "try-restart"
            | "condrestart"
            | "reload"
            | "force-reload"
            | "reload-or-restart"
            | "reload-or-try-restart"
            | "try-reload-or-restart" => return self.begin(id, request, Answer::default(), now),
            "enable" | "reenable" | "disable" | "mask" | "unmask" => return self.change(id, request, now),
            "status" if request.units.is_empty() => answers::overview(&self.manager),
            "status" => answers::status(&self.manager, &self.enabling(request), request),
            "show" => answers::show(&self.manager, &self.enabling(request), request),
            "is-active" | "is-failed" => answers::is_in_state(&self.manager, request),
            "is-enabled" => answers::is_enabled(&self.enabling(request), request),
            "is-system-running" => answers::is_system_running(&self.manager, request),
            "cat" => answers::cat(&self.manager, request),
            "" | "list-units" => answers::list_units(&self.manager, request),
            "list-unit-files" => answers::list_unit_files(&self.manager, &self.enabling(request), request),
            // Unit files are read when a unit starts.
            "daemon-reload" | "daemon-reexec" => Answer::default(),
            "reset-failed" => self.reset_failed(request),
            "kill" => self.kill(request),
            "poweroff" | "halt" => power(38),
            "reboot" => power(39),
            "list-sockets" | "list-timers" | "list-jobs" => Answer {
                output: format!("0 {} listed.\n", request.verb.trim_start_matches("list-")),
                ..Answer::default()
            },
            other => Answer::failed(
                1,
                &format!(
                    "systemctl {other} is not supported by the init of the local cloud, which runs services without systemd"
                ),
            ),
        })
    }

    fn enabling(&self, request: &Request) -> Enabling<'_> {
        Enabling {
            files: &self.manager.files,
            specifiers: self.manager.specifiers(""),
            is_runtime: request.is_runtime,
        }
    }

    fn reset_failed(&mut self, request: &Request) -> Answer {
        for (name, loaded) in &mut self.manager.loaded {
            if request.units.is_empty() || request.units.iter().any(|unit| *name == full_name(unit)) {
                loaded.activation.reset_failed();
            }
        }
        Answer::default()
    }

    fn kill(&self, request: &Request) -> Answer {
        let Some(number) = service::signal(request.signal.as_deref().unwrap_or("TERM")) else {
            return Answer::failed(1, "Failed to parse signal string.");
        };
        let target = match request.whom.as_deref() {
            Some("main") => Target::Main,
            Some("control") => Target::Control,
            _ => Target::All,
        };
        let mut answer = Answer::default();
        for unit in &request.units {
            let name = self
                .manager
                .find(unit)
                .map_or_else(|_| full_name(unit), |unit| unit.name);
            if !self.manager.signal(&name, target, number) {
                answer = Answer::failed(1, &format!("Failed to kill unit {name}: Unit {name} is not running."));
            }
        }
        answer
    }

    /// `enable` and its kin, and then `--now`.
    fn change(&mut self, id: u64, request: &Request, now: Instant) -> Option<Answer> {
        let mut answer = Answer::default();
        let enabling = self.enabling(request);
        for unit in &request.units {
            // A file elsewhere, or a script of System V's.
            if unit.contains('/') || enabling.state(unit) == Some("generated") && request.verb.ends_with("able") {
                return Some(not_ours());
            }
            let printed = match request.verb.as_str() {
                "enable" => enabling.enable(unit),
                "reenable" => enabling.disable(unit).and_then(|_| enabling.enable(unit)),
                "disable" => enabling.disable(unit),
                "mask" => enabling.mask(unit),
                _ => enabling.unmask(unit),
            };
            match printed {
                Ok(lines) if !request.is_quiet => answer.error.extend(lines.iter().flat_map(|line| [line, "\n"])),
                Ok(_) => {}
                Err(error) => {
                    answer.error = answer.error + &error + "\n";
                    answer.status = 1;
                }
            }
        }
        if !request.is_now || answer.status != 0 || request.verb == "unmask" {
            return Some(answer);
        }
        let verb = if request.verb.ends_with("enable") && request.verb != "disable" {
            "start"
        } else {
            "stop"
        };
        let request = Request {
            verb: verb.to_owned(),
            ..request.clone()
        };
        self.begin(id, &request, answer, now)
    }

    /// Begins jobs; what they print comes after what is printed already.
    fn begin(&mut self, id: u64, request: &Request, mut answer: Answer, now: Instant) -> Option<Answer> {
        if self.manager.is_full() {
            return Some(Answer::failed(1, "Failed to begin a job: there are too many already."));
        }
        if self.manager.is_stopping {
            return Some(Answer::failed(
                1,
                "Failed to begin a job: the instance is shutting down.",
            ));
        }
        let verb = request.verb.as_str();
        let mut units = Vec::new();
        for name in &request.units {
            match self.manager.find(name) {
                Ok(unit) => units.push(unit.name),
                // What is masked, or gone, can be stopped all the same.
                Err(_) if verb == "stop" && self.manager.loaded.contains_key(&full_name(name)) => {
                    units.push(full_name(name));
                }
                Err(Refusal::Masked(_) | Refusal::Kind(_)) if verb == "stop" => {}
                Err(refusal) => {
                    let name = full_name(name);
                    let known = if verb == "stop" {
                        format!("Unit {name} not loaded.")
                    } else {
                        refusal.to_string()
                    };
                    answer.error += &["Failed to ", verb, " ", &name, ": ", &known, "\n"].concat();
                    answer.status = if matches!(refusal, Refusal::Missing(_)) { 5 } else { 1 };
                }
            }
        }
        if verb.contains("try") || verb == "condrestart" {
            units.retain(|unit| self.manager.is_active(unit));
        }
        units.dedup();
        if let Some(client) = self
            .clients
            .get_mut(&id)
            .filter(|_| !request.waits_not && !units.is_empty())
        {
            client.pending = Some((units.len(), answer.clone()));
        }
        let client = Some(id).filter(|_| !request.waits_not);
        match verb {
            "start" => self.manager.start(&units, client, now),
            "stop" => self.manager.stop(&units, client, now),
            "restart" | "try-restart" | "condrestart" => self.manager.restart(&units, client, now),
            "reload" => self.manager.reload(&units, client, now),
            // Reloaded where that is possible.
            _ => {
                let (reloaded, restarted): (Vec<String>, Vec<String>) = units.iter().cloned().partition(|unit| {
                    let loaded = self.manager.loaded.get(unit);
                    loaded.is_some_and(|loaded| {
                        loaded.activation.is_up()
                            && !loaded.activation.service.commands(service::Phase::Reload).is_empty()
                    })
                });
                self.manager.reload(&reloaded, client, now);
                if !restarted.is_empty() {
                    self.manager.restart(&restarted, client, now);
                }
            }
        }
        (request.waits_not || units.is_empty()).then_some(answer)
    }

    /// Gives clients the ends of their jobs.
    fn take_ended(&mut self) {
        for ended in self.manager.take_ended() {
            let failure = answers::failure(&self.manager, &ended);
            let Some(client) = self.clients.get_mut(&ended.client) else {
                continue;
            };
            let Some((left, answer)) = &mut client.pending else {
                continue;
            };
            *left = left.saturating_sub(1);
            if let Some(failure) = failure {
                answer.error = std::mem::take(&mut answer.error) + &failure + "\n";
                answer.status = answer.status.max(1);
            }
            if *left == 0
                && let Some((_, answer)) = client.pending.take()
            {
                self.answer(ended.client, &answer, Instant::now());
            }
        }
    }

    fn answer(&mut self, id: u64, answer: &Answer, now: Instant) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        for (stream, text) in [(1, &answer.output), (2, &answer.error)] {
            let bytes = text.as_bytes().get(..LONGEST_ANSWER).unwrap_or(text.as_bytes());
            for part in bytes.chunks(PACKET) {
                client.packets.push_back([&[stream], part].concat());
            }
        }
        client.packets.push_back(vec![0, answer.status]);
        client.is_answered = true;
        client.deadline = now + IDLE;
    }

    fn write_answers(&mut self, now: Instant) {
        self.clients.retain(|_, client| {
            while let Some(packet) = client.packets.front() {
                match send(&client.socket, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                    Ok(_) => {
                        client.packets.pop_front();
                        client.deadline = now + IDLE;
                    }
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            let is_done = client.is_answered && client.packets.is_empty();
            !is_done && (client.pending.is_some() || client.deadline > now)
        });
    }
}

fn not_ours() -> Answer {
    Answer {
        status: NOT_OURS,
        ..Answer::default()
    }
}

/// Asks init for the end or a new boot, by systemd's signals for that.
fn power(signal: i32) -> Answer {
    match kernel::kill(1, signal) {
        Ok(()) => Answer::default(),
        Err(error) => Answer::failed(1, &format!("systemctl: failed to signal init: {error}")),
    }
}

/// Fills the directory of `/run` that tells programs what the init is, and puts the clients there.
pub(super) fn prepare() -> io::Result<()> {
    let Some(program) = client::program() else {
        return Ok(());
    };
    fs::create_dir_all("/run/systemd/system")?;
    for name in client::NAMES {
        let path = Path::new("/run/bakelite").join(name);
        fs::write(&path, &program)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
