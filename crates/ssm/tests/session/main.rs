//! Sessions between a client and an agent over real websockets, through a relay that does to frames what networks do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod ends;
mod faults;
mod relay;
mod service;
mod streams;
