//! How the program ends: exit codes, and the last words of a failure. The only caller that turns anything into a process status.

use std::error::Error;
use std::process::ExitCode;

use bakelite_engine::untrusted::visible;

/// How a command ended; the numbers are those that scripts around Packer know: 0, 1, 3 and 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It did what was asked.
    Ok,
    /// It did not, and has said why.
    Failed,
    /// `fmt -check` found something to change.
    WouldChange,
    /// No command, or one that does not exist; help was printed.
    NoCommand,
    /// What `local run` or `local exec` ran ended with this status.
    Of(u8),
}

impl Status {
    /// The status of a command that was run for the user, which becomes ours.
    pub(crate) fn of(status: i32) -> Status {
        match u8::try_from(status) {
            Ok(0) => Status::Ok,
            Ok(status) => Status::Of(status),
            Err(_) => Status::Failed,
        }
    }
}

/// Why a command failed, when the template is not at fault.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    causes: Option<String>,
    help: Option<String>,
    status: Status,
}

impl Failure {
    /// A failure: a lower-case fragment that states what failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            causes: None,
            help: None,
            status: Status::Failed,
        }
    }

    /// The same with its causes.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        self.causes = Some(bakelite_engine::chain_of(error));
        self
    }

    /// The same with an error of the engine: its causes and its remedy.
    pub(crate) fn of(what: impl Into<String>, error: &bakelite_engine::error::Error) -> Self {
        Self {
            help: error.help().map(str::to_owned),
            ..Self::new(what).because(error)
        }
    }

    /// The same with a remedy.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What was said already (usage, help); only the status is left.
    pub(crate) fn said(status: Status) -> Self {
        Self {
            what: String::new(),
            causes: None,
            help: None,
            status,
        }
    }
}

impl Failure {
    /// What failed with its causes, and the remedy.
    pub(crate) fn parts(&self) -> (String, Option<&str>) {
        let what = match &self.causes {
            Some(causes) => format!("{}: {causes}", self.what),
            None => self.what.clone(),
        };
        (what, self.help.as_deref())
    }
}

/// Ends the program as its command ended; the last words of a failure are printed by the caller.
pub(crate) fn with(ended: Result<Status, Failure>, last_words: impl FnOnce(&str)) -> ExitCode {
    let status = match ended {
        Ok(status) => status,
        Err(failure) => {
            let words = failure.words();
            if !words.is_empty() {
                last_words(&words);
            }
            failure.status
        }
    };
    match status {
        Status::Ok => ExitCode::SUCCESS,
        Status::Failed => ExitCode::from(1),
        Status::WouldChange => ExitCode::from(3),
        Status::NoCommand => ExitCode::from(127),
        Status::Of(code) => ExitCode::from(code),
    }
}

impl Failure {
    /// The last words of the program, legible, each line with its end; empty when everything is said.
    pub(crate) fn words(&self) -> String {
        if self.what.is_empty() {
            return String::new();
        }
        let mut words = format!("error: {}", visible(&self.what));
        if let Some(causes) = &self.causes {
            words = format!("{words}: {}", visible(causes));
        }
        if let Some(help) = &self.help {
            words = format!("{words}\nhelp: {}", visible(help));
        }
        words + "\n"
    }
}
