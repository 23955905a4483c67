//! What a bake is: contracts of builders, provisioners, post-processors and communicators; the run of a plan; undo, journal, events.
//! No protocol and no cloud: those are behind the contracts.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

pub mod artifact;
pub mod backpressure;
pub mod bake;
pub mod builder;
pub mod cancel;
mod chain;
pub mod clock;
pub mod communicator;
pub mod data_source;
pub mod error;
pub mod event;
pub mod events;
pub mod gc;
pub mod journal;
pub mod journals;
pub mod notes;
mod options;
pub mod output;
pub mod policy;
pub mod post_processor;
pub mod private_directory;
pub mod private_file;
mod provision;
pub mod provisioner;
pub mod registry;
pub mod run;
pub mod step;
pub mod terminal;
pub mod transfer;
pub mod undo;
pub mod untrusted;
mod unwind;

pub use error::chain_of;
pub use options::Unusable;

use std::collections::BTreeMap;

use bakelite_hcl::convert::convert;
use bakelite_hcl::types::Type;
use bakelite_template::plan::BuildData;

/// Build data as strings, for `{{ build ``KEY`` }}`.
pub(crate) fn strings_of(data: &BuildData) -> BTreeMap<String, String> {
    let string = |value| convert(value, &Type::String).ok()?.as_str().map(str::to_owned);
    data.iter()
        .filter_map(|(key, value)| Some((key.clone(), string(value)?)))
        .collect()
}
