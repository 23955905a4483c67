//! Texts that are known, and whether one of them stands in another text: asked for every text that evaluation makes, so it must not take
//! longer the more there are.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;

/// Known texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    texts: BTreeSet<String>,
    /// What they begin with.
    heads: HashSet<[u8; HEAD]>,
}

/// Shorter texts are known, but not looked for.
const HEAD: usize = 3;

impl Known {
    /// Answers whether it is new.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        if self.texts.contains(text) {
            return false;
        }
        self.heads.extend(text.as_bytes().first_chunk());
        self.texts.insert(text.to_owned())
    }

    /// Does one of them that has `shortest` bytes or more stand in the text?
    pub(super) fn is_within(&self, text: &str, shortest: usize) -> bool {
        let starts = text.char_indices().filter_map(|(at, _)| text.get(at..));
        let mut likely = starts.filter(|rest| {
            rest.as_bytes()
                .first_chunk()
                .is_some_and(|head| self.heads.contains(head))
        });
        likely.any(|rest| self.begins(rest, shortest))
    }

    /// Does the text begin with one of them? The last in order before the text either does, or tells how much of the text one can have.
    fn begins(&self, text: &str, shortest: usize) -> bool {
        let mut rest = text;
        loop {
            let up_to = (Bound::Unbounded, Bound::Included(rest));
            let Some(last) = self.texts.range::<str, _>(up_to).next_back() else {
                return false;
            };
            let same = last.bytes().zip(rest.bytes()).take_while(|(a, b)| a == b).count();
            if same == last.len() {
                return same >= shortest;
            }
            if same < shortest {
                return false;
            }
            rest = rest.get(..rest.floor_char_boundary(same)).unwrap_or_default();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.texts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_one_by_one_finds(texts in prop::collection::vec("[abé]{1,6}", 0..12), text in "[abcé]{0,12}", shortest in 3_usize..5) {
            let mut known = Known::default();
            for text in &texts {
                known.insert(text);
            }
            let expected = texts.iter().any(|known| known.len() >= shortest && text.contains(known.as_str()));
            prop_assert_eq!(known.is_within(&text, shortest), expected);
        }
    }
}
