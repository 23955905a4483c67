//! Huffman codes of limited length.

/// A code: for every symbol the length of its bits, 0 for a symbol that does not occur, and the bits, the first one lowest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Code {
    pub(super) lengths: Vec<u8>,
    bits: Vec<u16>,
}

impl Code {
    /// The shortest code for symbols that occur so often.
    pub(super) fn of(frequencies: &[u32], longest: usize) -> Self {
        let mut symbols: Vec<usize> = (0..frequencies.len())
            .filter(|symbol| frequency(frequencies, *symbol) > 0)
            .collect();
        let mut lengths = vec![0; frequencies.len()];
        if symbols.len() <= 2 {
            for symbol in symbols {
                set(&mut lengths, symbol, 1);
            }
            return Self::canonical(lengths);
        }
        symbols.sort_by_key(|symbol| (frequency(frequencies, *symbol), *symbol));
        let leaves: Vec<u64> = symbols.iter().map(|symbol| frequency(frequencies, *symbol)).collect();
        for used in leaves_by_level(&leaves, longest.min(leaves.len() - 1)) {
            for symbol in symbols.iter().take(used) {
                let length = lengths.get(*symbol).copied().unwrap_or_default();
                set(&mut lengths, *symbol, length + 1);
            }
        }
        Self::canonical(lengths)
    }

    /// The code that these lengths stand for: shorter ones first, symbols of one length in their order.
    pub(super) fn canonical(lengths: Vec<u8>) -> Self {
        let mut bits = vec![0; lengths.len()];
        let mut next = 0u16;
        for length in 1..=15u8 {
            next <<= 1;
            for (symbol, bits) in bits.iter_mut().enumerate() {
                if lengths.get(symbol) == Some(&length) {
                    *bits = next.reverse_bits() >> (16 - length);
                    next += 1;
                }
            }
        }
        Self { lengths, bits }
    }

    /// Bits of a symbol and how many.
    pub(super) fn symbol(&self, symbol: usize) -> (u16, u8) {
        (
            self.bits.get(symbol).copied().unwrap_or_default(),
            self.lengths.get(symbol).copied().unwrap_or_default(),
        )
    }

    /// How many bits symbols take that occur so often.
    pub(super) fn size(&self, frequencies: &[u32]) -> u64 {
        self.lengths
            .iter()
            .zip(frequencies)
            .map(|(length, frequency)| u64::from(*length) * u64::from(*frequency))
            .sum()
    }
}

fn frequency(frequencies: &[u32], symbol: usize) -> u64 {
    frequencies.get(symbol).copied().map_or(0, u64::from)
}

fn set(lengths: &mut [u8], symbol: usize, length: u8) {
    if let Some(place) = lengths.get_mut(symbol) {
        *place = length;
    }
}

/// Package-merge (Larmore and Hirschberg): how many of the leaves, rarest first, each level of the tree adds a bit to. At equal
/// weight a package goes before a leaf.
fn leaves_by_level(leaves: &[u64], levels: usize) -> Vec<usize> {
    // Of every level: weight of each item, and whether it is a leaf.
    let mut items: Vec<Vec<(u64, bool)>> = Vec::with_capacity(levels);
    for _ in 0..levels {
        let below = items.last().map_or(&[][..], Vec::as_slice);
        let mut packages = below
            .chunks_exact(2)
            .map(|pair| pair.iter().map(|(weight, _)| weight).sum::<u64>())
            .peekable();
        let mut level = Vec::with_capacity(2 * leaves.len());
        for leaf in leaves {
            while let Some(package) = packages.next_if(|package| package <= leaf) {
                level.push((package, false));
            }
            level.push((*leaf, true));
        }
        level.extend(packages.map(|package| (package, false)));
        items.push(level);
    }
    let mut taken = 2 * leaves.len() - 2;
    let mut used = Vec::with_capacity(levels);
    for level in items.iter().rev() {
        let leaves = level.iter().take(taken).filter(|(_, is_leaf)| *is_leaf).count();
        used.push(leaves);
        taken = 2 * (taken - leaves);
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(Code::of(&[5, 0, 0, 3], 15).lengths, [1, 0, 0, 1]);
        assert_eq!(Code::of(&[8, 4, 2, 1, 1], 15).lengths, [1, 2, 3, 4, 4]);
        assert_eq!(Code::of(&[8, 4, 2, 1, 1], 3).lengths, [1, 3, 3, 3, 3]);
        assert_eq!(Code::of(&[1, 1, 1], 15).lengths, [2, 2, 1]);
    }

    #[test]
    fn codes_are_complete() {
        let frequencies: Vec<u32> = (0..286).map(|n| n * n % 97 * (1 + n / 50)).collect();
        for longest in [9, 11, 15] {
            let code = Code::of(&frequencies, longest);
            let used: f64 = code
                .lengths
                .iter()
                .filter(|length| **length > 0)
                .map(|length| 0.5f64.powi(i32::from(*length)))
                .sum();
            assert!((used - 1.0).abs() < 1e-9, "{used}");
            assert!(code.lengths.iter().all(|length| usize::from(*length) <= longest));
        }
    }
}
