//! What the tests run on. Knows no crate of the house, so that none of them depends on itself through its tests.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

pub mod account;
pub mod backstop;
pub mod clouds;
pub mod context;
pub mod ended;
pub mod eventually;
pub mod exchange;
pub mod faults;
pub mod faulty_line;
pub mod inventory;
pub mod registry;
pub mod server;
pub mod signer;
pub mod slow_line;
pub mod sshd;
pub mod tools;
pub mod wsman;
