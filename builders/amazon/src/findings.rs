//! Several errors that are reported as one.

use std::borrow::Cow;
use std::error::Error as StdError;

use bakelite_aws::error::AwsError;
use bakelite_aws::retry::ErrorClass;
use bakelite_engine::bake::BakeError;
use bakelite_engine::error::Explain;

/// What keeps a bake from succeeding, found before anything is made.
#[derive(Default)]
pub(crate) struct Findings {
    errors: Vec<BakeError>,
    /// AWS cannot be reached at all, or not with these credentials: that is reported once.
    is_unreachable: bool,
}

impl Findings {
    /// Takes the error, if it is one.
    pub(crate) fn take<T, E>(&mut self, result: Result<T, E>) -> Option<T>
    where
        E: StdError + Into<BakeError> + 'static,
    {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let is_unreachable = is_unreachable(&error);
                if !(is_unreachable && self.is_unreachable) {
                    self.errors.push(error.into());
                }
                self.is_unreachable |= is_unreachable;
                None
            }
        }
    }

    /// Adds a finding.
    pub(crate) fn found(&mut self, finding: impl Into<BakeError>) {
        self.errors.push(finding.into());
    }

    /// Adds what somebody else found.
    pub(crate) fn extend(&mut self, errors: Vec<BakeError>) {
        self.errors.extend(errors);
    }

    /// Nothing, or one error of all that was found.
    pub(crate) fn settle(self) -> Result<(), BakeError> {
        all(self.errors)
    }
}

fn is_unreachable(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<AwsError>() {
            return matches!(error.class, ErrorClass::Credentials | ErrorClass::Unavailable);
        }
        next = error.source();
    }
    false
}

/// Several errors, a line each, with what to do about each.
#[derive(Debug, thiserror::Error)]
#[error("{} problems:{lines}", count)]
struct Several {
    count: usize,
    lines: String,
    help: Option<String>,
}

impl Explain for Several {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.help.as_deref().map(Cow::Borrowed)
    }
}

/// No error when there is none; one as it is; several as one.
pub(crate) fn all(mut errors: Vec<BakeError>) -> Result<(), BakeError> {
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(()), Err);
    }
    let mut lines = String::new();
    for error in &errors {
        lines.push_str("\n  - ");
        lines.push_str(&error.report().text);
    }
    let mut helps: Vec<_> = errors
        .iter()
        .filter_map(|error| error.help().map(str::to_owned))
        .collect();
    helps.dedup();
    Err(Several {
        count: errors.len(),
        lines,
        help: (!helps.is_empty()).then(|| helps.join("; ")),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_is_itself_and_several_are_listed() {
        let error = |text: &str| BakeError::failed(text.to_owned()).with_help("do it");
        assert!(all(Vec::new()).is_ok());
        assert_eq!(all(vec![error("a")]).unwrap_err().to_string(), "a");
        let both = all(vec![error("a"), error("b")]).unwrap_err();
        assert_eq!(both.to_string(), "2 problems:\n  - a\n  - b");
        assert_eq!(both.help(), Some("do it"));
    }

    #[test]
    fn an_account_that_cannot_be_reached_is_one_finding() {
        let unreachable = || {
            let mut error = AwsError::incomplete("DescribeImages", "image");
            error.class = ErrorClass::Credentials;
            Err::<(), _>(error)
        };
        let mut findings = Findings::default();
        findings.take(unreachable());
        findings.take(unreachable());
        let report = findings.settle().unwrap_err().report().text;
        assert!(!report.contains("problems"), "{report}");
    }
}
