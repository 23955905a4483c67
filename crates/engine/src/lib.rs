//! What a bake is: contracts of builders, provisioners, post-processors and communicators; the run of a plan; undo, journal, events.
//! No protocol and no cloud: those are behind the contracts.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

pub mod artifact;
pub mod backlog;
pub mod bake;
pub mod builder;
pub mod cancel;
mod chain;
pub mod communicator;
pub mod data_source;
pub mod event;
pub mod events;
pub mod foreign;
pub mod gc;
pub mod journal;
pub mod notes;
mod options;
pub mod output;
pub mod post_processor;
pub mod private_file;
pub mod private_folder;
mod provision;
pub mod provisioner;
pub mod registry;
pub mod run;
pub mod transfer;
pub mod undo;
mod unwind;

pub use options::Unusable;
pub use provision::Failed as ProvisioningFailed;

use std::collections::BTreeMap;

use bakelite_hcl::convert::convert;
use bakelite_hcl::types::Type;
use bakelite_template::plan::BuildData;

/// An error with its causes in one line: `A: B: C`.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Transparent errors repeat their cause.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

/// Build data as texts, for `{{ build ``KEY`` }}`.
pub(crate) fn texts_of(data: &BuildData) -> BTreeMap<String, String> {
    let text = |value| convert(value, &Type::String).ok()?.as_str().map(str::to_owned);
    data.iter()
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}
