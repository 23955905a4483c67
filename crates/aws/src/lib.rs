//! AWS as a bake sees it: how it is reached, the only factory of SDK clients, error classes, shared waiting, tags, undo and sweep.
//! Nothing of the SDK is mirrored or re-exported: whoever calls an operation uses the SDK itself.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

pub mod access;
mod authorities;
pub mod class;
pub mod client;
pub mod credentials;
mod describe;
pub mod remove;
pub mod secrets;
pub mod ssm;
pub mod sweep;
pub mod tag;
mod tagged;
mod transport;
pub mod undo;
pub mod watch;
