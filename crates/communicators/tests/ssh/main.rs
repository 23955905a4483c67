//! SSH against OpenSSH's own server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "polls for what a server does")]

mod bastions;
mod broken_lines;
mod commands;
mod connecting;
mod directories;
mod files;
mod hostile;
mod instance;
mod keys;
mod liar;
#[path = "../outcome/mod.rs"]
mod outcome;
mod passwords;
mod proxies;
mod tunnels;
mod ways;
