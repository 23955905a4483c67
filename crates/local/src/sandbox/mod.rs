//! Isolation: machines that cannot reach the host.
//!
//! A sandbox is this very program, executed again with a hidden first argument. It puts itself into namespaces, builds the
//! machine's root from overlay layers, leaves the host's root behind and stays as the machine's init, which starts
//! commands and serves files for the SSH server of the parent. It needs nothing of the root that it lives in: no libc, no
//! shell, no tools. When the parent dies, its control socket closes and the kernel ends the whole machine with the init.
//!
//! It enters the store while it is still the user who started it, and then takes on the ids of the machine, which have no rights on the
//! host (`idmap`): from there on it reaches the store by its working directory and nothing else of this user's.
//!
//! Two user namespaces lie inside each other. The outer one mounts the root; the inner one owns what scripts may use
//! (mounts of their own, host name, network). Mounts that cross into an inner namespace are locked by the kernel, so root of
//! the machine can neither uncover nor remount what the outer one has covered or made read-only.

mod accounts;
mod archive;
mod boot;
mod client;
mod copy;
mod count;
mod disk_image;
mod elevate;
mod enter;
mod execute;
mod failure;
mod filter;
mod first_boot;
mod host_root;
mod hostname;
mod idmap;
mod init;
mod interface;
mod job;
mod kernel;
mod mounts;
mod netlink;
mod remove;
mod services;
mod sftp;
mod shims;
mod terminal;
mod tree;
mod unpack;
pub(crate) mod wire;

pub(crate) use client::{Condition, Process, ProcessEnd, Sandbox, SandboxError, Wires, do_job, measure};
pub(crate) use idmap::{IdMap, NoRange};
pub(crate) use interface::TUN;
pub(crate) use kernel::{attach_loop, awaitable};
pub(crate) use terminal::set_size;
pub(crate) use wire::{
    Action, Job, MachineStart, NetworkStart, NewFile, NewUser, Part, Program, Run, Script, Shift, Streams, Terminal,
    VolumeStart,
};

/// The first argument that turns the program into a sandbox's init.
pub(crate) const ENTER: &str = "__bakelite-sandbox-init";

/// Becomes a sandbox's init if the program was started as one, and then never returns; call it first thing in `main`.
pub fn enter_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|first| first == ENTER) {
        enter::enter();
    }
}
