//! What is wrong with a text, as data: severity, summary, detail, place, help. Drawing it is somebody else's job.

use crate::source::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; the work goes on.
    Warning,
    /// The phase that found it fails.
    Error,
}

/// One complaint about what the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// One short sentence without a full stop: what is wrong.
    pub summary: String,
    /// One or more sentences: which rule, which values. May be empty.
    pub detail: String,
    /// Where; absent when nothing in a text is at fault.
    pub place: Option<Place>,
    /// Other places that belong to it, each with what it is ("first defined here").
    pub related: Vec<(Place, String)>,
    /// What to do next, where that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(place: impl Into<Option<Place>>, summary: impl Into<String>) -> Self {
        Self::new(Severity::Error, place.into(), summary.into())
    }

    /// A warning at a place.
    pub fn warning(place: impl Into<Option<Place>>, summary: impl Into<String>) -> Self {
        Self::new(Severity::Warning, place.into(), summary.into())
    }

    fn new(severity: Severity, place: Option<Place>, summary: String) -> Self {
        Self {
            severity,
            summary,
            detail: String::new(),
            place,
            related: Vec::new(),
            help: None,
        }
    }

    /// The same with an explanation.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same with a remedy; `None` leaves it without.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The same with one more place.
    #[must_use]
    pub fn related(mut self, place: Place, what: impl Into<String>) -> Self {
        self.related.push((place, what.into()));
        self
    }
}

/// The collector that every phase writes into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.all.push(diagnostic);
    }

    /// Takes the value, or keeps the complaints and answers `None`.
    pub fn take<T>(&mut self, result: Result<T, Diagnostics>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(more) => {
                self.all.extend(more.all);
                None
            }
        }
    }

    /// True when at least one is an error.
    pub fn has_errors(&self) -> bool {
        self.all.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// True when there is none at all.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.all.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { all: vec![diagnostic] }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, more: I) {
        self.all.extend(more);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

/// The candidate that the user may have meant: within an edit distance of a third of the name's length, at least one and at most
/// three. Two neighbours that have changed places are one edit.
pub fn similar_name<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let scored = candidates.into_iter().filter(|candidate| *candidate != name);
    scored
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|found| found.1)
}

/// The optimal string alignment distance: insertions, deletions, replacements, and neighbours that have changed places.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut before = None;
    for (i, from) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        let cells = row.iter().zip(row.iter().skip(1)).zip(&b).enumerate();
        for (j, ((diagonal, up), to)) in cells {
            let left = next.last().copied().unwrap_or(0);
            let replaced = diagonal + usize::from(from != *to);
            let mut least = replaced.min(up + 1).min(left + 1);
            let swapped = j > 0 && before == Some(*to) && b.get(j - 1) == Some(&from);
            if let Some(two_back) = above.get(j.wrapping_sub(1)).filter(|_| swapped) {
                least = least.min(two_back + 1);
            }
            next.push(least);
        }
        above = std::mem::replace(&mut row, next);
        before = Some(from);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_near() {
        assert_eq!(similar_name("ami_nam", ["ami_name", "region"]), Some("ami_name"));
        assert_eq!(similar_name("zone", ["ami_name", "region"]), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("inlien", "inline"), 1);
        assert_eq!(edit_distance("ca", "abc"), 3);
        assert_eq!(similar_name("nmae", ["name", "only"]), Some("name"));
    }
}
