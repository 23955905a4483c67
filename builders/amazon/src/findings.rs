//! Several errors that are reported as one.

use std::borrow::Cow;

use bakelite_engine::bake::BakeError;
use bakelite_engine::error::Explain;

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
}
