//! How a bake talks to its instance: the options of all communicators, the wait until one connects, SSH and WinRM. From the bottom up:
//! `dial` opens streams, `transfer` reads and writes local directories, `ssh` and `winrm` are the protocols with configurations of their
//! own, and `connect` alone turns options into those.
//!
//! A builder flattens [`options::CommunicatorOptions`] into its own options and calls [`connect::connect`]; everything after that goes
//! through the engine's `Communicator`.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

mod check;
pub mod connect;
pub mod connection_data;
pub mod dial;
pub mod none;
mod openssh;
pub mod options;
#[doc(hidden)]
pub mod peers;
pub mod ssh;
mod tasks;
mod transfer;
mod winrm;
