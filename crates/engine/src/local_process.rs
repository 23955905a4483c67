//! A program of this machine that a component runs: what it prints is said line by line while it runs, and it ends with all that it
//! has started when nobody waits for it any more.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::events::Ui;
use crate::output::stream_pipes;
use crate::process_tree::ProcessTree;

/// How long a signal that a child has died of may take to arrive here.
const INTERRUPTED: Duration = Duration::from_secs(1);

/// Why a program did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum LocalProcessError {
    /// It cannot be started.
    #[error("start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// Its output cannot be read.
    #[error("read the output of `{program}`")]
    Output {
        /// The program.
        program: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
}

/// Runs a program without input until it ends; answers its status, -1 when a signal ended it. Dropping the future ends it and what
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

/// Waits for the end of a child while its output is said; a child that a signal ended has the status -1.
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
        let _ = tokio::time::timeout(INTERRUPTED, std::future::pending::<()>()).await;
    }
    Ok(status.code().map_or(-1, i64::from))
}

/// Did a terminal's interrupt or hang-up end it, or a child that it waited for?
fn was_interrupted(status: ExitStatus) -> bool {
    use rustix::process::Signal;
    let signals = [Signal::INT, Signal::HUP].map(Signal::as_raw);
    let of_shell = status.code().map(|code| code - 128);
    let signal = status.signal().or(of_shell);
    signal.is_some_and(|signal| signals.contains(&signal))
}
