//! gzip for `base64gzip`. The bytes are those of Go's standard library, which templates have always got: what they make ends up in
//! user data, where another byte means another machine. No library writes the same ones, so the compressor is here; reading is
//! everybody's.

mod block;
mod deflate;
mod huffman;

/// Compressed data: flushed before the stream is closed, time 0, unknown system. The result depends on the data alone.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    packed.extend(deflate::compress(plain));
    let mut checksum = flate2::Crc::new();
    checksum.update(plain);
    packed.extend(checksum.sum().to_le_bytes());
    packed.extend(checksum.amount().to_le_bytes());
    packed
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
        plain
    }

    #[test]
    fn long_texts_come_back() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let texts: Vec<Vec<u8>> = vec![
            Vec::new(),
            vec![b'a'; 300_000],
            (0..200_000).map(|_| noise()).collect(),
            (0..200_000)
                .map(|_| b"abcdefgh \n"[usize::from(noise() % 10)])
                .collect(),
            (0..100_000)
                .flat_map(|n: u32| format!("line {} of a log\n", n.wrapping_mul(n) % 977).into_bytes())
                .collect(),
        ];
        for text in texts {
            assert_eq!(unpacked(&compress(&text)), text);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(plain in prop::collection::vec(0u8..8, 0..2000)) {
            prop_assert_eq!(unpacked(&compress(&plain)), plain);
        }
    }
}
