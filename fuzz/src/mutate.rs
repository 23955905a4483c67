//! New inputs from old ones: bytes, words and bracketed parts changed, repeated and exchanged.

use std::ops::Range;

use fastrand::Rng;

/// Inputs are not made longer than this: everything that can be reached is reached by less, and short inputs are quick.
const LONGEST: usize = 16 << 10;

/// An input with a few changes; `other` is another one to take parts from.
pub fn mutated(rng: &mut Rng, input: &[u8], other: &[u8], words: &[&str]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 << rng.usize(0..4) {
        change(rng, &mut bytes, other, words);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8], words: &[&str]) {
    match rng.usize(0..14) {
        0 => {
            if let Some(byte) = somewhere(rng, bytes).and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << rng.usize(0..8);
            }
        }
        1 => {
            if let Some(byte) = somewhere(rng, bytes).and_then(|at| bytes.get_mut(at)) {
                *byte = rng.u8(..);
            }
        }
        2 => {
            let range = part(rng, bytes);
            bytes.drain(range);
        }
        3 => {
            let range = part(rng, bytes);
            let copy = bytes.get(range).unwrap_or_default().to_vec();
            insert(rng, bytes, &copy);
        }
        4..6 => {
            let word = rng.choice(words).copied().unwrap_or_default();
            insert(rng, bytes, word.as_bytes());
        }
        6 => {
            let copy = other.get(part(rng, other)).unwrap_or_default().to_vec();
            insert(rng, bytes, &copy);
        }
        7 => {
            let copy = other.get(bracketed(rng, other)).unwrap_or_default().to_vec();
            bytes.splice(bracketed(rng, bytes), copy);
        }
        8 => {
            let copy = bytes.get(bracketed(rng, bytes)).unwrap_or_default().to_vec();
            bytes.splice(bracketed(rng, bytes), copy);
        }
        9 => {
            let copy = other.get(word(rng, other)).unwrap_or_default().to_vec();
            bytes.splice(word(rng, bytes), copy);
        }
        10 => {
            let replacement = rng.choice(words).copied().unwrap_or_default();
            bytes.splice(word(rng, bytes), replacement.bytes());
        }
        11 => {
            let range = word(rng, bytes);
            bytes.drain(range);
        }
        // A part many times over: depth and size.
        12 => {
            let range = part(rng, bytes);
            let range = range.start..range.end.min(range.start + 24);
            let times = 1 << rng.usize(1..12);
            let copy = bytes.get(range).unwrap_or_default().repeat(times);
            insert(rng, bytes, copy.get(..copy.len().min(LONGEST)).unwrap_or_default());
        }
        _ => {
            let end = somewhere(rng, bytes).unwrap_or(0);
            bytes.truncate(end);
        }
    }
}

fn somewhere(rng: &mut Rng, bytes: &[u8]) -> Option<usize> {
    (!bytes.is_empty()).then(|| rng.usize(0..bytes.len()))
}

fn insert(rng: &mut Rng, bytes: &mut Vec<u8>, more: &[u8]) {
    let at = rng.usize(0..=bytes.len());
    bytes.splice(at..at, more.iter().copied());
}

fn part(rng: &mut Rng, bytes: &[u8]) -> Range<usize> {
    let start = rng.usize(0..=bytes.len());
    let most = bytes.len() - start;
    let longest = 1 << rng.usize(0..9);
    start..start + rng.usize(0..=most.min(longest))
}

/// Letters, digits and the like around a place, or one other byte.
fn word(rng: &mut Rng, bytes: &[u8]) -> Range<usize> {
    let Some(at) = somewhere(rng, bytes) else { return 0..0 };
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let (before, after) = bytes.split_at(at);
    let start = at - before.iter().rev().take_while(|byte| is_word(byte)).count();
    let end = at + after.iter().take_while(|byte| is_word(byte)).count().max(1);
    start..end
}

/// From an opening bracket or quote to what closes it.
fn bracketed(rng: &mut Rng, bytes: &[u8]) -> Range<usize> {
    let openings: Vec<usize> = (0..bytes.len())
        .filter(|at| matches!(bytes.get(*at), Some(b'(' | b'[' | b'{' | b'"')))
        .collect();
    let Some(start) = rng.choice(&openings).copied() else {
        return part(rng, bytes);
    };
    if bytes.get(start) == Some(&b'"') {
        let end = bytes.iter().skip(start + 1).position(|byte| *byte == b'"');
        return start..end.map_or(bytes.len(), |length| start + length + 2);
    }
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return start..at + 1;
        }
    }
    start..bytes.len()
}
