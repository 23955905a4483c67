//! What components complain about, as diagnostics.

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, Severity};

use crate::component::Complaint;
use crate::decode::{Decoded, in_block, is_within};

/// Complaints of a component, each at the option that it is about; those that depend on values that are not known yet are dropped.
/// Is there an error among the others?
pub(super) fn complain(complaints: &[Complaint], options: &Decoded, diagnostics: &mut Diagnostics) -> bool {
    let mut has_errors = false;
    for complaint in complaints.iter().filter(|complaint| !is_open(complaint, options)) {
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

/// Does it depend on a value that is not known yet whether a complaint is right? So it is when such a value is that of an
/// option that the complaint depends on, or is part of it, or contains it.
fn is_open(complaint: &Complaint, options: &Decoded) -> bool {
    let about = complaint.options();
    options.unknown.iter().any(|unknown| {
        let mut about = about.iter();
        about.len() == 0 || about.any(|option| is_within(unknown, option) || is_within(option, unknown))
    })
}
