//! Machines: what an instance of the local cloud runs on. The EC2 half knows this file only.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How machines are isolated from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In namespaces of the kernel, on a root of their own.
    Sandbox,
    /// Not at all: the user's explicit choice (`--local-unisolated`).
    Unisolated,
}

/// Where a base root comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseRoot {
    /// This machine's own system folders, read-only below an overlay.
    Host,
    /// A folder given by the user (`--local-image NAME=ROOT`).
    Folder(PathBuf),
    /// A tarball (`.tar`, `.tar.gz`, `.tar.zst`).
    Tarball(PathBuf),
}

/// A stack of layers in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RootId(pub String);

/// Why a machine or a root could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Placeholder while the machine half is written.
    #[error("machines are being written")]
    Unfinished,
}

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// The instance's id (`i-0abc…`).
    pub id: String,
    /// The root that it starts from.
    pub root: RootId,
    /// Its host name.
    pub hostname: String,
    /// Login users that must exist, for example `ec2-user`.
    pub users: Vec<String>,
    /// OpenSSH lines, for all users.
    pub authorized_keys: Vec<String>,
    /// Run as root at first boot if it starts with `#!`.
    pub user_data: Option<Vec<u8>>,
    /// A loopback address of its own.
    pub address: Ipv4Addr,
    /// The SSH port that is wanted, 0 for any.
    pub ssh_port: u16,
}

/// The store and everything that runs on it; a cheap handle.
#[derive(Clone, Debug)]
pub struct Machines {}

#[expect(clippy::unused_async, reason = "bodies follow")]
impl Machines {
    /// Opens (or creates) the store below `dir` and checks what the kernel allows.
    pub async fn open(_dir: &Path, _isolation: Isolation) -> Result<Machines, MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Registers a base root and returns its id; idempotent.
    pub async fn base(&self, _base: &BaseRoot) -> Result<RootId, MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Starts a machine on a fresh writable layer; its SSH server listens when this returns.
    pub async fn start(&self, _spec: MachineSpec) -> Result<Machine, MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Starts a stopped machine again on its own writable layer.
    pub async fn restart(&self, _id: &str, _spec: MachineSpec) -> Result<Machine, MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Freezes the writable layer of a machine into a root.
    pub async fn snapshot(&self, _id: &str) -> Result<RootId, MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Removes a machine's writable layer; idempotent.
    pub async fn discard(&self, _id: &str) -> Result<(), MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Removes a root's own top layer when nothing else is based on it; idempotent.
    pub async fn remove_root(&self, _root: &RootId) -> Result<(), MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Runs a command in a throw-away machine with inherited stdio; returns its exit status.
    pub async fn run(&self, _root: &RootId, _command: &[String]) -> Result<i32, MachineError> {
        Err(MachineError::Unfinished)
    }
    /// Removes everything below the store's folder, also files of other users made in sandboxes.
    pub async fn reset(_dir: &Path) -> Result<(), MachineError> {
        Err(MachineError::Unfinished)
    }
}

/// A running or ended machine; a cheap handle.
#[derive(Clone, Debug)]
pub struct Machine {}

#[expect(clippy::unused_async, reason = "bodies follow")]
impl Machine {
    /// Where its SSH server really listens.
    pub fn ssh_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }
    /// Its host key as an OpenSSH public key line.
    pub fn host_key(&self) -> String {
        String::new()
    }
    /// What it wrote while booting.
    pub fn console_output(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Ends its processes and its SSH server.
    pub async fn stop(&self) {}
    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        false
    }
    /// Resolves when the machine powered itself off.
    pub async fn ended(&self) {}
}
