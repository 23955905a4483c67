//! Which Ansible is there: `command --version`, asked once per run of the program.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Why a program is not taken for Ansible.
#[derive(Debug, thiserror::Error)]
#[error("`{program} --version` failed: {reason}")]
pub(crate) struct VersionError {
    program: String,
    reason: String,
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
    let reason = match ask(program) {
        Ok(2..) => {
            fine.insert(program.to_owned());
            return Ok(());
        }
        Ok(major) => format!("version {major} is too old, it must be 2 or later"),
        Err(reason) => reason,
    };
    Err(VersionError {
        program: program.to_owned(),
        reason,
    })
}

/// The major version that it says.
fn ask(program: &str) -> Result<u32, String> {
    let said = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&said.stdout);
    if !said.status.success() {
        let errors = String::from_utf8_lossy(&said.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("{} {last}", said.status).trim_end().to_owned());
    }
    major(&text).ok_or_else(|| format!("it says no version: `{}`", text.lines().next().unwrap_or_default()))
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
        let error = check("/nonexistent/ansible").unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }
}
