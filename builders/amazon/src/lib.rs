//! Amazon EC2: the amazon-ebs builder and the amazon-ami data source. The registry slice at the end is all that the program sees.
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
mod tags;

use bakelite_engine::registry::Registration;

/// What this crate registers.
pub static COMPONENTS: &[Registration] = &[ebs::COMPONENT, data_sources::ami::COMPONENT];
