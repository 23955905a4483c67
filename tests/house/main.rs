//! Checks of the source tree itself. They compile none of it: `cargo test -p bakelite-house` takes seconds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod circles;
mod dependencies;
mod documents;
mod modules;
mod sources;
mod tree;
