//! The local cloud: EC2's API on sandboxes of this machine.
//!
//! [`LocalCloud`] answers EC2's and STS's Query protocol, and Session Manager's, on a loopback port for any client. Its instances are machines
//! ([`machine`]) with real SSH servers, its images are what instances leave on disk. What exists is kept in a state folder
//! that several processes may use at once: an image baked by one of them can be launched by the next, today or tomorrow.
//!
//! A program that starts a local cloud calls [`sandbox::enter_if_asked`] as the first thing in `main`, before any thread:
//! machines are made by running the program itself again.
//!
//! Limits: signatures and security groups are not enforced; images of all architectures run what this machine has; only
//! root devices hold data; all networks are this machine's loopback.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod address;
mod api_error;
mod base;
mod call;
mod catalogue;
mod cgroup;
mod cloud;
mod credential;
mod disk;
mod ec2;
mod ids;
mod json_api;
mod keys;
mod latency;
mod layers;
mod limits;
mod local_cloud;
pub mod machine;
mod moment;
mod owner;
mod query;
pub mod sandbox;
mod secrets_manager;
mod server;
mod sshd;
mod ssm;
mod state;
mod state_folder;
mod store;
mod sts;
mod xml;

pub use latency::{Latency, LatencyError};
pub use limits::Limits;
pub use local_cloud::{ImageSummary, LocalCloud, LocalCloudOptions, LocalError, reset};
pub use machine::Isolation;
pub use sandbox::enter_if_asked;
pub use state_folder::StateError;
