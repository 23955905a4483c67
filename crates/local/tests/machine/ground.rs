//! What all tests stand on: one store, keys, and machines that are gone when their test is.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bakelite_local::machine::{BaseRoot, Ended, Isolation, Machine, MachineSpec, Machines, RootId};
use bakelite_test_support::ended::RunToEnd as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The common ground.
pub(crate) struct Ground {
    pub(crate) runtime: Runtime,
    pub(crate) machines: Machines,
    pub(crate) host: RootId,
    directory: Mutex<Option<TempDir>>,
    path: PathBuf,
}

static GROUND: OnceLock<Ground> = OnceLock::new();

pub(crate) fn ground() -> &'static Ground {
    GROUND.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (machines, host) = runtime.block_on(async {
            let machines = Machines::open(
                &path.join("store"),
                Isolation::Sandbox,
                bakelite_local::Limits::default(),
            )
            .await;
            let machines = machines.unwrap_or_else(|error| panic!("{error}\nhelp: {}", error.help().unwrap_or("none")));
            let host = machines.base(&BaseRoot::Host).await.unwrap();
            (machines, host)
        });
        for kind in ["ed25519", "rsa", "ecdsa"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-C", "pair", "-t", kind, "-f"])
                .arg(path.join(kind))
                .status();
            assert!(made.unwrap().success());
        }
        Ground {
            runtime,
            machines,
            host,
            directory: Mutex::new(Some(directory)),
            path,
        }
    })
}

/// Removes everything.
pub(crate) fn close() {
    if let Some(ground) = GROUND.get() {
        ground
            .runtime
            .block_on(Machines::reset(&ground.path.join("store")))
            .unwrap();
        drop(ground.directory.lock().unwrap().take());
    }
}

impl Ground {
    /// A fresh directory for a test's own files.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// The private key of a kind; all of them may log in.
    pub(crate) fn key(&self, kind: &str) -> PathBuf {
        self.path.join(kind)
    }

    fn public_keys(&self) -> Vec<String> {
        let line = |kind| {
            std::fs::read_to_string(self.key(kind).with_extension("pub"))
                .unwrap()
                .trim()
                .to_owned()
        };
        ["ed25519", "rsa", "ecdsa"].map(line).into()
    }

    pub(crate) fn spec(&self, root: &RootId) -> MachineSpec {
        static NEXT: AtomicU8 = AtomicU8::new(2);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        MachineSpec {
            id: format!("i-{number:017x}"),
            root: root.clone(),
            hostname: format!("ip-10-0-0-{number}"),
            users: vec!["ec2-user".into()],
            authorized_keys: self.public_keys(),
            operator_key: None,
            user_data: None,
            address: Ipv4Addr::new(127, 41, 0, number),
            ssh_port: 0,
            volumes: Vec::new(),
        }
    }

    /// Starts a machine on this machine's own directories.
    pub(crate) fn start(&'static self) -> Running {
        self.start_on(&self.host)
    }

    pub(crate) fn start_on(&'static self, root: &RootId) -> Running {
        self.start_with(self.spec(root))
    }

    pub(crate) fn start_with(&'static self, spec: MachineSpec) -> Running {
        let machine = self.runtime.block_on(self.machines.start(spec.clone())).unwrap();
        Running {
            ground: self,
            spec,
            machine,
        }
    }
}

/// A machine of a test.
pub(crate) struct Running {
    ground: &'static Ground,
    pub(crate) spec: MachineSpec,
    pub(crate) machine: Machine,
}

impl Running {
    /// The same machine after a restart.
    pub(crate) fn again(ground: &'static Ground, before: Running, machine: Machine) -> Running {
        let spec = before.spec.clone();
        std::mem::forget(before);
        Running { ground, spec, machine }
    }

    /// Removes a machine of another store, which the ground cannot discard, and the store.
    pub(crate) fn end_with(self, machines: Machines, store: &Path) {
        let runtime = &self.ground.runtime;
        runtime.block_on(machines.discard(&self.spec.id)).unwrap();
        std::mem::forget(self);
        drop(machines);
        runtime.block_on(Machines::reset(store)).unwrap();
    }

    /// A machine of another store; who gets it calls `end_with`.
    pub(crate) fn again_borrowed(ground: &'static Ground, spec: &MachineSpec, machine: &Machine) -> Running {
        Running {
            ground,
            spec: spec.clone(),
            machine: machine.clone(),
        }
    }

    /// Options for OpenSSH's clients.
    pub(crate) fn options(&self, kind: &str) -> Vec<String> {
        let fixed = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
        ];
        let mut options: Vec<String> = fixed
            .iter()
            .flat_map(|option| ["-o".into(), (*option).to_owned()])
            .collect();
        options.extend(["-o".into(), format!("Port={}", self.machine.ssh_address().port())]);
        options.extend([
            "-i".into(),
            self.ground.key(kind).display().to_string(),
            "-F".into(),
            "/dev/null".into(),
        ]);
        options
    }

    pub(crate) fn host(&self, user: &str) -> String {
        format!("{user}@{}", self.machine.ssh_address().ip())
    }

    pub(crate) fn ssh(&self, user: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.options("ed25519")).arg(self.host(user));
        command
    }

    /// Runs a command as a user.
    pub(crate) fn run(&self, user: &str, command: &str) -> Output {
        self.ssh(user).arg(command).run_to_end()
    }

    /// What a command prints that must succeed.
    pub(crate) fn output(&self, user: &str, command: &str) -> String {
        let output = self.run(user, command);
        assert!(
            output.status.success(),
            "`{command}`: {} {}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout).trim_end().to_owned()
    }

    /// Runs a command as root that must not succeed.
    pub(crate) fn refuses(&self, command: &str) -> String {
        let output = self.run("root", command);
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "`{command}` succeeded: {shown}");
        shown
    }

    /// Why it has ended, which it does within two minutes, or else this tells what a command did that was to bring it about.
    pub(crate) fn ended(&self, after: &Output) -> Ended {
        let ended = async { tokio::time::timeout(Duration::from_mins(2), self.machine.ended()).await };
        self.ground.runtime.block_on(ended).unwrap_or_else(|_| {
            panic!(
                "the machine has not ended: {} {}{}\n{}",
                after.status,
                text(&after.stdout),
                text(&after.stderr),
                text(&self.machine.console_output())
            )
        })
    }

    pub(crate) fn stop(&self) {
        self.ground.runtime.block_on(self.machine.stop());
    }

    /// Whether the machine has more than one id.
    pub(crate) fn has_users(&self) -> bool {
        !self
            .ground
            .machines
            .limits()
            .iter()
            .any(|limit| limit.contains("one user id"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ground
            .runtime
            .block_on(self.ground.machines.discard(&self.spec.id))
            .unwrap();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A root with a shell and little else, made of copies of this machine's files.
pub(crate) fn minimal_root(directory: &Path) {
    for name in ["bin", "etc", "usr/bin", "root", "home", "tmp"] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    let mut libraries = std::collections::BTreeSet::new();
    for program in [
        "sh", "cat", "id", "ls", "mkdir", "env", "uname", "sed", "grep", "ln", "readlink", "rm", "sleep",
    ] {
        let from = Path::new("/usr/bin").join(program);
        std::fs::copy(&from, directory.join("bin").join(program)).unwrap();
        let linked = text(&Command::new("ldd").arg(&from).run_to_end().stdout);
        libraries.extend(
            linked
                .split_whitespace()
                .filter(|word| word.starts_with('/'))
                .map(str::to_owned),
        );
    }
    for library in libraries {
        let to = directory.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&library, to).unwrap();
    }
    std::fs::write(directory.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::write(directory.join("etc/group"), "root:x:0:\n").unwrap();
    std::fs::write(directory.join("etc/motd"), "minimal\n").unwrap();
}
