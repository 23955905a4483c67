//! SSH against OpenSSH's own server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod connecting;
mod files;
mod folders;
mod instance;
