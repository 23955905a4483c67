//! The multiplexer within a session: frames of smux version 1, whose integers are little-endian, in one stream of bytes that knows
//! nothing of the data channel's messages.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const VERSION: u8 = 1;
const HEADER: usize = 8;

/// The most data that one frame of ours holds: with its header it fills 32 messages of the data channel exactly.
pub(crate) const LONGEST_DATA: usize = 32 * 1024 - HEADER;

/// The client's first stream; each further one has the next odd number.
pub(crate) const FIRST_STREAM: u32 = 3;

const OPEN: u8 = 0;
const FINISH: u8 = 1;
const DATA: u8 = 2;
const NOTHING: u8 = 3;

/// What a frame means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// There is a new stream of this number.
    Open(u32),
    /// Bytes of a stream.
    Data(u32, Bytes),
    /// The stream is over, in both directions.
    Finish(u32),
}

/// Bytes that are no frames: the other side speaks something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmuxError {
    /// Another version.
    #[error("multiplexed stream has version {0}, not {VERSION}")]
    Version(u8),
    /// A command that version 1 does not have.
    #[error("multiplexed stream has the unknown command {0}")]
    Command(u8),
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: BytesMut,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame that is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, SmuxError> {
        loop {
            let Some(header) = self.bytes.first_chunk::<HEADER>() else {
                return Ok(None);
            };
            let [version, command, low, high, stream @ ..] = *header;
            if version != VERSION {
                return Err(SmuxError::Version(version));
            }
            let length = usize::from(u16::from_le_bytes([low, high]));
            if self.bytes.len() < HEADER + length {
                return Ok(None);
            }
            self.bytes.advance(HEADER);
            let data = self.bytes.split_to(length).freeze();
            let stream = u32::from_le_bytes(stream);
            match command {
                OPEN => return Ok(Some(Event::Open(stream))),
                FINISH => return Ok(Some(Event::Finish(stream))),
                DATA => return Ok(Some(Event::Data(stream, data))),
                NOTHING => {}
                other => return Err(SmuxError::Command(other)),
            }
        }
    }
}

/// A frame that opens a stream.
pub(crate) fn open(stream: u32) -> Bytes {
    frame(OPEN, stream, &[])
}

/// A frame that ends a stream.
pub(crate) fn finish(stream: u32) -> Bytes {
    frame(FINISH, stream, &[])
}

/// A frame with bytes of a stream, [`LONGEST_DATA`] at most.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Bytes {
    frame(DATA, stream, bytes)
}

/// A keepalive.
pub(crate) fn keepalive() -> Bytes {
    frame(NOTHING, 0, &[])
}

fn frame(command: u8, stream: u32, data: &[u8]) -> Bytes {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let data = data.get(..usize::from(length)).unwrap_or(data);
    let mut frame = BytesMut::with_capacity(HEADER + data.len());
    frame.put_u8(VERSION);
    frame.put_u8(command);
    frame.put_u16_le(length);
    frame.put_u32_le(stream);
    frame.put_slice(data);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(bytes: &[u8], step: usize) -> Result<Vec<Event>, SmuxError> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for part in bytes.chunks(step) {
            decoder.push(part);
            while let Some(event) = decoder.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn frames_have_the_bytes_of_version_1() {
        assert_eq!(hex::encode(open(3)), "0100000003000000");
        assert_eq!(hex::encode(finish(5)), "0101000005000000");
        assert_eq!(hex::encode(data(3, b"hi")), "01020200030000006869");
        assert_eq!(hex::encode(keepalive()), "0103000000000000");
    }

    #[test]
    fn another_version_and_an_unknown_command_end_it() {
        assert_eq!(events(&[2, 0, 0, 0, 3, 0, 0, 0], 8), Err(SmuxError::Version(2)));
        assert_eq!(events(&[1, 4, 0, 0, 3, 0, 0, 0], 8), Err(SmuxError::Command(4)));
    }

    #[test]
    fn the_longest_data_fills_messages_exactly() {
        assert_eq!(data(3, &vec![0; LONGEST_DATA]).len() % 1024, 0);
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in prop::collection::vec((0..4_u8, any::<u32>(), prop::collection::vec(any::<u8>(), 0..100)), 0..10),
            step in 1..50_usize,
        ) {
            let mut bytes = Vec::new();
            let mut wanted = Vec::new();
            for (command, stream, payload) in frames {
                match command {
                    0 => { bytes.extend(open(stream)); wanted.push(Event::Open(stream)); }
                    1 => { bytes.extend(finish(stream)); wanted.push(Event::Finish(stream)); }
                    2 => { bytes.extend(data(stream, &payload)); wanted.push(Event::Data(stream, payload.into())); }
                    _ => bytes.extend(keepalive()),
                }
            }
            prop_assert_eq!(events(&bytes, step), Ok(wanted));
        }

        #[test]
        fn garbage_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1..50_usize) {
            let _ = events(&bytes, step);
        }
    }
}
