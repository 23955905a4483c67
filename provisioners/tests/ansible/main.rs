//! The provisioners `ansible` and `ansible-local` with real Ansible, from PyPI, against OpenSSH's server.

mod adapter;
mod bench;
mod galaxy;
mod inventory;
mod processes;
mod ways;
#[path = "../instance/workbench.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod workbench;
