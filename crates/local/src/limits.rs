//! How much of this machine one instance may use.

/// A limit was asked for that this user cannot enforce on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to limit the {0} of instances")]
pub struct NotLimited(&'static str);

/// Limits of each instance. One that is not given has a default, which holds as far as this machine can enforce it; one that is given and
/// cannot be enforced here is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Processes and threads. By default 4096.
    pub processes: Option<u64>,
    /// Bytes of memory, with what lies in its tmpfs. By default three quarters of this machine's.
    pub memory: Option<u64>,
    /// Processors, also parts of one. By default all.
    pub cpus: Option<f64>,
    /// Bytes on disk that an instance may write above its image. By default 20 GiB.
    pub disk: Option<u64>,
}

impl Limits {
    /// The most processes.
    pub(crate) fn processes(self) -> u64 {
        self.processes.unwrap_or(4096)
    }

    /// The most memory in bytes.
    pub(crate) fn memory(self) -> u64 {
        self.memory.unwrap_or_else(|| machine_memory() / 4 * 3)
    }

    /// The size of `/dev/shm` in bytes: half of the memory, as on EC2.
    pub(crate) fn shared_memory(self) -> u64 {
        self.memory() / 2
    }

    /// The most bytes on disk.
    pub(crate) fn disk(self) -> u64 {
        self.disk.unwrap_or(20 << 30)
    }

    /// Refuses what was asked for and is not enforced.
    pub(crate) fn check(self, enforced: Enforced) -> Result<(), NotLimited> {
        let missing = [
            ("memory", self.memory.is_some() && !enforced.memory),
            ("processors", self.cpus.is_some() && !enforced.cpus),
        ];
        match missing.into_iter().find(|(_, missing)| *missing) {
            Some((what, _)) => Err(NotLimited(what)),
            None => Ok(()),
        }
    }
}

/// Which limits of cgroups hold here; those of processes and disk always do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Enforced {
    /// Of memory.
    pub(crate) memory: bool,
    /// Of processors.
    pub(crate) cpus: bool,
}

/// This machine's memory in bytes.
fn machine_memory() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(u64::from(system.mem_unit))
}
