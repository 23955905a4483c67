//! What happens to an artifact after a bake: it is noted in a manifest, summed, packed, replaced, attested, or handed to a script.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")
)]

mod artifice;
pub mod attestation;
mod checksum;
mod compress;
mod go_json;
mod manifest;
mod output;
mod provenance;
mod replace;
mod shell_local;

use bakelite_engine::post_processor::PostProcessor;
use bakelite_engine::registry::{Constructor, Make, Registration};
use bakelite_hcl::diagnostic::Severity;
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::schema::Schema;

/// The post-processors of this crate.
pub static COMPONENTS: &[Registration] = &[
    artifice::REGISTRATION,
    checksum::REGISTRATION,
    compress::REGISTRATION,
    manifest::REGISTRATION,
    provenance::REGISTRATION,
    shell_local::REGISTRATION,
];

/// The registration of a post-processor.
const fn registration(
    name: &'static str,
    doc: &'static str,
    schema: fn() -> Schema,
    make: Constructor<dyn PostProcessor>,
) -> Registration {
    let component = Component {
        kind: ComponentKind::PostProcessor,
        name,
        doc,
        schema,
        yields: Yields::Nothing,
    };
    Registration {
        component,
        make: Make::PostProcessor(make),
        undo: None,
    }
}

/// The post-processor, unless one of the complaints is an error.
fn unless_wrong(
    post_processor: impl PostProcessor + 'static,
    complaints: &[Complaint],
) -> Option<Box<dyn PostProcessor>> {
    let mut severities = complaints.iter().map(|complaint| complaint.severity);
    severities
        .all(|severity| severity == Severity::Warning)
        .then(|| Box::new(post_processor) as Box<dyn PostProcessor>)
}
