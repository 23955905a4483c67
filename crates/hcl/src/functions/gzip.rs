//! gzip for `base64gzip`: data flushed before the stream is closed, time 0, unknown system.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Compressed data. The result depends on the data alone.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    packed.extend(deflate(plain));
    // The flush leaves an empty stored block; closing adds another one, marked as the last.
    packed.extend([1, 0, 0, 0xff, 0xff]);
    let mut checksum = Crc::new();
    checksum.update(plain);
    packed.extend(checksum.sum().to_le_bytes());
    packed.extend(checksum.amount().to_le_bytes());
    packed
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::default(), false);
    let mut packed = Vec::with_capacity(plain.len() / 2 + 64);
    loop {
        let done = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let rest = plain.get(done..).unwrap_or_default();
        packed.reserve(rest.len() / 2 + 64);
        let before = packed.len();
        match compress.compress_vec(rest, &mut packed, FlushCompress::Sync) {
            Ok(Status::Ok) if packed.len() == packed.capacity() => {}
            Ok(Status::Ok) if packed.len() > before && compress.total_in() < plain.len() as u64 => {}
            _ => return packed,
        }
    }
}
