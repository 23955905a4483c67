//! How components are made of their options; what they complain about becomes one error.

use std::borrow::Cow;

use bakelite_hcl::diagnostic::{Diagnostics, Severity};
use bakelite_template::component::{Complaint, ComponentKind};
use bakelite_template::decode::Decoded;

use crate::error::{Error, Explain};
use crate::events::Ui;

/// Makes a component of its options, or `None` where they make none; complains about what is wrong with them. A component with an error
/// among its complaints is not used, so a constructor does not look at them.
pub type Constructor<T> = fn(&Decoded, &mut Vec<Complaint>) -> Option<Box<T>>;

/// Why a component could not be made.
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

/// Makes a component of options that were evaluated at bake time; warnings are reported. An error is at the option that it is about.
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
    let (component, warnings) = construct(kind, name, decoded, make)?;
    for warning in &warnings {
        ui.warn(warning.summary());
    }
    Ok(component)
}

/// Makes the component, with what it warns of.
pub(crate) fn construct<T: ?Sized>(
    kind: ComponentKind,
    name: &str,
    decoded: &Decoded,
    make: Constructor<T>,
) -> Result<(Box<T>, Vec<Complaint>), Error> {
    let mut complaints = Vec::new();
    let made = make(decoded, &mut complaints);
    let (warnings, errors): (Vec<_>, Vec<_>) = complaints
        .into_iter()
        .partition(|complaint| complaint.severity == Severity::Warning);
    match made {
        Some(component) if errors.is_empty() => Ok((component, warnings)),
        _ => Err(Error::new(Unusable::refused(kind, name, &errors)).at_option_of(decoded)),
    }
}
