//! gzip for `base64gzip`, through the compressor that flate2 uses as well.

use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};

/// Magic number, DEFLATE, no flags, time 0, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Closes a stream that was flushed: an empty stored block that is the last one.
const LAST_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Compressed data. The result depends on the data alone. Short strings become the bytes that Go's standard library makes of them:
/// flushed before the stream is closed, and in the codes that DEFLATE fixes where those are shorter, which flate2 offers no way to ask for.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let fixed_codes = deflated(plain, 1, CompressionStrategy::Fixed);
    let own_codes = deflated(plain, 6, CompressionStrategy::Default);
    let shorter = if fixed_codes.len() <= own_codes.len() {
        fixed_codes
    } else {
        own_codes
    };
    let mut checksum = flate2::Crc::new();
    checksum.update(plain);
    let trailer = [checksum.sum().to_le_bytes(), checksum.amount().to_le_bytes()].concat();
    [&HEADER[..], &shorter, &LAST_BLOCK, &trailer].concat()
}

/// DEFLATE up to a flush.
fn deflated(plain: &[u8], level: i32, strategy: CompressionStrategy) -> Vec<u8> {
    let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(level, -15, strategy as i32));
    let mut packed = Vec::new();
    compress_to_output(&mut compressor, plain, TDEFLFlush::Sync, |part| {
        packed.extend_from_slice(part);
        true
    });
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
    fn long_strings_come_back_smaller() {
        for (text, longest) in [
            (vec![b'a'; 300_000], 1000),
            (
                (0..100_000u32)
                    .flat_map(|n| format!("line {} of a log\n", n.wrapping_mul(n) % 977).into_bytes())
                    .collect(),
                400_000,
            ),
        ] {
            let packed = compress(&text);
            assert!(packed.len() < longest, "{}", packed.len());
            assert_eq!(unpacked(&packed), text);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(plain in prop::collection::vec(0u8..8, 0..2000)) {
            prop_assert_eq!(unpacked(&compress(&plain)), plain);
        }

        #[test]
        fn noise_comes_back(plain in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(unpacked(&compress(&plain)), plain);
        }
    }
}
