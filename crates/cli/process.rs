//! What the program was started with: arguments, environment, directories, the time. Read once; everything else gets it handed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bakelite_engine::journals::Journals;
use bakelite_engine::private_directory;
use bakelite_engine::private_file::PrivateFiles;
use bakelite_engine::provisioner::RunContext;

use crate::exit::Failure;
use crate::output::Output;
use crate::report::log::Log;

/// The hidden first argument of a process that runs the local cloud of a bake.
pub(crate) const KEEP: &str = "__bakelite-keep-local-cloud";

/// What the program was started with.
pub(crate) struct Process {
    /// The arguments, the program's name first.
    pub(crate) arguments: Vec<OsString>,
    /// The environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The working directory.
    pub(crate) working_directory: PathBuf,
    /// When it started.
    pub(crate) started: SystemTime,
    /// Standard output is a terminal.
    pub(crate) output_is_terminal: bool,
    /// Standard error is a terminal.
    pub(crate) errors_are_terminal: bool,
    /// Standard input is a terminal.
    pub(crate) input_is_terminal: bool,
    /// The log, if the environment asks for one.
    pub(crate) log: Log,
    /// How messages are printed.
    pub(crate) output: Output,
    /// What it is there for.
    pub(crate) role: Role,
}

/// What a process of this program is there for.
#[derive(PartialEq, Eq, Clone, Copy)]
pub(crate) enum Role {
    /// The command that the user gave.
    Command,
    /// The local cloud of a bake that runs in another process.
    Keeper,
}

impl Process {
    /// This process.
    pub(crate) fn current() -> Result<Process, Failure> {
        let started = SystemTime::now();
        let working_directory = std::env::current_dir()
            .map_err(|error| Failure::new("failed to find the working directory").because(&error))?;
        let mut arguments: Vec<OsString> = std::env::args_os().collect();
        let is_keeper = arguments.get(1).is_some_and(|first| first == KEEP);
        let role = if is_keeper {
            arguments.remove(1);
            Role::Keeper
        } else {
            Role::Command
        };
        let machine_readable = arguments.iter().any(|argument| is_machine_readable(argument));
        let mut process = Process {
            output: Output { machine_readable },
            role,
            arguments,
            environment: crate::env::read(),
            working_directory,
            started,
            output_is_terminal: std::io::stdout().is_terminal(),
            errors_are_terminal: std::io::stderr().is_terminal(),
            input_is_terminal: std::io::stdin().is_terminal(),
            log: Log::default(),
        };
        let asked = process.variable("PACKER_LOG");
        process.log = Log::start(asked, process.variable("PACKER_LOG_PATH"), &process.working_directory)?;
        Ok(process)
    }

    /// The name by which the program was started: `packer` through a link.
    pub(crate) fn called(&self) -> String {
        let name = self.arguments.first().map(Path::new).and_then(Path::file_name);
        name.map_or_else(|| "bakelite".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The user's home directory.
    pub(crate) fn home_directory(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    /// Where journals and the local cloud live: `$XDG_STATE_HOME/bakelite`, else `~/.local/state/bakelite`.
    pub(crate) fn state_directory(&self) -> Result<PathBuf, Failure> {
        let base = self
            .variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|directory| directory.is_absolute());
        let base = base.or_else(|| self.home_directory().map(|home| home.join(".local/state")));
        let base = base.ok_or_else(|| {
            Failure::new("failed to find a directory for journals").help("set HOME or XDG_STATE_HOME")
        })?;
        Ok(base.join("bakelite"))
    }

    /// Where journals are: in the named directory, which machines may share, or else in the state directory, which is closed to other
    /// users.
    pub(crate) fn journals(&self, named: Option<&Path>) -> Result<Journals, Failure> {
        let named = named.or_else(|| self.variable("BAKELITE_JOURNAL").map(Path::new));
        if let Some(directory) = named {
            return Ok(Journals::shared(self.working_directory.join(directory)));
        }
        let state = self.state_directory()?;
        // A user may have put a link to the state in its place.
        let real = state.canonicalize().unwrap_or_else(|_| state.clone());
        match private_directory::existing(&real) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::new(format!("failed to use the state directory `{}`", state.display())).because(&error))
            }
            _ => Ok(Journals::own(real.join("journal"))),
        }
    }

    /// Where temporary files are made.
    pub(crate) fn temporary_directory(&self) -> PathBuf {
        self.variable("TMPDIR")
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    /// What is the same for everything in one run of this process.
    pub(crate) fn run_context(&self, force: bool, debug: bool) -> RunContext {
        let mut environment = self.environment.clone();
        let id = uuid::Uuid::new_v4().to_string();
        environment.insert("PACKER_RUN_UUID".into(), id.clone());
        RunContext {
            id,
            working_directory: self.working_directory.clone(),
            temporary_directory: self.temporary_directory(),
            home_directory: self.home_directory(),
            force,
            debug,
            environment: Arc::new(environment),
            private_files: PrivateFiles::default(),
        }
    }

    /// Are colours wanted where nothing else is said? Not in a pipe, and not when the environment says no.
    pub(crate) fn wants_color(&self, is_terminal: bool) -> bool {
        is_terminal && self.variable("PACKER_NO_COLOR").is_none() && self.variable("NO_COLOR").is_none()
    }

    /// A variable of the environment that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// `-machine-readable`, which may stand anywhere.
pub(crate) fn is_machine_readable(argument: &OsStr) -> bool {
    argument == "-machine-readable" || argument == "--machine-readable"
}
