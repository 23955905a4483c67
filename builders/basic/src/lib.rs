//! Builders that need no cloud: `null` runs provisioners on a machine that exists already, `file` writes a file.

mod file;
mod null;

use bakelite_engine::registry::Registration;

/// The builders of this crate.
pub static COMPONENTS: &[Registration] = &[file::REGISTRATION, null::REGISTRATION];
