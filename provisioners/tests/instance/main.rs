//! Provisioners at work: on an instance behind OpenSSH's server, and on this machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken_lines;
mod file;
mod options;
mod shell;
mod shell_local;
#[path = "../windows/mod.rs"]
mod windows;
mod workbench;
