//! How a bake talks to its instance: the options of all communicators, the wait until one connects, SSH and WinRM.
//!
//! A builder flattens [`options::CommunicatorOptions`] into its own options and calls [`connect::connect`]; everything after that goes
//! through the engine's `Communicator`.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

mod access;
pub mod check;
pub mod connect;
pub mod connection_data;
mod destination;
pub mod dial;
mod link;
pub mod none;
mod openssh;
pub mod options;
#[doc(hidden)]
pub mod peers;
pub mod ssh;
mod tasks;
pub mod winrm;
