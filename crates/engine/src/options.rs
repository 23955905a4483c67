//! A component made of options that were evaluated at bake time; what it complains about becomes one error.

use bakelite_hcl::diagnostic::{Diagnostics, Severity};
use bakelite_template::component::{Complaint, ComponentKind};
use bakelite_template::decode::Decoded;

use crate::events::Ui;
use crate::registry::Constructor;

/// Why a component could not be made at bake time.
#[derive(Debug, thiserror::Error)]
#[error("{kind} `{name}` cannot be used: {why}")]
pub struct Unusable {
    kind: ComponentKind,
    name: String,
    why: String,
}

impl Unusable {
    /// There is no component of this name.
    pub(crate) fn unknown(kind: ComponentKind, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
            why: "there is none of this name".into(),
        }
    }
}

/// Makes the component; warnings are said.
pub(crate) fn constructed<T: ?Sized>(
    kind: ComponentKind,
    name: &str,
    decoded: Result<Decoded, Diagnostics>,
    make: Constructor<T>,
    ui: &Ui,
) -> Result<Box<T>, Unusable> {
    let unusable = |why| Unusable {
        kind,
        name: name.into(),
        why,
    };
    let decoded = decoded.map_err(|diagnostics| unusable(said(&diagnostics)))?;
    let mut complaints = Vec::new();
    let made = make(&decoded, &mut complaints);
    let (warnings, errors): (Vec<_>, Vec<_>) = complaints
        .into_iter()
        .partition(|complaint| complaint.severity == Severity::Warning);
    for warning in &warnings {
        ui.error(format!("Warning: {}", warning.summary()));
    }
    match made {
        Some(component) if errors.is_empty() => Ok(component),
        _ => Err(unusable(
            errors.iter().map(Complaint::summary).collect::<Vec<_>>().join("; "),
        )),
    }
}

fn said(diagnostics: &Diagnostics) -> String {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let texts: Vec<String> = errors
        .map(|error| {
            if error.detail.is_empty() {
                error.summary.clone()
            } else {
                format!("{}: {}", error.summary, error.detail)
            }
        })
        .collect();
    texts.join("; ")
}
