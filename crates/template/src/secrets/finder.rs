//! Finds all forms of all secrets in a text, in one pass.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::variants;

/// This many bytes of a form are looked for; where they are found the rest is compared, so that a long text costs no more than a short one.
const HEAD: usize = 128;

/// Finds secrets. Clones share what was built.
#[derive(Debug, Clone)]
pub(super) struct Finder {
    heads: Option<AhoCorasick>,
    forms: std::sync::Arc<Vec<String>>,
}

impl Finder {
    pub(super) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let forms: BTreeSet<String> = texts.flat_map(variants::of).collect();
        let forms: Vec<String> = forms.into_iter().collect();
        let heads = AhoCorasick::new(forms.iter().map(|form| head(form)));
        Self {
            heads: heads.ok(),
            forms: std::sync::Arc::new(forms),
        }
    }

    /// Where secrets stand, overlapping ones as one, from left to right.
    pub(super) fn find(&self, text: &str) -> Vec<(usize, usize)> {
        if self.forms.is_empty() {
            return Vec::new();
        }
        let Some(heads) = &self.heads else {
            // More than can be looked for: then nothing is shown.
            return vec![(0, text.len())];
        };
        let mut found: Vec<(usize, usize)> = heads
            .find_overlapping_iter(text)
            .map(|found| {
                let form = self.forms.get(found.pattern().as_usize());
                (found.start(), Self::end(text, found.start(), found.end(), form))
            })
            .collect();
        found.sort_unstable();
        found.dedup_by(|later, first| {
            let overlap = later.0 < first.1;
            if overlap {
                first.1 = first.1.max(later.1);
            }
            overlap
        });
        found
    }

    /// Where a form that starts at `start` ends. One that was cut off is followed as far as it goes.
    fn end(text: &str, start: usize, head_end: usize, form: Option<&String>) -> usize {
        let rest = form.and_then(|form| form.get(head_end - start..)).unwrap_or_default();
        let shown = text.get(head_end..).unwrap_or_default();
        let same = rest
            .char_indices()
            .zip(shown.chars())
            .find(|((_, secret), shown)| secret != shown)
            .map_or(rest.len().min(shown.len()), |((at, _), _)| at);
        head_end + same
    }

    /// Bytes of the longest form.
    pub(super) fn longest(&self) -> usize {
        self.forms.iter().map(String::len).max().unwrap_or(0)
    }
}

fn head(form: &str) -> &str {
    let end = form.floor_char_boundary(HEAD);
    form.get(..end).unwrap_or(form)
}
