//! The local cloud: EC2's API on sandboxes of this machine.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod machine;
pub mod sandbox;
