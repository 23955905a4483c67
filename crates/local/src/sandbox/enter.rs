//! The way into the sandbox: from the executed program to the machine's init.
//!
//! The first process joins the outer user namespace and a PID namespace, and stays outside only to watch: over the parent
//! (its end of the control socket) and over init. Its child is init: it mounts the root, moves into the inner namespaces
//! and boots.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{Gid, Uid, UnshareFlags};

use super::failure::{Failure, Step as _};
use super::wire::{MachineStart, Report, Request, Start, receive, send};
use super::{filter, init, interface, job, kernel, mounts};

/// What the first process of a sandbox does. The control socket is its standard input.
pub(super) fn enter() -> ! {
    kernel::close_from(3);
    let Ok(control) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) else {
        kernel::leave(1);
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    kernel::new_session_keyring();
    let status = match become_it(&control) {
        Ok(status) => status,
        Err(failure) => {
            report_failure(control.as_fd(), &failure);
            1
        }
    };
    kernel::leave(status)
}

fn become_it(control: &OwnedFd) -> Result<i32, Failure> {
    let Some(message) = receive::<Request>(control.as_fd()).step("read the first message")? else {
        return Ok(0);
    };
    let Request::Start(start) = message.content else {
        return Err(Failure {
            step: "start".into(),
            error: io::Error::other("the first message is not a start"),
        });
    };
    match *start {
        Start::Job { ids, job } => {
            let job = job::open_directories(job)?;
            if ids > 0 {
                join_user_namespace(control, ids)?;
            }
            let bytes = job.run()?;
            send(control.as_fd(), &Report::Done { bytes }, &[], &[]).step("answer")?;
            Ok(0)
        }
        Start::Machine(machine) if machine.ids == 0 => init::run_bare(control, &machine).map(|()| 0),
        Start::Machine(machine) => {
            enter_store(&machine.store)?;
            let given = join_user_namespace(control, machine.ids)?;
            // A machine's own cgroup namespace would belong to it, and let it mount the hierarchies: this one is the outer namespace's.
            kernel::unshare(UnshareFlags::NEWPID | UnshareFlags::NEWCGROUP).step("create PID and cgroup namespaces")?;
            split_off_init(control, &machine, given)
        }
    }
}

/// Makes the store the working directory: who takes on the ids of a machine may not be able to walk there any more.
fn enter_store(store: &Path) -> Result<(), Failure> {
    std::env::set_current_dir(store).step("enter the store")
}

/// Joins the outer user namespace as its root; answers what came with the id map.
fn join_user_namespace(control: &OwnedFd, ids: u32) -> Result<mounts::Given, Failure> {
    kernel::unshare(UnshareFlags::NEWUSER).step("create a user namespace")?;
    send(control.as_fd(), &Report::NeedMap, &[], &[]).step("ask for an id map")?;
    let answer = receive::<Request>(control.as_fd()).step("wait for the id map")?;
    let Some((Request::Mapped { has_base }, files)) = answer.map(|answer| (answer.content, answer.files)) else {
        kernel::leave(1);
    };
    become_root(ids)?;
    let mut volumes = files.into_iter();
    let base = volumes.by_ref().take(usize::from(has_base)).next();
    Ok(mounts::Given {
        base,
        volumes: volumes.collect(),
    })
}

/// Takes user and group 0 of the current user namespace.
pub(super) fn become_root(ids: u32) -> Result<(), Failure> {
    if ids > 1 {
        rustix::thread::set_thread_groups(&[]).step("leave the host's groups")?;
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).step("become group 0")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).step("become user 0")
}

/// Forks init and watches over it.
fn split_off_init(control: &OwnedFd, machine: &MachineStart, given: mounts::Given) -> Result<i32, Failure> {
    let (to_init, from_watcher) = socket_pair().step("connect with init")?;
    let Some(init) = kernel::fork().step("start init")? else {
        drop(to_init);
        let outcome = machine_init(control, &from_watcher, machine, given);
        if let Err(failure) = &outcome {
            report_failure(control.as_fd(), failure);
        }
        kernel::leave(i32::from(outcome.is_err()));
    };
    // What is attached for volumes stays here until nobody is left in the machine.
    let mounts::Given {
        base,
        volumes: _volumes,
    } = given;
    drop((from_watcher, base));
    if await_byte(&to_init) {
        write_inner_map(init, machine.ids)?;
        rustix::io::write(&to_init, &[1]).step("wake init")?;
    }
    watch(control, init).step("watch over init")
}

/// What the process that becomes init does.
fn machine_init(
    control: &OwnedFd,
    watcher: &OwnedFd,
    machine: &MachineStart,
    given: mounts::Given,
) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("tie init to its parent")?;
    let device = interface::find_device(machine);
    let root = mounts::build(machine, given)?;
    set_limits(machine)?;
    let inner = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWNET;
    kernel::unshare(inner).step("create the inner namespaces")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).step("open init's id map")?;
    rustix::io::write(watcher, &[1]).step("ask for the inner id map")?;
    if !await_byte(watcher) {
        kernel::leave(1);
    }
    // From here on nobody in the machine can look into init: not its files, not its memory, not the program it is.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("close init to the machine")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("tie init to its parent")?;
    become_root(machine.ids)?;
    interface::set_up(control, machine, device)?;
    filter::install()?;
    init::run(control, machine, &root)
}

/// Sets what the machine may use of the host without cgroups. The number of processes that a user may have when a user namespace is made
/// bounds all processes of all users in it (Linux 5.14), and nobody in it can raise either limit.
fn set_limits(machine: &MachineStart) -> Result<(), Failure> {
    let set = |resource, most: u64| {
        let hard = rustix::process::getrlimit(resource)
            .maximum
            .unwrap_or(u64::MAX)
            .min(most);
        let limit = Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        };
        rustix::process::setrlimit(resource, limit).step("limit what the machine may use")
    };
    // Programs that try all descriptors take long when there may be many, as this process may have.
    let files = rustix::process::getrlimit(Resource::Nofile);
    let usual = Rlimit {
        current: files.current.map(|current| current.min(1024)),
        ..files
    };
    rustix::process::setrlimit(Resource::Nofile, usual).step("limit what the machine may use")?;
    set(Resource::Nproc, machine.processes)?;
    set(Resource::Fsize, machine.file_size)
}

/// Maps every id of the outer namespace to itself. A line of a map must lie within one line of the map around it.
fn write_inner_map(init: Pid, ids: u32) -> Result<(), Failure> {
    let pid = init.as_raw_nonzero();
    if ids == 1 {
        std::fs::write(format!("/proc/{pid}/setgroups"), "deny").step("forbid group changes")?;
    }
    for kind in ["uid_map", "gid_map"] {
        let outer = std::fs::read_to_string(format!("/proc/self/{kind}")).step("read the outer id map")?;
        let lines = outer.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (first, count) = (fields.next()?, fields.nth(1)?);
            Some(format!("{first} {first} {count}\n"))
        });
        std::fs::write(format!("/proc/{pid}/{kind}"), lines.collect::<String>())
            .step(format!("write the inner `{kind}`"))?;
    }
    Ok(())
}

/// Waits until init ends; ends it when the parent is gone.
fn watch(control: &OwnedFd, init: Pid) -> io::Result<i32> {
    let process = rustix::process::pidfd_open(init, PidfdFlags::empty())?;
    loop {
        let mut files = [
            PollFd::new(control, PollFlags::empty()),
            PollFd::new(&process, PollFlags::IN),
        ];
        match rustix::event::poll(&mut files, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if files[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            rustix::process::kill_process(init, Signal::KILL).ok();
        }
        if !files[1].revents().is_empty() || files[0].revents().intersects(PollFlags::HUP) {
            let ended = rustix::process::waitpid(Some(init), WaitOptions::empty())?;
            return Ok(ended.and_then(|(_, status)| status.exit_status()).unwrap_or(1));
        }
    }
}

pub(super) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

fn await_byte(file: &OwnedFd) -> bool {
    let mut byte = [0_u8; 1];
    loop {
        match rustix::io::read(file, &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other == Ok(1),
        }
    }
}

/// Tells the parent why there will be no machine.
pub(super) fn report_failure(control: BorrowedFd<'_>, failure: &Failure) {
    let report = Report::Failed {
        step: failure.step.clone(),
        error: failure.error.to_string(),
        errno: failure.error.raw_os_error(),
    };
    send(control, &report, &[], &[]).ok();
}
