//! Tokens of version 2 of the metadata service: good for the instance that asked, and for the time that it asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::random_hex;

/// How long a token may be good, in seconds.
const LIFE: std::ops::RangeInclusive<u64> = 1..=21_600;
/// Tokens that are remembered; of more, those that end first are forgotten.
const MOST: usize = 4096;
/// 160 random bits.
const DIGITS: usize = 40;

/// The tokens of one instance.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    ends: Mutex<HashMap<String, Instant>>,
}

impl Tokens {
    /// A token that is good for so many seconds; nothing if that is too short or too long.
    pub(super) fn issue(&self, seconds: u64) -> Option<String> {
        self.issue_at(seconds, Instant::now())
    }

    fn issue_at(&self, seconds: u64, now: Instant) -> Option<String> {
        if !LIFE.contains(&seconds) {
            return None;
        }
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|_, end| *end > now);
        if ends.len() >= MOST {
            let first = ends.iter().min_by_key(|(_, end)| **end).map(|(token, _)| token.clone());
            first.and_then(|token| ends.remove(&token));
        }
        let token = random_hex(DIGITS);
        ends.insert(token.clone(), now + Duration::from_secs(seconds));
        Some(token)
    }

    /// Whether a token was issued here and has not expired. A token has more random bits than anybody can time.
    pub(super) fn is_good(&self, token: &[u8]) -> bool {
        self.is_good_at(token, Instant::now())
    }

    fn is_good_at(&self, token: &[u8], now: Instant) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = std::str::from_utf8(token).ok().and_then(|token| ends.get(token));
        end.is_some_and(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_time_and_for_its_instance() {
        let (tokens, others) = (Tokens::default(), Tokens::default());
        let now = Instant::now();
        let token = tokens.issue_at(60, now).unwrap();
        let is_good =
            |tokens: &Tokens, seconds| tokens.is_good_at(token.as_bytes(), now + Duration::from_secs(seconds));
        assert!(is_good(&tokens, 0) && is_good(&tokens, 59) && !is_good(&tokens, 60));
        assert!(!is_good(&others, 0));
        assert!(!tokens.is_good(b"") && !tokens.is_good(b"\xff"));
        assert!(tokens.issue(1).is_some() && tokens.issue(21_600).is_some());
        assert_eq!((tokens.issue(0), tokens.issue(21_601)), (None, None));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let tokens = Tokens::default();
        let first = tokens.issue(1000).unwrap();
        let others: Vec<String> = (0..MOST).map(|_| tokens.issue(2000).unwrap()).collect();
        assert!(!tokens.is_good(first.as_bytes()));
        assert!(others.iter().all(|token| tokens.is_good(token.as_bytes())));
    }
}
