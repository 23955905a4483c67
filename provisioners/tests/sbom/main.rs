//! The sbom provisioner on real machines, and what the makers of the formats say of its documents.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod listed;
mod taken;
#[path = "../instance/workbench.rs"]
#[expect(dead_code, reason = "the tests of other provisioners use the rest")]
mod workbench;

use std::process::Command;

use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::sshd::Setup;
use bakelite_test_support::tools;
use serde_json::Value;

use crate::workbench::Workbench;

async fn bench() -> Workbench {
    Workbench::with_instance(Setup::default()).await
}

fn json(bench: &Workbench, name: &str) -> Value {
    serde_json::from_str(&bench.read(name)).unwrap()
}

/// The package URLs in a document that the makers of its format find nothing wrong with.
fn purls(bench: &Workbench, format: &str, name: &str) -> Vec<String> {
    let script = format!("{}/tests/sbom/sboms.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(tools::program("python"));
    let output = command.args([&script, format, &bench.path(name)]).run_to_end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
