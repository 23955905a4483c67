//! AWS as a bake needs it: credentials, the only factory of SDK clients, the retry policy, shared waiting, tags, and the removal of what
//! was made. Nothing of the SDK is mirrored or re-exported: whoever calls an operation uses the SDK itself.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

pub mod access;
pub mod asked;
mod authorities;
pub mod batch;
mod budget;
pub mod call;
pub mod client;
pub mod credentials;
pub mod describe;
pub mod error;
mod logged;
pub mod made;
mod mfa;
pub mod resource;
pub mod retry;
pub mod secrets;
pub mod ssm;
mod sts;
pub mod tag;
pub mod times;
mod transport;
pub mod undo;
mod vault_engine;
pub mod watch;
