//! Who runs bakelite in a test and where: root or a plain user, in directories of the test's own.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::tools::is_root;
use tempfile::TempDir;

use crate::started::Started;

/// The plain user who runs bakelite; no account of a usual system has the id.
const PLAIN_USER: u32 = 64_777;
/// The other user of the machine, who attacks: `nobody`, since OpenSSH's clients run only for users who have an account.
const OTHER_USER: u32 = 65_534;
/// How long a command of bakelite may take.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);
/// A script that makes the file `reached` and then waits for a file `go`.
pub(crate) const WAITING: &str = "touch reached; timeout 120 sh -c 'until test -e go; do sleep 0.1; done'";

/// Who runs bakelite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    /// The user that bakelite is run as, when it is not the one who runs the tests.
    user: Option<u32>,
}

impl Host {
    /// Whoever runs the tests.
    pub(crate) fn tester() -> Host {
        Host { user: None }
    }

    /// Root, when the tests are run by root.
    pub(crate) fn root() -> Result<Host, &'static str> {
        is_root().then(Host::tester).ok_or("needs root")
    }

    /// A plain user: whoever runs the tests, or when that is root, a user without an account.
    pub(crate) fn plain() -> Host {
        Host {
            user: is_root().then_some(PLAIN_USER),
        }
    }

    /// Whether bakelite is run by root here.
    pub(crate) fn is_root(self) -> bool {
        self.user.is_none() && is_root()
    }

    /// A fresh place for a test.
    pub(crate) fn ground(self) -> Ground {
        Ground::new(self)
    }
}

/// The binary where every user can run it, copied there once.
static BINARY: Mutex<Option<(TempDir, PathBuf)>> = Mutex::new(None);

fn binary_for_all() -> PathBuf {
    let mut binary = BINARY.lock().unwrap();
    let (_, path) = binary.get_or_insert_with(|| {
        let directory = tempfile::Builder::new().prefix("bakelite-attacks-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().join("bakelite");
        std::fs::copy(env!("CARGO_BIN_EXE_bakelite"), &path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        (directory, path)
    });
    path.clone()
}

/// Removes what all tests shared.
pub(crate) fn close() {
    drop(BINARY.lock().unwrap().take());
}

/// Where one test runs bakelite, and what belongs to its user there.
pub(crate) struct Ground {
    /// Who runs bakelite.
    pub(crate) host: Host,
    /// The directories and the environment.
    pub(crate) context: TestContext,
}

impl Ground {
    fn new(host: Host) -> Ground {
        let context = match host.user {
            Some(_) => TestContext::new(&binary_for_all().display().to_string()),
            None => bakelite_test_support::test_context!(),
        };
        let ground = Ground { host, context };
        let root = ground.context.root().to_owned();
        ground.give(&root);
        for directory in ["home", "state", "tmp", "work"] {
            ground.give(&root.join(directory));
        }
        ground
    }

    /// The same with one more environment variable.
    pub(crate) fn with(self, name: &str, value: impl Into<String>) -> Ground {
        let Ground { host, context } = self;
        Ground {
            host,
            context: context.with(name, value),
        }
    }

    /// Makes a file or directory belong to the user who runs bakelite.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = self.host.user {
            chown(path, Some(user), Some(user)).unwrap();
        }
    }

    /// A directory of the user's own that nobody else may look into.
    pub(crate) fn private_directory(&self, name: &str) -> PathBuf {
        let directory = self.context.root().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        self.give(&directory);
        directory
    }

    /// Writes a file of the user's own that nobody else may read.
    pub(crate) fn private_file(&self, path: &Path, content: &str) {
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        self.give(path);
    }

    /// Lets other users pass through the directories of this ground, as they can in a home directory of mode 0755: what is secret below
    /// them must be closed by bakelite itself.
    pub(crate) fn open_to_others(&self) {
        for directory in ["", "home", "state", "work", "tmp"] {
            let directory = self.context.root().join(directory);
            std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Where the state of bakelite is.
    pub(crate) fn state(&self) -> PathBuf {
        self.context.root().join("state/bakelite")
    }

    /// Bakelite with these arguments, as the user who runs it here.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.as_its_user(self.context.command(arguments))
    }

    /// Another program, as the user who runs bakelite here.
    pub(crate) fn command_of<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        self.as_its_user(self.context.command_of(program, arguments))
    }

    fn as_its_user(&self, own: Command) -> Command {
        match self.host.user {
            Some(user) => as_user(user, &own),
            None => own,
        }
    }

    /// Runs bakelite to its end, which comes in time.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Started::of(self.command(arguments)).end(TIMEOUT)
    }

    /// Starts bakelite.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Started {
        Started::of(self.command(arguments))
    }

    /// A base image whose root is this machine's system directories, by the id that templates would find.
    pub(crate) fn base_image(&self) -> String {
        let images = self.run(["local", "images", "-all"]).succeeds();
        let line = images.lines().find(|line| line.contains("debian-12-amd64-"));
        line.and_then(|line| line.split(' ').next()).unwrap().to_owned()
    }

    /// Runs a Python program as root of a throw-away instance, with these flags for the local cloud.
    pub(crate) fn inside(&self, flags: &[&str], program: &str, arguments: &[&str]) -> Ran {
        let image = self.base_image();
        let mut command = vec!["local", "run"];
        command.extend(flags);
        command.extend([&image, "--", "/usr/bin/python3", "-c", program]);
        command.extend(arguments);
        self.run(command)
    }
}

/// The same command as another user, with nothing of root's.
fn as_user(user: u32, own: &Command) -> Command {
    let mut command = Command::new("setpriv");
    let id = user.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.arg(own.get_program()).args(own.get_args()).env_clear();
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = own.get_current_dir() {
        command.current_dir(directory);
    }
    command.stdin(std::process::Stdio::null());
    command
}

/// The other user of the machine: a home directory, and programs that are run as that user. Takes root.
pub(crate) struct Other {
    /// The user's home directory.
    home: TempDir,
}

impl Other {
    pub(crate) fn new() -> Other {
        let home = tempfile::Builder::new().prefix("bakelite-other-").tempdir().unwrap();
        chown(home.path(), Some(OTHER_USER), Some(OTHER_USER)).unwrap();
        Other { home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Makes a file belong to the other user.
    pub(crate) fn give(path: &Path) {
        chown(path, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    }

    /// Runs a Python program as the other user to its end, and returns what it prints.
    pub(crate) fn runs(&self, program: &str, environment: &[(&str, &str)]) -> String {
        let mut own = Command::new("/usr/bin/python3");
        own.args(["-c", program]).current_dir("/").env("HOME", self.home());
        own.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(environment.iter().copied());
        Started::of(as_user(OTHER_USER, &own)).end(TIMEOUT).succeeds()
    }
}
