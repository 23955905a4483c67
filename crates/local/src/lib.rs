//! The local cloud: EC2's API on sandboxes of this machine.
//!
//! [`LocalCloud`] answers EC2's and STS's Query protocol, Session Manager's and Secrets Manager's, on a loopback port for any client that
//! signs with its access key. Its instances are machines
//! ([`machine`]) with real SSH servers, its images are what instances leave on disk. What exists is kept in a state directory
//! that several processes may use at once: an image baked by one of them can be launched by the next, today or tomorrow.
//!
//! A program that starts a local cloud calls [`sandbox::enter_if_asked`] as the first thing in `main`, before any thread:
//! machines are made by running the program itself again.
//!
//! The API is on TCP although a socket in a directory of the user's own would be a wall more: the AWS CLI and boto3, which scripts of a
//! bake call it with, connect to nothing else, and so does a session's websocket. What keeps others out is the signature of each call.
//!
//! Limits: images of all architectures run what this machine has; only root devices hold data; to this machine all instances are loopback
//! addresses.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod access_keys;
mod address;
mod api_error;
mod authentication;
mod base;
mod call;
mod catalogue;
mod causes;
mod cgroup;
mod cloud;
mod connection_slots;
mod control;
mod credential;
mod disk;
mod distribution;
mod ec2;
mod export;
mod firewall;
mod full_disk;
#[doc(hidden)] // for the fuzzers, which are another crate
pub mod fuzzing;
mod given_image;
mod iam;
mod ids;
mod inside;
mod instances;
mod json_api;
mod keys;
mod latency;
mod layers;
mod limits;
mod local_cloud;
mod local_error;
pub mod machine;
mod machine_error;
mod metadata;
mod moment;
mod net;
mod network;
mod notice;
mod operator;
mod owner;
mod pattern;
mod pulled_images;
mod query;
mod query_api;
mod refusals;
mod reset;
mod router;
pub mod sandbox;
mod secrets_manager;
mod server;
mod sessions;
mod signature;
mod sshd;
mod ssm;
mod state;
mod state_directory;
mod store;
mod sts;
mod throttle;
mod usage;
mod user_data;
mod userland;
mod visibility;
mod wishes;
mod xml;

pub use access_keys::AccessKey;
pub use export::{ExportError, ExportTarget};
pub use given_image::{GivenImageError, ImageSource};
pub use instances::{InstanceSummary, exec, instances, release, ssh};
pub use latency::{Latency, LatencyError};
pub use limits::Limits;
pub use local_cloud::{ImageSummary, LocalCloud, LocalCloudOptions};
pub use local_error::LocalError;
pub use machine::Isolation;
pub use net::{Allowance, AllowanceError, NetworkOptions};
pub use notice::{Notice, Notices, StandIn};
pub use operator::SshLogin;
pub use refusals::{Denial, RefusalError, Refusals, Shortage};
pub use reset::{reset, reset_by_force};
pub use sandbox::enter_if_asked;
pub use state_directory::StateError;
pub use throttle::{CallRate, CallRateError};
pub use usage::{Usage, Used, UsedBy};
pub use userland::PullOptions;
