//! Components that need no cloud: builder `null` runs provisioners on a machine that exists already, builder `file` writes a file,
//! data source `null` hands its input on, data source `http` asks a server; functions `vault` and `consul_key` ask stores of secrets.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod data_http;
mod data_null;
mod file;
mod null;
pub mod secrets;

use bakelite_engine::registry::Registration;

/// The components of this crate.
pub static COMPONENTS: &[Registration] = &[
    file::REGISTRATION,
    null::REGISTRATION,
    data_null::REGISTRATION,
    data_http::REGISTRATION,
];
