//! A component made of options that were evaluated at bake time; what it complains about becomes one error.

use std::borrow::Cow;

use bakelite_hcl::diagnostic::{Diagnostics, Severity};
use bakelite_template::component::{Complaint, ComponentKind};
use bakelite_template::decode::Decoded;

use crate::error::{Error, Explain};
use crate::events::Ui;
use crate::registry::Constructor;

/// Why a component could not be made at bake time.
#[derive(Debug, thiserror::Error)]
#[error("{kind} `{name}` cannot be used: {why}")]
pub struct Unusable {
    kind: ComponentKind,
    name: String,
    why: String,
    help: Option<String>,
    option: Option<String>,
}

impl Explain for Unusable {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.help.as_deref().map(Cow::Borrowed)
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        self.option.as_deref().map(Cow::Borrowed)
    }
}

impl Unusable {
    /// There is no component of this name.
    pub(crate) fn unknown(kind: ComponentKind, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
            why: "there is none of this name".into(),
            help: None,
            option: None,
        }
    }

    fn evaluated(kind: ComponentKind, name: &str, diagnostics: &Diagnostics) -> Self {
        let errors = || diagnostics.iter().filter(|one| one.severity == Severity::Error);
        let texts = errors().map(|error| match error.detail.as_str() {
            "" => error.summary.clone(),
            detail => format!("{}: {detail}", error.summary),
        });
        Self {
            why: texts.collect::<Vec<_>>().join("; "),
            help: errors().find_map(|error| error.help.clone()),
            ..Self::unknown(kind, name)
        }
    }

    fn refused(kind: ComponentKind, name: &str, complaints: &[Complaint]) -> Self {
        Self {
            why: complaints.iter().map(Complaint::summary).collect::<Vec<_>>().join("; "),
            help: complaints.iter().find_map(|complaint| complaint.help.clone()),
            option: complaints.first().map(|complaint| complaint.option.clone()),
            ..Self::unknown(kind, name)
        }
    }
}

/// Makes the component; warnings are reported. An error is at the option that it is about.
pub(crate) fn constructed<T: ?Sized>(
    kind: ComponentKind,
    name: &str,
    decoded: &Result<Decoded, Diagnostics>,
    make: Constructor<T>,
    ui: &Ui,
) -> Result<Box<T>, Error> {
    let decoded = decoded
        .as_ref()
        .map_err(|diagnostics| Unusable::evaluated(kind, name, diagnostics))?;
    let mut complaints = Vec::new();
    let made = make(decoded, &mut complaints);
    let (warnings, errors): (Vec<_>, Vec<_>) = complaints
        .into_iter()
        .partition(|complaint| complaint.severity == Severity::Warning);
    for warning in &warnings {
        ui.warn(warning.summary());
    }
    match made {
        Some(component) if errors.is_empty() => Ok(component),
        _ => Err(Error::new(Unusable::refused(kind, name, &errors)).at_option_of(decoded)),
    }
}
