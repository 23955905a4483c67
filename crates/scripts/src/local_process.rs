//! A program of this machine that a component runs: its output is printed line by line while it runs, and when nobody waits for it any
//! more it is ended together with all that it has started.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bakelite_engine::clock::pause_unless;
use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;
use bakelite_engine::output::stream_pipes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// How long a signal that a child has died of may take to arrive here.
const INTERRUPTED: Duration = Duration::from_secs(1);

/// Why a program did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum LocalProcessError {
    /// It cannot be started.
    #[error("failed to start `{program}`")]
    Start {
        /// Its name or path.
        program: String,
        /// The error of the system.
        #[source]
        cause: std::io::Error,
    },
    /// Its output cannot be read.
    #[error("failed to read the output of `{program}`")]
    Output {
        /// Its name or path.
        program: String,
        /// The error of the system.
        #[source]
        cause: std::io::Error,
    },
}

impl Explain for LocalProcessError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            LocalProcessError::Start { program, cause } => match cause.kind() {
                ErrorKind::NotFound => Some(format!("install `{program}`, or name it by its whole path").into()),
                ErrorKind::PermissionDenied => Some(format!("make it executable: chmod +x {program}").into()),
                _ => None,
            },
            LocalProcessError::Output { .. } => None,
        }
    }
}

/// Runs a program without input until it ends; returns its exit status, -1 when a signal ended it. Dropping the future ends it and what
/// it has started.
pub async fn run(mut command: Command, ui: &Ui) -> Result<i64, LocalProcessError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => return Err(LocalProcessError::Start { program, cause }),
    };
    wait(&mut child, ui)
        .await
        .map_err(|cause| LocalProcessError::Output { program, cause })
}

/// Waits for the end of a child while its output is printed; a child that a signal ended has the status -1.
async fn wait(child: &mut Child, ui: &Ui) -> std::io::Result<i64> {
    let tree = ProcessTree::of(child.id());
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        stream_pipes(stdout, stderr, ui).await?;
    }
    let status = child.wait().await?;
    tree.ended();
    if was_interrupted(status) {
        // A terminal sends Ctrl-C to the child and to this process alike. Then this is about to be dropped: the bake was cancelled,
        // and no script has failed.
        pause_unless(INTERRUPTED, std::future::pending()).await;
    }
    Ok(status.code().map_or(-1, i64::from))
}

/// Did a terminal's interrupt or hang-up end it, or a child that it waited for?
fn was_interrupted(status: ExitStatus) -> bool {
    let signals = [Signal::INT, Signal::HUP].map(Signal::as_raw);
    let of_shell = status.code().map(|code| code - 128);
    let signal = status.signal().or(of_shell);
    signal.is_some_and(|signal| signals.contains(&signal))
}

/// Kills the process and its descendants when it is dropped, unless the process has ended by itself.
struct ProcessTree {
    root: Option<u32>,
}

impl ProcessTree {
    /// The tree below a process that runs.
    fn of(root: Option<u32>) -> Self {
        Self { root }
    }

    /// The process has ended and been waited for: its number may belong to another one now.
    fn ended(mut self) {
        self.root = None;
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        let Some(root) = self.root else { return };
        // Parents first, so that none of them can answer to the end of a child by starting another.
        for process in descendants(root, &parents()) {
            if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                // It may have ended in the meantime.
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}

/// The process and what it has started, parents before children.
fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents
            .iter()
            .filter(|(child, of)| **of == parent && !found.contains(child))
            .map(|(child, _)| *child);
        let children: Vec<u32> = children.collect();
        found.extend(children);
        next += 1;
    }
    found
}

/// Process → its parent, of all processes; empty where there is no `/proc`.
fn parents() -> BTreeMap<u32, u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|process| Some((process, parent(process)?)))
        .collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; after it come state and parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_over_generations_and_others_are_not() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 2), (5, 4), (6, 1), (7, 99)]);
        assert_eq!(descendants(2, &parents), [2, 3, 4, 5]);
    }

    #[test]
    fn this_process_has_a_parent() {
        assert!(parents().contains_key(&std::process::id()));
    }
}
