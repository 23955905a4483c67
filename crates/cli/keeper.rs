//! A local cloud in a process of its own, for bakes that may leave their instance running: the instance outlives the bake, until `gc` removes
//! it or somebody terminates it.
//!
//! The process is this program again with the same arguments behind a hidden one. Its standard input ends with the bake, however that ends;
//! on its standard output it reports how to call the cloud, and what becomes of it.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::args::{LocalCloudArgs, LocalPull};
use crate::cloud::{Access, Cloud, local_pull, state_directory};
use crate::exit::{Failure, Status};
use crate::notices::NoticeBoard;
use crate::process::{KEEP, Process};
use crate::signals::Signals;

/// The process, as its bake sees it.
pub(crate) struct Keeper {
    child: Child,
    input: ChildStdin,
    reports: Mutex<Lines<BufReader<ChildStdout>>>,
    access: Access,
    board: NoticeBoard,
}

impl Keeper {
    /// Starts the process of a bake; its cloud can be called when this returns.
    pub(crate) async fn start(args: &LocalCloudArgs, process: &Process) -> Result<Keeper, Failure> {
        let failed = || Failure::new("failed to start a process for the local cloud");
        let mut child = Command::new("/proc/self/exe")
            .arg(KEEP)
            .args(process.arguments.iter().skip(1))
            .env_remove("PACKER_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed().because(&error))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed());
        };
        let mut reports = BufReader::new(output).lines();
        let board = NoticeBoard::new(process.output, local_pull(args, process)? == LocalPull::Never);
        let first = next(&mut reports, &board).await.ok_or_else(failed)?;
        let text = |name: &str| first.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(error) = text("error") {
            let failure = Failure::new(error);
            return Err(match text("help") {
                Some(help) => failure.help(help),
                None => failure,
            });
        }
        let (Some(endpoint), Some(id), Some(secret)) = (text("endpoint"), text("id"), text("secret")) else {
            return Err(failed());
        };
        let access = Access {
            endpoint,
            id,
            secret,
            state_directory: state_directory(args.local_state.as_deref(), process)?,
        };
        Ok(Keeper {
            child,
            input,
            reports: Mutex::new(reports),
            access,
            board,
        })
    }

    /// How to call its cloud.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Where what its cloud reports comes together.
    pub(crate) fn board(&self) -> &NoticeBoard {
        &self.board
    }

    /// Completes when another process has asked the cloud to end; answers the command that did.
    pub(crate) async fn asked_to_end(&self) -> String {
        let mut reports = self.reports.lock().await;
        loop {
            match next(&mut reports, &self.board).await {
                Some(report) => {
                    if let Some(wish) = report.get("end").and_then(Value::as_str) {
                        return wish.to_owned();
                    }
                }
                None => return std::future::pending().await,
            }
        }
    }

    /// Ends with the bake: answers the instances that stay, and the process ends when there are none.
    pub(crate) async fn leave(mut self) -> Vec<String> {
        drop(self.input);
        let reports = self.reports.get_mut();
        while let Some(report) = next(reports, &self.board).await {
            if let Some(kept) = report.get("kept").and_then(Value::as_array) {
                return kept.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            }
        }
        let _ = self.child.wait().await; // it has closed its output, so it is about to end
        Vec::new()
    }
}

/// The next report that is no notice; notices go to the board.
async fn next(reports: &mut Lines<BufReader<ChildStdout>>, board: &NoticeBoard) -> Option<Value> {
    loop {
        let line = reports.next_line().await.ok()??;
        let report: Value = serde_json::from_str(&line).ok()?;
        if !board.take_line(&report) {
            return Some(report);
        }
    }
}

/// What the process itself does.
pub(crate) async fn run(args: &LocalCloudArgs, process: &Process) -> Result<Status, Failure> {
    // The terminal of the bake, its interrupts and its end, are nothing to an instance that stays.
    let _ = rustix::process::setsid();
    let mut signals = Signals::listen()?;
    let cloud = match Cloud::start_for_build(args, process).await {
        Ok(cloud) => cloud,
        Err(failure) => {
            let (error, help) = failure.parts();
            report(&json!({ "error": error, "help": help }));
            return Ok(Status::Failed);
        }
    };
    let access = cloud.access();
    report(&json!({ "endpoint": access.endpoint, "id": access.id, "secret": access.secret }));
    let is_wanted = tokio::select! {
        () = end_of_bake() => true,
        wish = cloud.asked_to_end() => {
            report(&json!({ "end": wish }));
            end_of_bake().await;
            false
        }
        _ = signals.next() => false,
    };
    if is_wanted && cloud.has_instances() {
        report(&json!({ "kept": kept(&access.state_directory) }));
        tokio::select! {
            () = cloud.idle() => {}
            () = cloud.released() => {}
            _ = cloud.asked_to_end() => {}
            _ = signals.next() => {}
        }
    }
    cloud.shutdown().await;
    Ok(Status::Ok)
}

/// The instances of this process.
fn kept(state_directory: &Path) -> Vec<String> {
    let instances = bakelite_local::instances(state_directory).unwrap_or_default();
    let ours = instances
        .into_iter()
        .filter(|instance| instance.process == Some(std::process::id()));
    ours.map(|instance| instance.id).collect()
}

/// Nothing is ever written to standard input: it ends.
async fn end_of_bake() {
    let Ok(input) = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned() else {
        return;
    };
    let Ok(mut input) = pipe::Receiver::from_owned_fd(input) else {
        return;
    };
    let mut rest = Vec::new();
    let _ = input.read_to_end(&mut rest).await; // an error is an end, too
}

/// A bake that is gone reads nothing.
fn report(report: &Value) {
    let mut output = std::io::stdout();
    let _ = writeln!(output, "{report}").and_then(|()| output.flush());
}
