//! The run that a test connects in, and what a command did.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_engine::communicator::{Communicator, Exit, Output, Running};
use bakelite_engine::provisioner::RunContext;
use bakelite_test_support::eventually::in_time;

pub(crate) fn run(environment: &[(&str, &str)]) -> RunContext {
    let environment: BTreeMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    RunContext {
        id: "run".into(),
        working_directory: "/".into(),
        temporary_directory: std::env::temp_dir(),
        home_directory: None,
        force: false,
        debug: false,
        environment: Arc::new(environment),
        private_files: bakelite_engine::private_file::PrivateFiles::default(),
    }
}

/// Everything a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Exit,
}

pub(crate) async fn ran(communicator: &dyn Communicator, command: &str) -> Ran {
    let mut running = in_time("the command's start", communicator.exec(command))
        .await
        .unwrap();
    drop(running.stdin.take());
    outcome(running).await
}

/// What a command prints next.
pub(crate) async fn printed(running: &mut Running) -> Option<Output> {
    in_time("something printed, or its end", running.output.recv()).await
}

pub(crate) async fn outcome(mut running: Running) -> Ran {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(output) = printed(&mut running).await {
        match output {
            Output::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            Output::Stderr(bytes) => stderr.extend_from_slice(&bytes),
        }
    }
    Ran {
        stdout,
        stderr,
        exit: in_time("the command's end", running.exit).await.unwrap(),
    }
}
