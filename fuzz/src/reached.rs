//! What an input reached: the stand-in for coverage, which stable Rust does not tell to the program itself.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use bakelite_hcl::diagnostic::Diagnostics;

/// Things an input reached, as hashes.
#[derive(Debug, Default)]
pub struct Reached {
    things: Vec<u64>,
}

impl Reached {
    /// Notes something.
    pub fn note(&mut self, what: impl Hash) {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.things.push(hasher.finish());
    }

    /// Notes each complaint without the names and numbers in it, and which one followed which.
    pub fn complaints(&mut self, diagnostics: &Diagnostics) {
        let mut before = String::new();
        for complaint in diagnostics.iter().take(20) {
            let kind = format!("{} | {}", plain(&complaint.summary), plain(&complaint.detail));
            self.note(&kind);
            self.note((&before, &kind));
            before = kind;
        }
        self.note(("complaints", diagnostics.iter().count().min(8)));
    }

    /// Notes what was said of an input, without the names and numbers in it.
    pub fn said(&mut self, message: &str) {
        self.note(plain(message));
    }

    /// Notes an answer of a protocol, and which words of a call it was the answer to.
    pub fn answer(&mut self, answer: &str, input: &[u8]) {
        let kind = plain(answer);
        self.note(kind);
        let words = input.split(|byte| !byte.is_ascii_alphanumeric());
        for word in words.filter(|word| (4..40).contains(&word.len())).take(8) {
            self.note((kind, word));
        }
        self.note((kind, input.len().checked_ilog2()));
    }

    /// True when there is something among it that was never reached before; all of it is known from now on.
    pub fn is_new(&self, known: &mut HashSet<u64>) -> bool {
        let before = known.len();
        known.extend(&self.things);
        known.len() > before
    }
}

/// The beginning of a message, up to what it quotes or counts: what it quotes is the input's, and always new.
fn plain(message: &str) -> &str {
    let end = message.find(|next: char| matches!(next, '`' | '"') || next.is_ascii_digit());
    message.get(..end.unwrap_or(message.len()).min(60)).unwrap_or_default()
}
