//! WinRM against the WS-Man server of the tests: there is no Windows here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod connecting;
mod directories;
mod files;
mod instance;
#[path = "../outcome/mod.rs"]
mod outcome;
mod proxies;
mod troubles;
