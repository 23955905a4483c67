//! What happens to an artifact after a bake: it is noted in a manifest, summed, packed, replaced, or handed to a script.

mod artifice;
mod checksum;
mod compress;
mod manifest;
mod shell_local;

use bakelite_engine::registry::Registration;

/// The post-processors of this crate.
pub static COMPONENTS: &[Registration] = &[
    artifice::REGISTRATION,
    checksum::REGISTRATION,
    compress::REGISTRATION,
    manifest::REGISTRATION,
    shell_local::REGISTRATION,
];
