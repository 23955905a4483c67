//! Why a machine or a root could not be made, and what the user can do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::full_disk;
use crate::limits::NotLimited;
use crate::sandbox::{NoRange, SandboxError};
use crate::store::StoreError;

/// Why a machine or a root could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The store on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A base root cannot be read.
    #[error("base root `{}`: {source}", path.display())]
    Base {
        /// The directory or tarball.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A tarball or an image holds what no root can be made of.
    #[error("{0}")]
    Content(String),
    /// The kernel does not let us isolate machines, or something failed inside of one.
    #[error("failed to isolate a machine: {reason}")]
    Sandbox {
        /// The step and what the kernel said.
        reason: String,
        /// What to do about it, where that is known.
        help: Option<String>,
    },
    /// The file system of the store has no room left.
    #[error("the file system of the local cloud is full: {0}")]
    DiskFull(String),
    /// No address to listen on.
    #[error("failed to listen for SSH on {address}: {source}")]
    Listen {
        /// The address that was tried.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A key cannot be made or read.
    #[error("host key of machine `{id}`: {reason}")]
    HostKey {
        /// The machine.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit was asked for that this user cannot enforce on this machine.
    #[error(transparent)]
    NotLimited(#[from] NotLimited),
    /// A command wrote more than it may.
    #[error("more than {0} bytes were written")]
    OverDisk(u64),
    /// The machine still runs.
    #[error("machine `{0}` is running")]
    Running(String),
    /// Without isolation there is only this machine itself to run on.
    #[error("base root `{}`: needs isolation", .0.display())]
    NeedsIsolation(PathBuf),
}

impl MachineError {
    /// Whether it comes of a full file system.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            MachineError::DiskFull(_) => true,
            MachineError::Store(StoreError::File { source, .. }) | MachineError::Base { source, .. } => {
                full_disk::is_full(source)
            }
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn help(&self) -> Option<&str> {
        match self {
            MachineError::Sandbox { help, .. } => help.as_deref(),
            MachineError::Content(_) => Some("give a whole root, as `docker export` and `debootstrap` make it"),
            MachineError::DiskFull(_) => Some(full_disk::FREE_SPACE),
            MachineError::OverDisk(_) => Some("`-local-disk SIZE` allows more"),
            MachineError::NotLimited(_) => Some(
                "this takes a cgroup: run as root, or in one that is delegated to you (`systemd-run --user --scope -p Delegate=yes …`)",
            ),
            _ => None,
        }
    }
}

impl From<NoRange> for MachineError {
    fn from(error: NoRange) -> MachineError {
        MachineError::Sandbox {
            reason: error.to_string(),
            help: Some(
                "give root a range with a line `root:FIRST:65536` in `/etc/subuid` and in `/etc/subgid`, give the container more ids (Podman: \
                 `--userns=auto:size=131072`), or run as another user than root"
                    .into(),
            ),
        }
    }
}

impl From<SandboxError> for MachineError {
    fn from(error: SandboxError) -> MachineError {
        if let SandboxError::Inside {
            step,
            errno: Some(libc::ENOSPC | libc::EDQUOT),
            ..
        } = &error
            && !step.contains("namespace")
        {
            return MachineError::DiskFull(error.to_string());
        }
        let help = remedy(&error);
        MachineError::Sandbox {
            reason: error.to_string(),
            help,
        }
    }
}

/// What root of the host must do once for a step that the kernel refuses.
fn remedy(error: &SandboxError) -> Option<String> {
    let help = match error {
        SandboxError::Inside {
            step,
            errno: Some(libc::ENOSPC),
            ..
        } if step.contains("namespace") => {
            "the kernel's limit on namespaces is reached: `sysctl user.max_user_namespaces=65536`"
        }
        SandboxError::Inside {
            step,
            errno: Some(libc::EPERM | libc::EACCES | libc::EINVAL),
            ..
        } if step.contains("user namespace") => {
            "this user may not create user namespaces: `sysctl kernel.unprivileged_userns_clone=1` (Debian), \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), in a container `--security-opt seccomp=unconfined`; \
             or run without isolation with `--local-unisolated`"
        }
        SandboxError::Inside { step, .. } if step.contains("base directory") => {
            "the file system of the directory must be able to map ids (ext4, xfs, btrfs, tmpfs and others, not an overlay; Linux 5.12 or newer): \
             give a tarball of it instead"
        }
        SandboxError::Inside { step, .. } if step.contains("`/proc`") => {
            "the kernel refuses a fresh `/proc` where parts of the present one are covered, as container engines do: \
             start the container with `--security-opt systempaths=unconfined` (Docker) or `--security-opt unmask=ALL` (Podman)"
        }
        SandboxError::Inside {
            step,
            errno: Some(libc::EINVAL),
            ..
        } if step.contains("overlay") => {
            "the store must lie on a file system that can carry an overlay's writable layer: ext4, xfs, btrfs or tmpfs, \
             not itself an overlay; the kernel must be Linux 5.11 or newer"
        }
        SandboxError::Inside {
            step,
            errno: Some(libc::EPERM),
            ..
        } if step.contains("overlay") => {
            "overlay mounts by users need Linux 5.11 or newer; in a container, `--security-opt apparmor=unconfined`"
        }
        SandboxError::IdMap(_) => {
            "check the ranges of this user in `/etc/subuid` and `/etc/subgid`, such as `alice:100000:65536` (package `uidmap`)"
        }
        _ => return None,
    };
    Some(help.to_owned())
}
