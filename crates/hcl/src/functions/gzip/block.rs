//! Writing blocks (RFC 1951): of three ways, stored, with the fixed code or with a code of its own, the one that takes least.

use super::huffman::Code;

/// A byte as it is, or a repetition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token {
    Literal(u8),
    Match { length: usize, distance: usize },
}

/// The symbol that ends a block.
const END: usize = 256;
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
/// The order in which lengths of the code of code lengths are written.
const LENGTH_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// A stored block cannot be longer.
const LONGEST_STORED: usize = 65535;

/// Blocks one after the other, bit for bit.
#[derive(Default)]
pub(super) struct BlockWriter {
    bytes: Vec<u8>,
    bits: u64,
    count: u32,
}

/// A symbol and the bits after it: which one, how many bits, their value.
type Symbol = (usize, u32, u64);

/// The symbol of a repetition's length, from 257.
fn length_symbol(length: usize) -> Symbol {
    if length == 258 {
        return (285, 0, 0);
    }
    let (code, extra, rest) = split(length - 3, 4);
    (257 + code, extra, rest)
}

/// The symbol of a repetition's distance.
fn distance_symbol(distance: usize) -> Symbol {
    split(distance - 1, 2)
}

/// Values grow by powers of two, `steps` symbols for each; the first two powers have one value for each symbol.
fn split(value: usize, steps: usize) -> Symbol {
    if value < 2 * steps {
        return (value, 0, 0);
    }
    let extra = (value / steps).ilog2();
    let code = (value >> extra) + steps * extra as usize;
    (code, extra, (value & ((1 << extra) - 1)) as u64)
}

/// How often every symbol of a block occurs, and how many bits follow symbols.
struct Frequencies {
    literals: Vec<u32>,
    distances: Vec<u32>,
    extra: u64,
}

impl Frequencies {
    fn of(tokens: &[Token]) -> Self {
        let mut found = Self {
            literals: vec![0; LITERALS],
            distances: vec![0; DISTANCES],
            extra: 0,
        };
        for token in tokens {
            match token {
                Token::Literal(byte) => count(&mut found.literals, usize::from(*byte)),
                Token::Match { length, distance } => {
                    let (length, distance) = (length_symbol(*length), distance_symbol(*distance));
                    count(&mut found.literals, length.0);
                    count(&mut found.distances, distance.0);
                    found.extra += u64::from(length.1 + distance.1);
                }
            }
        }
        count(&mut found.literals, END);
        cut_zeros(&mut found.literals);
        cut_zeros(&mut found.distances);
        if found.distances.is_empty() {
            // A block with a code of its own has at least one distance in it.
            found.distances.push(1);
        }
        found
    }
}

fn count(frequencies: &mut [u32], symbol: usize) {
    if let Some(frequency) = frequencies.get_mut(symbol) {
        *frequency += 1;
    }
}

fn cut_zeros(frequencies: &mut Vec<u32>) {
    while frequencies.last() == Some(&0) {
        frequencies.pop();
    }
}

fn fixed_literals() -> Code {
    let length = |symbol| match symbol {
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    };
    // The two symbols beyond `LITERALS` never occur, but have bits.
    Code::canonical((0..288).map(length).collect())
}

fn fixed_distances() -> Code {
    Code::canonical(vec![5; 32])
}

/// How the lengths of a block's own codes are written.
struct Lengths {
    /// Symbol, how many bits follow it, their value.
    symbols: Vec<Symbol>,
    code: Code,
    frequencies: Vec<u32>,
    /// How many lengths of `code` are written, in `LENGTH_ORDER`.
    written: usize,
}

impl Lengths {
    fn of(literals: &Code, distances: &Code) -> Self {
        let lengths: Vec<u8> = literals.lengths.iter().chain(&distances.lengths).copied().collect();
        let mut symbols = Vec::new();
        for run in lengths.chunk_by(|a, b| a == b) {
            let length = run.first().map_or(0, |length| usize::from(*length));
            run_symbols(length, run.len(), &mut symbols);
        }
        let mut frequencies = vec![0; LENGTH_ORDER.len()];
        for (symbol, ..) in &symbols {
            count(&mut frequencies, *symbol);
        }
        let code = Code::of(&frequencies, 7);
        let last = LENGTH_ORDER
            .iter()
            .rposition(|symbol| frequencies.get(*symbol).is_some_and(|found| *found > 0));
        let written = last.map_or(4, |last| (last + 1).max(4));
        Self {
            symbols,
            code,
            frequencies,
            written,
        }
    }

    fn size(&self) -> u64 {
        let extra: u64 = self.symbols.iter().map(|(_, extra, _)| u64::from(*extra)).sum();
        3 + 5 + 5 + 4 + 3 * self.written as u64 + self.code.size(&self.frequencies) + extra
    }
}

/// A run of one length: 16 repeats the last one, 17 and 18 stand for zeros.
fn run_symbols(length: usize, run: usize, symbols: &mut Vec<Symbol>) {
    let mut left = run;
    if length != 0 {
        symbols.push((length, 0, 0));
        left -= 1;
        while left >= 3 {
            let repeated = left.min(6);
            symbols.push((16, 2, repeated as u64 - 3));
            left -= repeated;
        }
    } else {
        while left >= 11 {
            let repeated = left.min(138);
            symbols.push((18, 7, repeated as u64 - 11));
            left -= repeated;
        }
        if left >= 3 {
            symbols.push((17, 3, left as u64 - 3));
            left = 0;
        }
    }
    symbols.extend(std::iter::repeat_n((length, 0, 0), left));
}

impl BlockWriter {
    /// A block of tokens; `covered` is what they stand for, where that is still at hand.
    pub(super) fn block(&mut self, tokens: &[Token], covered: Option<&[u8]>) {
        let found = Frequencies::of(tokens);
        let (literals, distances) = (Code::of(&found.literals, 15), Code::of(&found.distances, 15));
        let lengths = Lengths::of(&literals, &distances);
        let storable = covered.filter(|covered| covered.len() <= LONGEST_STORED);
        let own = lengths.size() + literals.size(&found.literals) + distances.size(&found.distances) + found.extra;
        let (fixed_literals, fixed_distances) = (fixed_literals(), fixed_distances());
        let fixed = 3 + fixed_literals.size(&found.literals) + fixed_distances.size(&found.distances) + found.extra;
        if let Some(covered) = storable.filter(|covered| (covered.len() as u64 + 5) * 8 < own.min(fixed)) {
            self.stored(covered, false);
        } else if own < fixed {
            self.own_header(&lengths, &literals, &distances);
            self.tokens(tokens, &literals, &distances);
        } else {
            self.put(0b010, 3);
            self.tokens(tokens, &fixed_literals, &fixed_distances);
        }
    }

    /// A stored block without content: it brings what follows to the next byte.
    pub(super) fn empty_block(&mut self, last: bool) {
        self.stored(&[], last);
    }

    /// All that was written.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.align();
        self.bytes
    }

    fn stored(&mut self, content: &[u8], last: bool) {
        self.put(u64::from(last), 3);
        self.align();
        let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend((!length).to_le_bytes());
        self.bytes.extend(content);
    }

    fn own_header(&mut self, lengths: &Lengths, literals: &Code, distances: &Code) {
        self.put(0b100, 3);
        self.put(literals.lengths.len() as u64 - 257, 5);
        self.put(distances.lengths.len() as u64 - 1, 5);
        self.put(lengths.written as u64 - 4, 4);
        for symbol in LENGTH_ORDER.iter().take(lengths.written) {
            self.put(u64::from(lengths.code.symbol(*symbol).1), 3);
        }
        for symbol in &lengths.symbols {
            self.symbol(&lengths.code, *symbol);
        }
    }

    fn tokens(&mut self, tokens: &[Token], literals: &Code, distances: &Code) {
        for token in tokens {
            match token {
                Token::Literal(byte) => self.symbol(literals, (usize::from(*byte), 0, 0)),
                Token::Match { length, distance } => {
                    self.symbol(literals, length_symbol(*length));
                    self.symbol(distances, distance_symbol(*distance));
                }
            }
        }
        self.symbol(literals, (END, 0, 0));
    }

    fn symbol(&mut self, code: &Code, (symbol, extra, value): Symbol) {
        let (bits, count) = code.symbol(symbol);
        self.put(u64::from(bits), u32::from(count));
        self.put(value, extra);
    }

    fn put(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.bits.to_le_bytes()[0]);
            self.bits >>= 8;
            self.count -= 8;
        }
    }

    fn align(&mut self) {
        if self.count > 0 {
            self.bytes.push(self.bits.to_le_bytes()[0]);
            self.bits = 0;
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_lengths_and_distances() {
        let cases = [
            (3, (257, 0, 0)),
            (10, (264, 0, 0)),
            (11, (265, 1, 0)),
            (12, (265, 1, 1)),
            (34, (272, 2, 3)),
            (257, (284, 5, 30)),
            (258, (285, 0, 0)),
        ];
        for (length, symbol) in cases {
            assert_eq!(length_symbol(length), symbol, "{length}");
        }
        let cases = [
            (1, (0, 0, 0)),
            (4, (3, 0, 0)),
            (5, (4, 1, 0)),
            (8, (5, 1, 1)),
            (32768, (29, 13, 8191)),
        ];
        for (distance, symbol) in cases {
            assert_eq!(distance_symbol(distance), symbol, "{distance}");
        }
    }
}
