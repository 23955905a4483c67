//! The AMI: made of a stopped instance, waited for, shared and tagged. What all builders that make one share.

pub(crate) mod artifact;
pub(crate) mod attributes;
pub(crate) mod check;
pub(crate) mod create;
pub(crate) mod fast_launch;
pub(crate) mod imaging;
pub(crate) mod options;
pub(crate) mod texts;
