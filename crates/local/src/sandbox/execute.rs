//! Starting processes in the machine, as a login user.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Pid;
use rustix::thread::{Gid, Uid};

use super::accounts::{self, Account, Residents};
use super::wire::{MachineStart, Program, Run, Streams, streams};
use super::{kernel, sftp, terminal};

/// The search path of a login, as Debian's and Amazon Linux's sshd set it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Who a process runs as.
#[derive(Clone, Debug)]
struct Identity {
    account: Account,
    groups: Vec<u32>,
    /// Whether the machine has more than one id; if not, everyone is id 0.
    switchable: bool,
}

/// A started run.
#[derive(Debug)]
pub(super) struct Started {
    /// Its process, which leads its process group.
    pub(super) pid: Pid,
    /// Its terminal's master.
    pub(super) master: Option<OwnedFd>,
}

/// Starts a run.
pub(super) fn start(
    run: &Run,
    command: Vec<u8>,
    files: Vec<OwnedFd>,
    residents: &Residents,
    ids: u32,
) -> io::Result<Started> {
    let account = residents
        .find(&run.user)
        .ok_or_else(|| io::Error::other(format!("no user `{}`", run.user)))?;
    let identity = Identity {
        groups: accounts::groups(&account),
        account,
        switchable: ids > 1,
    };
    if let Some(wanted) = &run.terminal {
        let (master, side, path) = terminal::open(wanted)?;
        if identity.switchable {
            accounts::own_terminal(Path::new(&path), &identity.account);
        }
        let mut program = program(run, command, &identity)?;
        program.env("TERM", &wanted.term).env("SSH_TTY", &path);
        let three = Streams {
            input: side.try_clone()?,
            output: side.try_clone()?,
            error: side,
        };
        return Ok(Started {
            pid: spawn(program, three, identity, true)?,
            master: Some(master),
        });
    }
    let three = streams(files).ok_or_else(|| io::Error::other("a run without streams"))?;
    let pid = match run.program {
        Program::Sftp => serve_sftp(&three, &identity)?,
        _ => spawn(program(run, command, &identity)?, three, identity, false)?,
    };
    Ok(Started { pid, master: None })
}

/// Starts a script as root, with the output of this process.
pub(super) fn start_script(
    path: &Path,
    arguments: &[String],
    residents: &Residents,
    machine: &MachineStart,
) -> io::Result<Pid> {
    let account = residents.find("root").unwrap_or_else(Account::root);
    let identity = Identity {
        groups: vec![0],
        account,
        switchable: machine.ids > 1,
    };
    let mut command = Command::new(path);
    command.args(arguments);
    set_environment(&mut command, &identity.account);
    command.env("INSTANCE_ID", &machine.instance);
    command.envs(machine.environment.iter().map(|(name, value)| (name, value)));
    let input = fs::File::open("/dev/null")?.into();
    spawn(
        command,
        Streams {
            input,
            output: rustix::stdio::stdout().try_clone_to_owned()?,
            error: rustix::stdio::stderr().try_clone_to_owned()?,
        },
        identity,
        false,
    )
}

fn program(run: &Run, command: Vec<u8>, identity: &Identity) -> io::Result<Command> {
    let account = &identity.account;
    let shell_name = account
        .shell
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut program = Command::new(&account.shell);
    match run.program {
        Program::Shell => {
            program.arg0(format!("-{shell_name}"));
        }
        Program::Command => {
            program.arg0(shell_name).arg("-c").arg(OsString::from_vec(command));
        }
        Program::Arguments => {
            let mut arguments = command
                .split(|byte| *byte == 0)
                .map(|argument| OsString::from_vec(argument.to_vec()));
            program = Command::new(arguments.next().unwrap_or_default());
            program.args(arguments);
        }
        Program::Sftp => return Err(io::Error::other("SFTP on a terminal")),
    }
    set_environment(&mut program, account);
    program.envs(run.environment.iter().map(|(name, value)| (name, value)));
    Ok(program)
}

fn set_environment(command: &mut Command, account: &Account) {
    command.env_clear().env("PATH", PATH);
    for line in fs::read_to_string("/etc/environment").unwrap_or_default().lines() {
        let line = line.trim();
        if let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=')
            && !name.is_empty()
            && !name.starts_with('#')
        {
            command.env(name, value.trim_matches(['"', '\'']));
        }
    }
    command
        .env("HOME", &account.home)
        .env("USER", &account.name)
        .env("LOGNAME", &account.name)
        .env("SHELL", &account.shell);
}

fn spawn(mut command: Command, streams: Streams, identity: Identity, on_terminal: bool) -> io::Result<Pid> {
    command
        .stdin(streams.input)
        .stdout(streams.output)
        .stderr(streams.error);
    kernel::before_execution(&mut command, move || {
        kernel::reset_signals();
        rustix::process::setsid()?;
        if on_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        identity.take_on()
    });
    let child = command.spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without id"))
}

/// Forks a process that serves SFTP on its standard streams.
fn serve_sftp(streams: &Streams, identity: &Identity) -> io::Result<Pid> {
    if let Some(pid) = kernel::fork()? {
        return Ok(pid);
    }
    let prepared = || -> io::Result<()> {
        kernel::reset_signals();
        rustix::process::setsid()?;
        rustix::stdio::dup2_stdin(streams.input.as_fd())?;
        rustix::stdio::dup2_stdout(streams.output.as_fd())?;
        rustix::stdio::dup2_stderr(streams.error.as_fd())?;
        identity.take_on()
    };
    let status = match prepared() {
        Ok(()) => {
            kernel::close_from(3);
            sftp::serve()
        }
        Err(_) => 255,
    };
    kernel::leave(status)
}

impl Identity {
    /// Becomes this user, in its home directory.
    fn take_on(&self) -> io::Result<()> {
        if self.switchable {
            let (uid, gid) = (Uid::from_raw(self.account.uid), Gid::from_raw(self.account.gid));
            let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        std::env::set_current_dir(&self.account.home).or_else(|_| std::env::set_current_dir("/"))
    }
}
