//! The keeper of a service's processes: a process of its own, which starts the service's commands and adopts what they leave behind. So
//! the processes below it are the service's, however they have daemonized, where there is no cgroup to tell.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Rlimit, WaitOptions};
use rustix::thread::{Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::sandbox::accounts::{self, Account};
use crate::sandbox::kernel;
use crate::sandbox::wire::{End, receive, send};

use super::command_line::{CommandLine, environment_file};
use super::journal;
use super::service::{Output, Phase, Service};
use super::unit::UnitFiles;

/// Where programs without a directory are searched, and the `PATH` of services.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most processes of a service that are looked at.
const MOST_PROCESSES: usize = 65_536;

/// From the manager to a keeper: start the command of this number among those of its phase.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    phase: usize,
    index: usize,
    environment: Vec<(String, String)>,
}

/// From a keeper to the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    Ran(i32),
    NotRun(String),
    Exited(i32, End),
    /// There is no process left.
    Empty,
}

/// A running keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) pid: i32,
    /// Its reports, and the way to it; it ends when this is closed.
    pub(super) socket: OwnedFd,
}

/// What a keeper knows about its service.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub(super) unit: &'a str,
    pub(super) service: &'a Service,
    /// Whether the machine has more than one id.
    pub(super) is_switchable: bool,
}

const PHASES: [Phase; 6] = [
    Phase::StartPre,
    Phase::Start,
    Phase::StartPost,
    Phase::Reload,
    Phase::Stop,
    Phase::StopPost,
];

impl Keeper {
    /// Forks a keeper.
    pub(super) fn start(setting: &Setting<'_>) -> io::Result<Keeper> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        if let Some(pid) = kernel::fork()? {
            rustix::io::ioctl_fionbio(&ours, true)?;
            return Ok(Keeper {
                pid: pid.as_raw_nonzero().get(),
                socket: ours,
            });
        }
        let kept = rustix::stdio::dup2_stdin(&theirs)
            .map_err(io::Error::from)
            .and_then(|()| keep(setting));
        kernel::leave(i32::from(kept.is_err()))
    }

    /// Has it start a command.
    pub(super) fn run(&self, phase: Phase, index: usize, environment: Vec<(String, String)>) -> io::Result<()> {
        let order = Order {
            phase: phase as usize,
            index,
            environment,
        };
        send(self.socket.as_fd(), &order, &[], &[])
    }

    /// Its next report; nothing where there is none yet, an error when it is gone.
    pub(super) fn report(&self) -> io::Result<Option<Report>> {
        match receive::<Report>(self.socket.as_fd()) {
            Ok(Some(message)) => Ok(Some(message.content)),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The service's processes.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        let mut waiting = vec![self.pid];
        while let Some(parent) = waiting.pop() {
            for thread in fs::read_dir(format!("/proc/{parent}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
                waiting.extend(&children);
                found.extend(children);
            }
            if found.len() > MOST_PROCESSES {
                break;
            }
        }
        found
    }
}

/// What a keeper does until the manager lets go of it.
fn keep(setting: &Setting<'_>) -> io::Result<()> {
    kernel::close_from(3);
    rustix::thread::set_name(c"services-keeper")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let signals = kernel::signal_file(&[libc::SIGCHLD])?;
    let control = rustix::stdio::stdin();
    let mut is_populated = false;
    loop {
        let mut files = [
            PollFd::new(&control, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match rustix::event::poll(&mut files, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_asked = !files[0].revents().is_empty();
        while kernel::next_signal(&signals).is_some() {}
        while is_populated && let Some(report) = reap() {
            is_populated = report != Report::Empty;
            send(control, &report, &[], &[])?;
        }
        if is_asked {
            let Some(order) = receive::<Order>(control)? else {
                return Ok(());
            };
            let report = match spawn(setting, &order.content) {
                Ok(pid) => {
                    is_populated = true;
                    Report::Ran(pid)
                }
                Err(error) => Report::NotRun(error),
            };
            send(control, &report, &[], &[])?;
        }
    }
}

/// The next process that has ended, or that there is none left.
fn reap() -> Option<Report> {
    loop {
        return match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let end = match (status.exit_status(), status.terminating_signal()) {
                    (None, Some(signal)) => End::Signal(signal),
                    (status, _) => End::Status(status.unwrap_or(255)),
                };
                Some(Report::Exited(pid.as_raw_nonzero().get(), end))
            }
            Ok(None) => None,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => Some(Report::Empty),
        };
    }
}

/// Starts a command of the service; an error tells the step that failed.
fn spawn(setting: &Setting<'_>, order: &Order) -> Result<i32, String> {
    let service = setting.service;
    let phase = PHASES.get(order.phase).copied();
    let command = phase.and_then(|phase| service.commands(phase).get(order.index));
    let command = command.ok_or("there is no such command")?;
    let identity = Identity::of(setting, command)?;
    let directories = prepare_directories(service, &identity)?;
    let mut environment = environment(service, &identity)?;
    environment.extend(directories);
    environment.extend(order.environment.iter().cloned());
    let program = find_program(&command.program).ok_or_else(|| {
        format!(
            "Failed to locate executable {}: No such file or directory",
            command.program
        )
    })?;
    let mut arguments = command.arguments(&environment).into_iter();
    let mut process = Command::new(&program);
    process
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        .env_clear()
        .envs(&environment);
    let output =
        output(setting.unit, &service.output).map_err(|error| format!("Failed to set up standard output: {error}"))?;
    let error = match &service.error {
        Output::Inherit => output.try_clone(),
        own => self::output(setting.unit, own),
    };
    let error = error.map_err(|error| format!("Failed to set up standard error: {error}"))?;
    process.stdin(std::process::Stdio::null()).stdout(output).stderr(error);
    let preparation = Preparation::of(service, identity);
    kernel::before_execution(&mut process, move || preparation.take_effect());
    let child = process
        .spawn()
        .map_err(|error| format!("Failed to execute {}: {error}", program.display()))?;
    Ok(child.id().cast_signed())
}

/// Who a command runs as.
#[derive(Debug)]
struct Identity {
    account: Account,
    groups: Vec<u32>,
    /// Whether that is another than root, and there are others.
    is_switched: bool,
    has_user: bool,
}

impl Identity {
    fn of(setting: &Setting<'_>, command: &CommandLine) -> Result<Identity, String> {
        let service = setting.service;
        let user = service.user.as_deref().filter(|_| !command.privileged);
        let mut account = match user {
            None => Account::root(),
            Some(user) => {
                find_account(user).ok_or_else(|| format!("Failed to determine user credentials: no user `{user}`"))?
            }
        };
        let mut groups = if user.is_some() {
            accounts::groups(&account)
        } else {
            vec![0]
        };
        if !command.privileged {
            let find = |name: &str| {
                let id = name.parse().ok().or_else(|| accounts::group(name));
                id.ok_or_else(|| format!("Failed to determine group credentials: no group `{name}`"))
            };
            if let Some(group) = &service.group {
                account.gid = find(group)?;
            }
            for group in &service.supplementary_groups {
                groups.push(find(group)?);
            }
        }
        Ok(Identity {
            is_switched: setting.is_switchable && (account.uid, account.gid, groups.as_slice()) != (0, 0, &[0]),
            has_user: user.is_some(),
            account,
            groups,
        })
    }
}

/// A user by name or by number.
fn find_account(user: &str) -> Option<Account> {
    accounts::find(user).or_else(|| {
        let uid = user.parse().ok()?;
        Some(Account {
            name: user.to_owned(),
            uid,
            gid: uid,
            ..Account::root()
        })
    })
}

/// Makes the directories that the service owns, and answers the variables that name them.
fn prepare_directories(service: &Service, identity: &Identity) -> Result<BTreeMap<String, String>, String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for directory in &service.directories {
        let path = Path::new(&directory.path);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .and_then(|()| {
                fs::set_permissions(path, fs::Permissions::from_mode(directory.mode))?;
                let account = &identity.account;
                if identity.is_switched && directory.variable != "CONFIGURATION_DIRECTORY" {
                    chown(path, Some(account.uid), Some(account.gid))?;
                }
                Ok(())
            });
        made.map_err(|error| format!("Failed to create {}: {error}", directory.path))?;
        let value = variables.entry(directory.variable.to_owned()).or_default();
        if !value.is_empty() {
            value.push(':');
        }
        value.push_str(&directory.path);
    }
    Ok(variables)
}

fn environment(service: &Service, identity: &Identity) -> Result<BTreeMap<String, String>, String> {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    if identity.has_user {
        let account = &identity.account;
        for (name, value) in [
            ("USER", account.name.clone()),
            ("LOGNAME", account.name.clone()),
            ("HOME", account.home.display().to_string()),
            ("SHELL", account.shell.display().to_string()),
        ] {
            environment.insert(name.to_owned(), value);
        }
    }
    environment.extend(service.environment.iter().cloned());
    for (path, may_miss) in &service.environment_files {
        match UnitFiles::below(Path::new("/")).read(path) {
            Some(text) => environment.extend(environment_file(&text)),
            None if *may_miss => {}
            None => return Err(format!("Failed to load environment file {path}")),
        }
    }
    Ok(environment)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_file());
    if name.starts_with('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    PATH.split(':')
        .map(|directory| Path::new(directory).join(name))
        .find(is_program)
}

fn output(unit: &str, output: &Output) -> io::Result<File> {
    let null = || OpenOptions::new().write(true).open("/dev/null");
    match output {
        Output::Null => null(),
        // A service whose log cannot be written runs all the same.
        Output::Journal | Output::Inherit => journal::open(unit).or_else(|_| null()),
        Output::File { path, append, truncate } => {
            let mut options = OpenOptions::new();
            options
                .write(true)
                .create(true)
                .append(*append)
                .truncate(*truncate)
                .mode(0o644);
            options.custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)
        }
    }
}

/// What a new process does to itself before it executes its program.
struct Preparation {
    identity: Identity,
    umask: u32,
    nice: Option<i32>,
    limits: Vec<(rustix::process::Resource, Option<u64>, Option<u64>)>,
    directory: PathBuf,
    may_miss: bool,
}

impl Preparation {
    fn of(service: &Service, identity: Identity) -> Preparation {
        let (directory, may_miss) = match &service.working_directory {
            None => (PathBuf::from("/"), false),
            Some((path, may_miss)) if path == "~" => (identity.account.home.clone(), *may_miss),
            Some((path, may_miss)) => (PathBuf::from(path), *may_miss),
        };
        Preparation {
            umask: service.umask,
            nice: service.nice,
            limits: service.limits.clone(),
            identity,
            directory,
            may_miss,
        }
    }

    fn take_effect(&self) -> io::Result<()> {
        kernel::reset_signals();
        rustix::process::setsid()?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(self.umask));
        for (resource, soft, hard) in &self.limits {
            // Nobody in a machine can raise a limit that was set around it.
            let most = rustix::process::getrlimit(*resource).maximum;
            let within = |value: &Option<u64>| match (*value, most) {
                (Some(value), Some(most)) => Some(value.min(most)),
                (value, most) => value.or(most),
            };
            let limit = Rlimit {
                current: within(soft),
                maximum: within(hard),
            };
            rustix::process::setrlimit(*resource, limit)?;
        }
        if let Some(nice) = self.nice {
            rustix::process::setpriority_process(None, nice).ok(); // better than usual is not for machines
        }
        if self.identity.is_switched {
            let account = &self.identity.account;
            let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
            let groups: Vec<Gid> = self.identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        let entered = std::env::set_current_dir(&self.directory);
        if self.may_miss { Ok(()) } else { entered }
    }
}
