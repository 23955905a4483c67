//! A hermetic place to run the binary in: a directory of its own for everything, a cleared environment, strict expectations.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::ended;

/// A context for one test, around the binary of the test's own package.
#[macro_export]
macro_rules! test_context {
    () => {
        $crate::context::TestContext::new(env!("CARGO_BIN_EXE_bakelite"))
    };
}

/// Where one test runs the binary.
pub struct TestContext {
    root: TempDir,
    binary: PathBuf,
    environment: BTreeMap<String, String>,
}

impl TestContext {
    /// A fresh place for this binary.
    pub fn new(binary: &str) -> Self {
        crate::backstop::watch();
        // Not below /tmp: sandboxes of the local cloud have a /tmp of their own, and paths stay short for sockets.
        let root = tempfile::Builder::new()
            .prefix("bakelite-test-")
            .tempdir()
            .expect("a temporary directory can be made");
        for directory in ["home", "state", "tmp", "work"] {
            std::fs::create_dir(root.path().join(directory)).expect("a fresh directory can be filled");
        }
        let path = |name: &str| root.path().join(name).display().to_string();
        let environment = BTreeMap::from([
            (
                "PATH".to_owned(),
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ),
            ("HOME".to_owned(), path("home")),
            ("XDG_STATE_HOME".to_owned(), path("state")),
            ("TMPDIR".to_owned(), path("tmp")),
            ("TZ".to_owned(), "UTC".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
            // Tests reach no server but their own.
            ("BAKELITE_LOCAL_PULL".to_owned(), "never".to_owned()),
        ]);
        Self {
            root,
            binary: binary.into(),
            environment,
        }
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// The directory that the binary runs in.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The directory that holds everything of this context.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Writes `t.pkr.hcl`.
    pub fn template(&self, text: &str) -> &Self {
        self.file("t.pkr.hcl", text)
    }

    /// Writes a file, with the directories above it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.work().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory of the test can be made");
        }
        std::fs::write(path, content).expect("a file of the test can be written");
        self
    }

    /// The text of a file that the run wrote.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.work().join(name))
            .unwrap_or_else(|error| panic!("{name} should be there: {error}"))
    }

    /// The binary with these arguments, ready to be started.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.command_of(&self.binary, arguments)
    }

    /// Another program in the same place and environment.
    pub fn command_of<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Starts the binary with its output kept.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Child {
        let mut command = self.command(arguments);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started")
    }

    /// Journals of runs that left something.
    pub fn journals(&self) -> Vec<PathBuf> {
        let directory = self.root.path().join("state/bakelite/journal");
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Vec::new();
        };
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
    }
}

/// How a run ended.
#[must_use = "a run whose end nobody looks at shows nothing"]
#[derive(Debug)]
pub struct Ran {
    /// The exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Ran {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
        Ran::end_of(child)
    }

    /// Waits for a started program.
    pub fn end_of(child: Child) -> Ran {
        Ran::from(ended::output_of(child))
    }

    /// It did what it should, and had nothing to complain about. Answers its standard output.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (Some(0), ""),
            "standard output: {}",
            self.stdout
        );
        self.stdout
    }

    /// It ended with this code. Answers both outputs, one after the other.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> String {
        assert_eq!(
            self.code,
            Some(code),
            "standard output: {}\nstandard error: {}",
            self.stdout,
            self.stderr
        );
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}
