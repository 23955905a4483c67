//! Services of a machine: a small manager that starts and supervises what the root's unit files describe, where systemd would.
//!
//! It is a process of its own below init, so that nothing that it reads or that clients send to it can take init down. Each service
//! has a keeper (`keeper.rs`), whose descendants are the service's processes. `systemctl` in the machine is a tiny program (`client.rs`) that
//! hands its arguments over and prints the answer.
//!
//! From text to deeds in one direction: `unit_file` and `command_line` read, `unit` finds, `service` makes values, `transaction` orders,
//! `activation` decides, `manager` does, `server` listens.

mod activation;
mod answers;
mod client;
mod command_line;
mod enabling;
mod journal;
mod keeper;
mod manager;
mod notification;
mod request;
mod server;
mod service;
mod transaction;
mod unit;
mod unit_file;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use rustix::process::Pid;

use super::kernel;

pub(super) use manager::links;

/// Whether there is a program for `systemctl` on this processor.
pub(super) fn has_client() -> bool {
    client::program().is_some()
}

/// Starts the manager, which starts the services that are enabled besides those that the base root `had`. It ends when it is asked to by
/// `SIGTERM`, after it has stopped all services.
pub(super) fn start(is_switchable: bool, had: &BTreeSet<PathBuf>) -> io::Result<Pid> {
    server::prepare()?;
    let listener = server::listen_for_clients()?;
    if let Some(pid) = kernel::fork()? {
        return Ok(pid);
    }
    let served = separate(listener).and_then(|listener| server::serve(listener, is_switchable, had));
    kernel::leave(i32::from(served.is_err()))
}

/// Keeps the listener, and nothing else of init's.
fn separate(listener: std::os::fd::OwnedFd) -> io::Result<std::os::fd::OwnedFd> {
    rustix::process::setsid()?;
    rustix::stdio::dup2_stdin(&listener)?;
    kernel::close_from(3);
    std::mem::forget(listener); // its number is closed
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(listener)
}
