//! The AMI: made of a stopped instance, waited for, copied to its regions, shared and tagged. What all builders that make one share.

pub(crate) mod ami;
pub(crate) mod artifact;
pub(crate) mod attributes;
pub(crate) mod check;
mod copy;
mod create;
pub(crate) mod encryption;
pub(crate) mod fast_launch;
mod finish;
pub(crate) mod imaging;
pub(crate) mod names;
pub(crate) mod options;
mod regions;
pub(crate) mod snapshot;
pub(crate) mod texts;
