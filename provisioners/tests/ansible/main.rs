//! The provisioners `ansible` and `ansible-local` with real Ansible, from PyPI, against OpenSSH's server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "polls for what a playbook does")]

mod adapter;
mod bench;
mod galaxy;
mod inventory;
mod local;
mod passwords;
mod processes;
mod ways;
#[path = "../instance/workbench.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod workbench;
