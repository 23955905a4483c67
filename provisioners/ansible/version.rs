//! Which Ansible is there: `command --version`, asked once per run of the program.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use bakelite_engine::error::Explain;

/// Why a program is not taken for Ansible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VersionError {
    #[error("`{program} --version` failed")]
    Start { program: String, source: std::io::Error },
    #[error("`{program} --version` failed: {status} {last}")]
    Status {
        program: String,
        status: ExitStatus,
        /// The last line that it printed on standard error.
        last: String,
    },
    #[error("`{program} --version` prints no version: `{first}`")]
    NoVersion { program: String, first: String },
    #[error("`{program}` is Ansible {major}, and it must be 2 or later")]
    Old { program: String, major: u32 },
}

impl Explain for VersionError {
    fn help(&self) -> Option<Cow<'_, str>> {
        let help = "install Ansible, or name its program in `command`; `skip_version_check = true` skips this check";
        Some(help.into())
    }
}

/// Complains about a program that is not Ansible of version 2 or later.
///
/// `validate` runs it, as it runs nothing else: an Ansible that is missing or broken is found before an instance costs money. It takes
/// Ansible half a second to say its version, and each try of a provisioner checks its options, so that the answer is kept.
pub(crate) fn check(program: &str) -> Result<(), VersionError> {
    static FINE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut fine = FINE.lock().unwrap_or_else(PoisonError::into_inner);
    if fine.contains(program) {
        return Ok(());
    }
    let major = major_of(program)?;
    if major < 2 {
        let program = program.to_owned();
        return Err(VersionError::Old { program, major });
    }
    fine.insert(program.to_owned());
    Ok(())
}

/// The major version that it prints.
fn major_of(program: &str) -> Result<u32, VersionError> {
    let run = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let program = program.to_owned();
    let printed = match run {
        Ok(printed) => printed,
        Err(source) => return Err(VersionError::Start { program, source }),
    };
    let text = String::from_utf8_lossy(&printed.stdout);
    if !printed.status.success() {
        let errors = String::from_utf8_lossy(&printed.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(VersionError::Status {
            program,
            status: printed.status,
            last: last.to_owned(),
        });
    }
    let first = text.lines().next().unwrap_or_default().to_owned();
    major(&text).ok_or(VersionError::NoVersion { program, first })
}

/// `ansible-playbook [core 2.19.14]` and `ansible-playbook 2.9.6` have the major version 2.
fn major(text: &str) -> Option<u32> {
    let first = text.lines().next()?;
    let mut numbers = first
        .split([' ', '[', ']'])
        .skip(1)
        .filter_map(|word| word.split_once('.'));
    numbers.find_map(|(major, _)| major.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_times_are_read() {
        assert_eq!(major("ansible-playbook [core 2.19.14]\n  config file = None"), Some(2));
        assert_eq!(major("ansible-playbook 2.9.6\n"), Some(2));
        assert_eq!(major("ansible-playbook 1.9.4"), Some(1));
        assert_eq!(major("no version 2"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let error = check("/nonexistent/ansible").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ansible"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("No such file"), "{source}");
        assert!(error.help().is_some());
    }
}
