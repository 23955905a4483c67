//! Amazon EC2: the builders amazon-ebs, amazon-ebssurrogate and amazon-ebsvolume, and the data sources. The registry slice at the end is all that the program sees.
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
];
