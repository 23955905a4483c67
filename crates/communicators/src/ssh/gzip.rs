//! Compression of what goes over a long line: each piece is a member of its own of one gzip stream, so that a piece that does not get
//! smaller can be stored as it is.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Pieces that are stored without trying after one that did not get smaller.
const PIECES_TO_SKIP: u32 = 8;

/// Fast enough for every line that is worth compressing for.
const LEVEL: u32 = 3;

/// A stream being compressed.
#[derive(Default)]
pub(crate) struct Packing {
    skip: u32,
}

impl Packing {
    /// A piece as a gzip member.
    pub(crate) fn pack(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.skip > 0 {
            self.skip -= 1;
            return member(piece, Compression::none());
        }
        let packed = member(piece, Compression::new(LEVEL));
        if packed.len() > piece.len() / 10 * 9 {
            self.skip = PIECES_TO_SKIP;
        }
        packed
    }
}

fn member(piece: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(piece.len() + 64), level);
    // A vector takes everything.
    let _ = encoder.write_all(piece);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn members_are_one_stream_and_noise_is_stored() {
        let text = "setting = value\n".repeat(10_000).into_bytes();
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let mut packing = Packing::default();
        let packed_text = packing.pack(&text);
        assert!(packed_text.len() < text.len() / 10);
        let (tried, stored) = (packing.pack(&noise), packing.pack(&noise));
        assert!(tried.len() < noise.len() + 200 && stored.len() < noise.len() + 200);
        let stream = [packed_text, tried, stored].concat();
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(stream.as_slice())
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == [text, noise.clone(), noise].concat());
    }
}
