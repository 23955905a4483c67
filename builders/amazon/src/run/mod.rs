//! Launching and reaching an instance: what all builders that do so share, from the source AMI to the stopped instance.

pub(crate) mod address;
pub(crate) mod blocks;
pub(crate) mod check;
pub(crate) mod connect;
pub(crate) mod console;
pub(crate) mod filters;
pub(crate) mod instance;
pub(crate) mod key_pair;
pub(crate) mod launch;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod options;
pub(crate) mod password;
pub(crate) mod placement;
pub(crate) mod preflight;
pub(crate) mod profile;
pub(crate) mod public_address;
pub(crate) mod security_group;
pub(crate) mod session_manager;
pub(crate) mod source_ami;
pub(crate) mod spot;
pub(crate) mod texts;
mod types;
pub(crate) mod volumes;
