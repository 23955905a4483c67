//! What components complain about, as diagnostics.

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, Severity};

use crate::component::Complaint;
use crate::decode::{Decoded, in_block};

/// Complaints of a component, each at the option that it is about; those that depend on values that are not known yet are dropped.
/// Is there an error among the others?
pub(super) fn complain(complaints: &[Complaint], options: &Decoded, diagnostics: &mut Diagnostics) -> bool {
    let mut has_errors = false;
    for complaint in complaints.iter().filter(|complaint| !complaint.is_open(options)) {
        has_errors |= complaint.severity == Severity::Error;
        let place = options.place_of(&complaint.option);
        let summary = complaint.summary();
        let diagnostic = match complaint.severity {
            Severity::Error => Diagnostic::error(place, summary),
            Severity::Warning => Diagnostic::warning(place, summary),
        };
        let diagnostic = diagnostic.help(complaint.help.clone());
        diagnostics.push(match options.place {
            Some(block) => in_block(diagnostic, block),
            None => diagnostic,
        });
    }
    has_errors
}
