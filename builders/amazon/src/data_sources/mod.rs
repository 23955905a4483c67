//! Data sources of AWS.

pub(crate) mod ami;
