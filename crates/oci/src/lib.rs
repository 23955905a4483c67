//! Images of container registries, as the OCI specifies them and Docker made them before: what the local cloud's base images are pulled
//! from, and what its AMIs are exported to.
//!
//! From the bottom up: [`digest`] and [`reference`] (names), [`manifest`] (what a registry answers), [`error`], [`credentials`] (whom a
//! registry lets in), [`registry`] (requests, with their authentication), [`pull`] and [`push`], [`layout`] (an image as files).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod credentials;
pub mod digest;
pub mod error;
pub mod layout;
pub mod manifest;
pub mod pull;
pub mod push;
pub mod reference;
pub mod registry;

pub use digest::Digest;
pub use error::OciError;
pub use reference::Reference;
