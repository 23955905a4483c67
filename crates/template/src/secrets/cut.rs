//! Where a text that goes on may be cut, so that no secret is in two halves that nobody recognizes.

use super::Secrets;

/// So many times the longest secret is held back at most: of secrets that overlap without end, an instance has to know them already.
const MOST_HELD: usize = 4;

impl Secrets {
    /// How much of the start of a text that goes on can be masked and shown by itself: no secret reaches over that place, whatever
    /// comes after the text.
    pub fn cut(&self, text: &str) -> usize {
        let longest = self.longest();
        if longest == 0 {
            return text.len();
        }
        let start = text.floor_char_boundary(text.len().saturating_sub(MOST_HELD * longest));
        let near = text.get(start..).unwrap_or_default();
        let mut cut = near.floor_char_boundary((near.len() + 1).saturating_sub(longest));
        for (from, to) in self.finder().find(near).into_iter().rev() {
            if from < cut && cut < to {
                cut = from;
            }
        }
        start + cut
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for text in texts {
            secrets.hide(text);
        }
        secrets
    }

    #[test]
    fn what_may_be_the_start_of_a_secret_is_held_back() {
        let secrets = secrets(&["hunter2"]);
        // The longest form decides how much: the Base64 of a secret is longer than itself.
        let before = "x".repeat(secrets.longest());
        let cut = |text: &str| secrets.cut(&format!("{before}{text}"));
        assert!(cut("my hunter") <= before.len() + 3);
        assert!(cut("my hunter2 ") <= before.len() + 3);
        assert_eq!(cut(&format!("my hunter2 {before}")), before.len() + 11 + 1);
        assert_eq!(Secrets::default().cut("my hunter"), 9);
    }

    #[test]
    fn not_everything_is_held_back_of_what_repeats_without_end() {
        assert!(secrets(&["aa"]).cut(&"a".repeat(100)) >= 92);
    }

    proptest! {
        #[test]
        fn pieces_show_no_more_than_the_whole(
            text in "[abcä]{0,40}",
            hidden in proptest::collection::vec("[abcä]{4,6}", 0..3),
            places in proptest::collection::vec(0_usize..40, 0..4),
        ) {
            let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
            let secrets = secrets(&hidden);
            let mut places: Vec<usize> = places.iter().map(|place| text.floor_char_boundary(*place)).collect();
            places.sort_unstable();
            let (mut shown, mut held, mut from) = (String::new(), String::new(), 0);
            for place in places {
                held.push_str(&text[from..place]);
                from = place;
                let rest = held.split_off(secrets.cut(&held));
                shown.push_str(&secrets.mask(&held));
                held = rest;
            }
            shown.push_str(&secrets.mask(&(held + &text[from..])));
            prop_assert_eq!(shown.replace(super::super::MASK, ""), secrets.mask(&text).replace(super::super::MASK, ""));
        }
    }
}
