//! Finding repetitions: each position looks at earlier ones that begin with the same four bytes, and a repetition is taken only
//! when the next position does not have a longer one. The numbers are those of Go's default level.

use super::block::{BlockWriter, Token};

/// How far back a repetition may lie.
const WINDOW: usize = 1 << 15;
/// Shorter repetitions are not looked for.
const SHORTEST: usize = 4;
/// Longer ones cannot be written.
const LONGEST: usize = 258;
/// A repetition of only four bytes pays when it is near.
const NEAR: usize = 4096;
/// Earlier positions that are looked at.
const TRIES: usize = 128;
/// A repetition as long as this is taken at once.
const NICE: usize = 128;
/// After one as long as this the next position is not looked at.
const LAZY: usize = 16;
/// Tokens in a block.
const BLOCK_TOKENS: usize = 1 << 14;
/// Bits of the hash of four bytes.
const HASH_BITS: u32 = 17;

/// Blocks of compressed data, an empty one that flushes, and an empty last one.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor {
        plain,
        heads: vec![0; 1 << HASH_BITS],
        previous: vec![0; WINDOW],
        window_start: 0,
        block_start: Some(0),
        tokens: Vec::with_capacity(BLOCK_TOKENS),
        writer: BlockWriter::default(),
    };
    compressor.run();
    compressor.writer.empty_block(false);
    compressor.writer.empty_block(true);
    compressor.writer.finish()
}

struct Compressor<'a> {
    plain: &'a [u8],
    /// By hash: one more than the last position with it, 0 for none.
    heads: Vec<usize>,
    /// By position within a window: one more than the position before it with the same hash.
    previous: Vec<usize>,
    /// Where the buffer of two windows starts that slides over the data.
    window_start: usize,
    /// Where the current block starts; `None` once that has left the buffer, when it can no more be stored as it is.
    block_start: Option<usize>,
    tokens: Vec<Token>,
    writer: BlockWriter,
}

/// A repetition of what stands `distance` back.
#[derive(Clone, Copy)]
struct Found {
    length: usize,
    distance: usize,
}

impl Compressor<'_> {
    fn run(&mut self) {
        let mut at = 0;
        let mut pending: Option<Found> = None;
        // The byte before `at` is not in a token yet.
        let mut byte_pending = false;
        while at < self.plain.len() {
            self.slide(at);
            let head = self.insert(at);
            let pending_length = pending.map_or(SHORTEST - 1, |found| found.length);
            let here = head
                .filter(|_| self.plain.len() - at > pending_length && pending_length < LAZY)
                .and_then(|head| self.longest(at, head));
            match pending.take() {
                Some(before) if here.is_none_or(|here| here.length <= before.length) => {
                    self.tokens.push(Token::Match {
                        length: before.length,
                        distance: before.distance,
                    });
                    let end = at - 1 + before.length;
                    for covered in at + 1..end {
                        self.insert(covered);
                    }
                    at = end;
                    byte_pending = false;
                    self.end_block_if_full(at);
                }
                _ => {
                    if byte_pending {
                        self.literal(at - 1);
                        self.end_block_if_full(at);
                    }
                    pending = here;
                    byte_pending = true;
                    at += 1;
                }
            }
        }
        if byte_pending {
            self.literal(at - 1);
        }
        if !self.tokens.is_empty() {
            self.end_block(at);
        }
    }

    fn literal(&mut self, at: usize) {
        self.tokens.extend(self.plain.get(at).copied().map(Token::Literal));
    }

    /// The buffer moves on by a window when what is left in it cannot hold the longest repetition and there is more data.
    fn slide(&mut self, at: usize) {
        let buffer_end = self.window_start + 2 * WINDOW;
        if buffer_end < self.plain.len() && buffer_end.saturating_sub(at) < SHORTEST + LONGEST {
            self.window_start += WINDOW;
            self.block_start = self.block_start.filter(|start| *start >= self.window_start);
        }
    }

    /// Makes a position known by the four bytes that it begins with; gives the last one known by the same hash.
    fn insert(&mut self, at: usize) -> Option<usize> {
        let &[a, b, c, d] = self.plain.get(at..at + SHORTEST)? else {
            return None;
        };
        let hash = u32::from_be_bytes([a, b, c, d]).wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS);
        let head = self.heads.get_mut(hash as usize)?;
        let before = std::mem::replace(head, at + 1);
        *self.previous.get_mut(at % WINDOW)? = before;
        before.checked_sub(1)
    }

    /// The longest repetition at a position, the nearest of several.
    fn longest(&self, at: usize, head: usize) -> Option<Found> {
        let rest = self.plain.get(at..)?;
        let rest = rest.get(..LONGEST).unwrap_or(rest);
        let earliest = self.window_start.max(at.saturating_sub(WINDOW));
        let nice = NICE.min(rest.len());
        let mut best: Option<Found> = None;
        let mut candidate = head;
        for _ in 0..TRIES {
            if candidate < earliest {
                break;
            }
            let length = rest
                .iter()
                .zip(self.plain.get(candidate..)?)
                .take_while(|(a, b)| a == b)
                .count();
            let distance = at - candidate;
            let longer = length > best.map_or(SHORTEST - 1, |best| best.length);
            if longer && (length > SHORTEST || distance <= NEAR) {
                best = Some(Found { length, distance });
                if length >= nice {
                    break;
                }
            }
            // A whole window back, the entry is that of this very position.
            if distance == WINDOW {
                break;
            }
            match self
                .previous
                .get(candidate % WINDOW)
                .and_then(|before| before.checked_sub(1))
            {
                Some(before) => candidate = before,
                None => break,
            }
        }
        best
    }

    fn end_block_if_full(&mut self, at: usize) {
        if self.tokens.len() == BLOCK_TOKENS {
            self.end_block(at);
        }
    }

    fn end_block(&mut self, at: usize) {
        let covered = self.block_start.and_then(|start| self.plain.get(start..at));
        self.writer.block(&self.tokens, covered);
        self.tokens.clear();
        self.block_start = Some(at);
    }
}
