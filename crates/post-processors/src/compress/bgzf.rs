//! BGZF: gzip in blocks of at most 64 KiB that say how long they are, so that readers find their way
//! (section 4.1 of <https://samtools.github.io/hts-specs/SAMv1.pdf>). Any gzip reads it.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// How much of the content goes into a block: what cannot be compressed still fits into 64 KiB with its frame.
const BLOCK: usize = 65_280;
/// Header and trailer of a block, in bytes.
const FRAME: usize = 18 + 8;

/// Compresses what is written to it.
pub(super) struct BgzfWriter<W> {
    output: W,
    level: Compression,
    waiting: Vec<u8>,
}

impl<W: Write> BgzfWriter<W> {
    pub(super) fn new(output: W, level: Compression) -> Self {
        Self {
            output,
            level,
            waiting: Vec::with_capacity(BLOCK),
        }
    }

    /// Writes what is left and the empty block that marks the end.
    pub(super) fn finish(mut self) -> std::io::Result<W> {
        if !self.waiting.is_empty() {
            self.write_block()?;
        }
        self.write_block()?;
        Ok(self.output)
    }

    fn write_block(&mut self) -> std::io::Result<()> {
        let mut deflated = DeflateEncoder::new(Vec::new(), self.level);
        deflated.write_all(&self.waiting)?;
        let deflated = deflated.finish()?;
        let too_long = |_| std::io::Error::other("a block of BGZF is longer than 64 KiB");
        let last = u16::try_from(deflated.len() + FRAME - 1).map_err(too_long)?;
        let length = u32::try_from(self.waiting.len()).map_err(too_long)?;
        let mut sum = Crc::new();
        sum.update(&self.waiting);
        // gzip with an extra field `BC` of two bytes: the block's length less one.
        self.output
            .write_all(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0])?;
        self.output.write_all(&last.to_le_bytes())?;
        self.output.write_all(&deflated)?;
        self.output.write_all(&sum.sum().to_le_bytes())?;
        self.output.write_all(&length.to_le_bytes())?;
        self.waiting.clear();
        Ok(())
    }
}

impl<W: Write> Write for BgzfWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = BLOCK - self.waiting.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.waiting.extend_from_slice(taken);
        if self.waiting.len() == BLOCK {
            self.write_block()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}
