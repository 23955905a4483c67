//! What components that run scripts share: which scripts and with which variables ([`script`]), scripts and programs of this machine
//! ([`local_shell`], [`local_process`]), paths of this machine as options ([`path`]), and text written in another language ([`quote`],
//! [`powershell`]).
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

pub mod local_process;
pub mod local_shell;
pub mod path;
pub mod powershell;
pub mod quote;
pub mod script;
