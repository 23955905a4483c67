//! Provisioners: what changes an instance (or this machine) while a bake has it. Each is a file or a directory with a row in
//! [`COMPONENTS`]; they see an instance only as the engine's `Communicator`. They share `instance` (commands, staged files),
//! `remote_script` and `windows_scripts` (scripts on the instance) and `retry`.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

mod ansible;
mod ansible_local;
mod breakpoint;
mod file;
mod instance;
mod line_ends;
mod powershell;
mod powershell_command;
mod powershell_elevated;
mod remote_script;
mod retry;
mod sbom;
mod shell;
mod shell_local;
mod sleep;
mod transfer;
mod windows_restart;
mod windows_scripts;
mod windows_shell;

use bakelite_engine::registry::Registration;

/// The provisioners of this crate.
pub static COMPONENTS: &[Registration] = &[
    ansible::REGISTRATION,
    ansible_local::REGISTRATION,
    breakpoint::REGISTRATION,
    file::REGISTRATION,
    sbom::HCP_REGISTRATION,
    powershell::REGISTRATION,
    sbom::REGISTRATION,
    shell::REGISTRATION,
    shell_local::REGISTRATION,
    sleep::REGISTRATION,
    windows_restart::REGISTRATION,
    windows_shell::REGISTRATION,
];
