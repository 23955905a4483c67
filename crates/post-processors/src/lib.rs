//! What happens to an artifact after a bake: it is noted in a manifest, summed, packed, replaced, attested, or handed to a script.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

mod artifice;
pub mod attestation;
mod checksum;
mod compress;
mod go_json;
mod manifest;
mod output;
mod provenance;
mod replace;
mod shell_local;

use bakelite_engine::registry::Registration;

/// The post-processors of this crate.
pub static COMPONENTS: &[Registration] = &[
    artifice::REGISTRATION,
    checksum::REGISTRATION,
    compress::REGISTRATION,
    manifest::REGISTRATION,
    provenance::REGISTRATION,
    shell_local::REGISTRATION,
];
