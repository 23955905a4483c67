//! Post-processors at work on artifacts, and what others say of what they wrote.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checksum;
mod compress;
mod manifest;
mod others;
mod provenance;
mod verify;
mod workbench;
