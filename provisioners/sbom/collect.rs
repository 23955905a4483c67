//! Asks the instance what is installed: one script, one command, nothing left behind.

use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit, Output};
use bakelite_scripts::quote;
use tokio::io::AsyncWriteExt as _;

use super::LONGEST;

/// The script.
const SCRIPT: &str = include_str!("collect.sh");
/// How much of the script's complaints is kept, in bytes.
const LONGEST_COMPLAINT: usize = 4096;

/// What the instance said, by section.
#[derive(Debug, Default)]
pub(super) struct Collected {
    sections: Vec<(String, String)>,
}

/// Why there is no list of packages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("failed to list the packages of the instance")]
    Communicator(#[from] CommunicatorError),
    #[error("failed to list the packages of the instance: the connection was lost")]
    Disconnected,
    #[error("failed to list the packages of the instance: `sh` ended with status {status}{}", said(.complaints))]
    Failed { status: u32, complaints: String },
    #[error("failed to list the packages of the instance: `{program}` failed{}", said(.complaints))]
    Program { program: String, complaints: String },
    #[error("failed to list the packages of the instance: the list has no end{}", said(.complaints))]
    Cut { complaints: String },
    #[error("failed to list the packages of the instance: the list is longer than {LONGEST} bytes")]
    TooLong,
}

fn said(complaints: &str) -> String {
    match complaints.trim() {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}

/// Lists what is installed below a directory of the instance.
pub(super) async fn collect(communicator: &dyn Communicator, directory: &str) -> Result<Collected, CollectError> {
    let mut running = communicator.exec("sh -s").await?;
    if let Some(mut input) = running.stdin.take() {
        let script = format!("{SCRIPT}\nlist {}\n", quote::path(directory));
        // A shell that has ended already says so by its status.
        let _ = input.write_all(script.as_bytes()).await;
        let _ = input.shutdown().await;
    }
    let (mut list, mut complaints) = (Vec::new(), Vec::new());
    while let Some(output) = running.output.recv().await {
        match output {
            Output::Stdout(bytes) if list.len() + bytes.len() > LONGEST => return Err(CollectError::TooLong),
            Output::Stdout(bytes) => list.extend_from_slice(&bytes),
            Output::Stderr(bytes) => complaints.extend_from_slice(&bytes),
        }
        complaints.truncate(LONGEST_COMPLAINT);
    }
    let complaints = String::from_utf8_lossy(&complaints).into_owned();
    match running.exit.await.unwrap_or(Exit::Disconnected) {
        Exit::Disconnected => Err(CollectError::Disconnected),
        Exit::Status(0) => Collected::read(&String::from_utf8_lossy(&list), complaints),
        Exit::Status(status) => Err(CollectError::Failed { status, complaints }),
    }
}

impl Collected {
    /// The sections of a list that is complete.
    pub(super) fn read(text: &str, complaints: String) -> Result<Self, CollectError> {
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('\u{1}') {
                sections.push((name.to_owned(), String::new()));
            } else if let Some((_, lines)) = sections.last_mut() {
                lines.push_str(line);
                lines.push('\n');
            }
        }
        if let Some((_, program)) = sections.iter().find(|(name, _)| name == "failed") {
            let program = program.trim().to_owned();
            return Err(CollectError::Program { program, complaints });
        }
        match sections.last() {
            Some((name, _)) if name == "end" => Ok(Self { sections }),
            _ => Err(CollectError::Cut { complaints }),
        }
    }

    /// The lines of a section; empty where the instance has nothing of that kind.
    pub(super) fn section(&self, name: &str) -> &str {
        let section = self.sections.iter().find(|(one, _)| one == name);
        section.map_or("", |(_, lines)| lines)
    }

    /// The files in a section, each with its path.
    pub(super) fn files(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self.section(name).split('\u{2}').skip(1);
        files.filter_map(|file| file.split_once('\n'))
    }
}
