//! The instance behind the adapter, as far as files need more of it than a communicator offers: what lies where, and whether it has an
//! SFTP server.

use std::path::PathBuf;
use std::sync::Arc;

use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit};
use bakelite_engine::events::Ui;
use bakelite_engine::provisioner::Provisioning;
use bakelite_scripts::quote;
use tokio::sync::OnceCell;

use crate::remote_script::{answer, lost};

/// Where distributions keep OpenSSH's SFTP server.
const SFTP_SERVERS: &[&str] = &[
    "/usr/lib/sftp-server",
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
];

/// What our questions are answered with stands behind this: shells may print a banner before.
const MARK: &str = "bakelite: ";

/// The instance behind an adapter.
pub(crate) struct Instance {
    /// The way there.
    pub(super) communicator: Arc<dyn Communicator>,
    /// `sftp_command`.
    sftp_command: Option<String>,
    /// Where files lie while they go over.
    pub(super) temporary_directory: PathBuf,
    /// Where warnings go.
    ui: Ui,
    /// What to run for SFTP; asked once.
    sftp_server: OnceCell<Option<String>>,
}

/// What lies at a path of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A file of this mode and size.
    File { mode: u32, size: u64 },
    /// A directory of this mode.
    Directory { mode: u32 },
    /// Nothing.
    Nothing,
    /// It did not say: its shell is none of Unix.
    Unknown,
}

impl Instance {
    /// The instance of a bake; `sftp_command` as the template has it.
    pub(crate) fn new(provisioning: &Provisioning, sftp_command: Option<String>) -> Self {
        Self {
            communicator: Arc::clone(&provisioning.communicator),
            sftp_command,
            temporary_directory: provisioning.run.temporary_directory.clone(),
            ui: provisioning.ui.clone(),
            sftp_server: OnceCell::new(),
        }
    }

    /// The command that serves SFTP on the instance; `None` where there is none, or where commands run on a terminal, which does not
    /// leave bytes as they are.
    pub(super) async fn sftp_server(&self) -> Result<Option<&str>, CommunicatorError> {
        let found = self.sftp_server.get_or_try_init(|| self.look_for_sftp_server()).await?;
        Ok(found.as_deref())
    }

    async fn look_for_sftp_server(&self) -> Result<Option<String>, CommunicatorError> {
        let Some(command) = &self.sftp_command else {
            let places = SFTP_SERVERS.join(" ");
            let question = format!(
                "if [ ! -t 1 ]; then for p in {places}; do if [ -x $p ]; then echo '{MARK}'$p; break; fi; done; fi"
            );
            return Ok(self.answer(&question).await?.map(|program| format!("{program} -e")));
        };
        let program = shlex::split(command)
            .and_then(|words| words.into_iter().next())
            .unwrap_or_default();
        let question = format!(
            "if [ ! -t 1 ] && command -v {} >/dev/null 2>&1; then echo '{MARK}'; fi",
            quote::word(&program)
        );
        let found = self.answer(&question).await?.map(|_| command.clone());
        if found.is_none() {
            self.ui.warn(format!(
                "`sftp_command` (`{command}`) cannot be run on the instance; bakelite answers SFTP itself"
            ));
        }
        Ok(found)
    }

    /// What lies at a path, as `ls` tells it; `follow` looks behind a link.
    pub(super) async fn look_at(&self, path: &str, follow: bool) -> Result<Found, CommunicatorError> {
        let word = quote::path(path);
        let flags = if follow { "-dlnL" } else { "-dln" };
        let question = format!(
            "if [ -e {word} ] || [ -L {word} ]; then printf '{MARK}'; LC_ALL=C ls {flags} {word}; else echo '{MARK}nothing'; fi"
        );
        Ok(self
            .answer(&question)
            .await?
            .map_or(Found::Unknown, |answer| found(&answer)))
    }

    /// What stands behind the mark in a command's output.
    async fn answer(&self, command: &str) -> Result<Option<String>, CommunicatorError> {
        let (exit, said) = answer(self.communicator.exec(command).await?).await;
        if exit == Exit::Disconnected {
            return Err(lost());
        }
        let lines = said.lines().filter_map(|line| line.split_once(MARK));
        Ok(lines.map(|(_, answer)| answer.trim().to_owned()).next())
    }
}

/// A line of `ls -ln`: `-rw-r--r-- 1 0 0 123 …`.
fn found(line: &str) -> Found {
    if line == "nothing" {
        return Found::Nothing;
    }
    let mut words = line.split_whitespace();
    let Some(mode) = words.next().filter(|word| word.len() >= 10 && word.is_ascii()) else {
        return Found::Unknown;
    };
    let bits = mode.as_bytes().iter().skip(1).take(9).fold(0, |bits, letter| {
        // A letter for a bit of its own stands over `x` when it is small.
        bits << 1 | u32::from(!matches!(letter, b'-' | b'S' | b'T'))
    });
    if mode.starts_with('d') {
        return Found::Directory { mode: bits };
    }
    let size = words.nth(3).and_then(|size| size.parse().ok()).unwrap_or(0);
    Found::File { mode: bits, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ls_says_is_understood() {
        let file = |mode, size| Found::File { mode, size };
        for (line, expected) in [
            ("-rw-r--r-- 1 0 0 123 Jan  1 00:00 /x", file(0o644, 123)),
            (
                "-rwsr-x--T. 1 0 0 9876543210 Jan  1 00:00 /x",
                file(0o750, 9_876_543_210),
            ),
            (
                "drwxrwxrwt 17 0 0 4096 Jan  1 00:00 /tmp",
                Found::Directory { mode: 0o777 },
            ),
            ("lrwxrwxrwx 1 0 0 7 Jan  1 00:00 /x -> /y", file(0o777, 7)),
            ("crw--w---- 1 0 5 136, 0 Jan  1 00:00 /dev/pts/0", file(0o620, 0)),
            ("nothing", Found::Nothing),
            ("'ls' is not recognized", Found::Unknown),
            ("", Found::Unknown),
        ] {
            assert_eq!(found(line), expected, "{line}");
        }
    }
}
