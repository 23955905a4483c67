//! Programs that we did not write, installed by `tests/prepare`: AWS CLI, boto3, Moto. Missing ones fail the test that needs them,
//! with the command that installs them.

use std::path::PathBuf;

/// The directory that `tests/prepare` fills.
pub fn directory() -> PathBuf {
    crate::backstop::watch();
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/test-tools");
    assert!(
        directory.join("requirements.txt").exists(),
        "the tests' tools are not installed: run tests/prepare, or tests/run for all of it"
    );
    directory.canonicalize().expect("an existing directory has a path")
}

/// A program of that directory.
pub fn program(name: &str) -> PathBuf {
    directory().join("bin").join(name)
}

/// Whether the tests run as root: some machines for OpenSSH's server can be made by root alone.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}
