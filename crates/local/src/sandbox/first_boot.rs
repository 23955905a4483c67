//! What user data asks for, done in the machine by a process of its own, and what cloud-init leaves behind for others to see.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};

use super::accounts::{self, Residents};
use super::wire::{Action, MachineStart, NewFile, NewUser, Script};
use super::{execute, hostname, kernel};

/// Where cloud-init has what belongs to the instance: a link to its directory among all those that the disk has been in.
const INSTANCE: &str = "/var/lib/cloud/instance";
const INSTANCES: &str = "/var/lib/cloud/instances";
/// What programs wait for.
const FINISHED: &str = "/var/lib/cloud/instance/boot-finished";
/// What `cloud-init status` reads.
const RESULT: &str = "/run/cloud-init/result.json";
/// The host name that user data gave the instance.
const HOSTNAME: &str = "/var/lib/cloud/instance/hostname";
const LOG: &str = "/var/log/cloud-init-output.log";
/// Scripts of ours, which are not to be in an image.
const OWN_SCRIPTS: &str = "/run/bakelite";

/// Makes the instance's directory the current one, so that nobody takes what another instance has left for its own.
pub(super) fn enter_instance(id: &str) -> io::Result<()> {
    let directory = Path::new(INSTANCES).join(id);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
    if fs::read_link(INSTANCE).is_ok_and(|current| current == directory) {
        return Ok(());
    }
    if fs::remove_file(INSTANCE).is_err() {
        fs::remove_dir_all(INSTANCE).ok(); // what is left makes the next step fail
    }
    symlink(&directory, INSTANCE)
}

/// The host name that user data has given to this instance.
pub(super) fn given_hostname() -> Option<String> {
    let name = fs::read_to_string(HOSTNAME).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty() && name.len() <= 63)
}

/// Records that the boot has finished, with what did not work out.
pub(super) fn finish(errors: &[String]) -> io::Result<()> {
    let result = serde_json::json!({ "v1": { "datasource": "DataSourceEc2Local", "errors": errors } });
    fs::create_dir_all("/run/cloud-init")?;
    fs::write(RESULT, format!("{result:#}\n"))?;
    let up = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up = up.split_whitespace().next().unwrap_or("0").to_owned();
    fs::remove_file(FINISHED).ok();
    fs::write(FINISHED, format!("{up} - bakelite {}\n", env!("CARGO_PKG_VERSION")))
}

/// Starts a process that does what `plan` contains, a list of actions as JSON; its output goes into `output`.
pub(super) fn start(
    plan: &OwnedFd,
    output: &OwnedFd,
    residents: &Residents,
    machine: &MachineStart,
    is_isolated: bool,
) -> io::Result<()> {
    if kernel::fork()?.is_some() {
        return Ok(());
    }
    let done = prepare(plan, output, is_isolated).map(|actions| {
        let boot = FirstBoot {
            residents,
            machine,
            is_isolated,
            errors: Vec::new(),
        };
        boot.run(actions);
    });
    kernel::leave(i32::from(done.is_err()))
}

/// Sets up the process: a session and streams of its own, and nothing of init's. Answers what is to be done.
fn prepare(plan: &OwnedFd, output: &OwnedFd, is_isolated: bool) -> io::Result<Vec<Action>> {
    kernel::reset_signals();
    rustix::process::setsid()?;
    let mut text = Vec::new();
    File::from(plan.try_clone()?).read_to_end(&mut text)?;
    let actions: Vec<Action> = serde_json::from_slice(&text).map_err(io::Error::other)?;
    if is_isolated && !actions.is_empty() {
        split_output(output)?;
    } else {
        rustix::stdio::dup2_stdout(output.as_fd())?;
    }
    rustix::stdio::dup2_stderr(rustix::stdio::stdout())?;
    kernel::close_from(3);
    Ok(actions)
}

/// Has a process of its own copy what is printed from now on to the log and to the console, as cloud-init has `tee`.
fn split_output(console: &OwnedFd) -> io::Result<()> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    if kernel::fork()?.is_some() {
        return Ok(rustix::stdio::dup2_stdout(writer.as_fd())?);
    }
    let copied = rustix::stdio::dup2_stdin(reader.as_fd())
        .and_then(|()| rustix::stdio::dup2_stdout(console.as_fd()))
        .map_err(io::Error::from)
        .and_then(|()| {
            kernel::close_from(3);
            copy_output()
        });
    kernel::leave(i32::from(copied.is_err()))
}

fn copy_output() -> io::Result<()> {
    fs::create_dir_all("/var/log")?;
    let mut log = OpenOptions::new().append(true).create(true).mode(0o640).open(LOG)?;
    let mut buffer = [0_u8; 4096];
    loop {
        let length = rustix::io::read(rustix::stdio::stdin(), &mut buffer)?;
        let read = buffer.get(..length).filter(|read| !read.is_empty());
        let Some(read) = read else { return Ok(()) };
        log.write_all(read).ok(); // the console has it
        io::stdout().write_all(read)?;
        io::stdout().flush()?;
    }
}

struct FirstBoot<'a> {
    residents: &'a Residents,
    machine: &'a MachineStart,
    is_isolated: bool,
    errors: Vec<String>,
}

impl FirstBoot<'_> {
    fn run(mut self, actions: Vec<Action>) {
        for action in actions {
            let is_own_script = matches!(&action, Action::Run(script) if script.is_kept);
            let outcome = if self.is_isolated || is_own_script {
                self.act(action)
            } else {
                Self::act_bare(&action)
            };
            if let Err(error) = outcome {
                print(&error);
                self.errors.push(error);
            }
        }
        if self.is_isolated
            && let Err(error) = finish(&self.errors)
        {
            print(&format!("failed to write `{FINISHED}`: {error}"));
        }
    }

    fn act(&self, action: Action) -> Result<(), String> {
        match action {
            Action::Print { line, failed: true } => Err(line),
            Action::Print { line, failed: false } => {
                print(&line);
                Ok(())
            }
            Action::Rename(name) => {
                rename(&name).map_err(|error| format!("failed to set the host name `{name}`: {error}"))
            }
            Action::Write(file) => {
                write(&file).map_err(|error| format!("failed to write `{}`: {error}", file.path.display()))
            }
            Action::Create(user) => {
                create(&user).map_err(|error| format!("failed to create user `{}`: {error}", user.name))
            }
            Action::Authorize { user, keys } => {
                authorize(&user, &keys).map_err(|error| format!("failed to authorize keys of `{user}`: {error}"))
            }
            Action::Run(script) => self
                .run_script(&script)
                .map_err(|error| format!("`{}` failed: {error}", script.name)),
        }
    }

    /// Without isolation there are no files of the instance's own: everything but scripts would change this machine.
    fn act_bare(action: &Action) -> Result<(), String> {
        match action {
            Action::Print { line, .. } => Err(line.clone()),
            Action::Write(file) if file.path.starts_with(INSTANCE) => Ok(()),
            _ => Err("cloud-config has no effect in instances without isolation, except for `runcmd`".to_owned()),
        }
    }

    /// Runs a script to its end.
    fn run_script(&self, script: &Script) -> io::Result<()> {
        let directory = match (self.is_isolated, script.is_kept) {
            (true, true) => Path::new(INSTANCE).join("scripts"),
            (true, false) => PathBuf::from(OWN_SCRIPTS),
            (false, _) => self.machine.store.join(&self.machine.directory).join("user-data"),
        };
        fs::create_dir_all(&directory)?;
        let path = directory.join(&script.name);
        write(&NewFile {
            path: path.clone(),
            content: script.content.clone(),
            mode: 0o700,
            owner: None,
            append: false,
        })?;
        let pid = execute::start_script(&path, &script.arguments, self.residents, self.machine)?;
        let ended = loop {
            match waitpid(Some(pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                ended => break ended?,
            }
        };
        let Some((_, status)) = ended else { return Ok(()) };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => Ok(()),
            (Some(status), _) => Err(io::Error::other(format!("exit status {status}"))),
            (None, signal) => Err(io::Error::other(format!("killed by signal {}", signal.unwrap_or(0)))),
        }
    }
}

/// Prints a line of ours.
fn print(line: &str) {
    let mut output = io::stdout();
    // Whoever does not read it does not want it.
    output.write_all(format!("user data: {line}\n").as_bytes()).ok();
    output.flush().ok();
}

fn rename(name: &str) -> io::Result<()> {
    fs::write(HOSTNAME, format!("{name}\n"))?;
    hostname::take(name).map_err(|failure| failure.error)
}

fn write(file: &NewFile) -> io::Result<()> {
    if let Some(parent) = file.path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    if file.append {
        options.append(true).create(true);
    } else {
        options.write(true).create(true).truncate(true);
    }
    let mut opened = options.mode(0o600).open(&file.path)?;
    opened.write_all(&file.content)?;
    drop(opened);
    if let Some(owner) = &file.owner {
        let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
        let account = accounts::find(user).ok_or_else(|| io::Error::other(format!("no user `{user}`")))?;
        let group = match group {
            "" => account.gid,
            group => accounts::group(group).ok_or_else(|| io::Error::other(format!("no group `{group}`")))?,
        };
        match chown(&file.path, Some(account.uid), Some(group)) {
            // A machine with one id cannot give files away.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
            _ => {}
        }
    }
    fs::set_permissions(&file.path, fs::Permissions::from_mode(file.mode))
}

fn create(user: &NewUser) -> io::Result<()> {
    let name = &user.name;
    if !accounts::is_valid_name(name) {
        return Err(io::Error::other("not a valid name"));
    }
    if let Some(group) = user.groups.iter().find(|group| !accounts::is_valid_name(group)) {
        return Err(io::Error::other(format!("`{group}` is not a valid name of a group")));
    }
    let account = match accounts::find(name) {
        Some(account) => account,
        None => accounts::create(name, &user.comment, user.shell.as_deref())?,
    };
    for group in &user.groups {
        accounts::ensure_group(group)?;
    }
    let groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
    accounts::join_groups(name, &groups)?;
    let rules: Vec<String> = user.sudo.iter().map(|rule| format!("{name} {rule}")).collect();
    accounts::add_sudo_rules(&rules)?;
    if user.keys.is_empty() {
        return Ok(());
    }
    accounts::authorize(&account, &user.keys)
}

fn authorize(user: &str, keys: &[String]) -> io::Result<()> {
    let account = accounts::find(user).ok_or_else(|| io::Error::other("no such user"))?;
    accounts::authorize(&account, keys)
}
