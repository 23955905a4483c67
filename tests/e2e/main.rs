//! End-to-end tests: the binary, run as a user runs it, against clouds and servers that are real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod clients;
mod command_line;
mod house;
mod interrupts;
mod local_bakes;
mod manifests;
mod moto_bakes;
mod secrets;
mod session_manager;
mod templates;
mod terminal;
