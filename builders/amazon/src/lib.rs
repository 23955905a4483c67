//! AWS: the builders amazon-ebs, amazon-ebssurrogate and amazon-ebsvolume, and the data sources of AMIs, parameters and secrets. The
//! registry slice at the end is all that the program sees.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

mod block_device;
mod cloud;
mod data_sources;
mod ebs;
mod findings;
mod image;
pub mod policy;
mod run;
mod surrogate;
mod tags;
mod volume;

use bakelite_engine::registry::Registration;

/// What this crate registers.
pub static COMPONENTS: &[Registration] = &[
    ebs::COMPONENT,
    surrogate::COMPONENT,
    volume::COMPONENT,
    data_sources::ami::COMPONENT,
    data_sources::parameter_store::COMPONENT,
    data_sources::secrets_manager::COMPONENT,
];
