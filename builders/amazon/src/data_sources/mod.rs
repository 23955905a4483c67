//! What a template asks of AWS before the bake.

pub(crate) mod ami;
pub(crate) mod parameter_store;
pub(crate) mod secrets_manager;
