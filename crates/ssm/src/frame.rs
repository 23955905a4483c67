//! One frame of the data channel: a fixed header of 120 bytes and a payload. All integers are big-endian; the message id is a UUID
//! with its halves swapped.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Bytes before the payload.
const HEADER: usize = 120;

/// What the header contains as its own length: it does not count the payload's length, which ends it.
const HEADER_LENGTH: u32 = 116;

const SCHEMA_VERSION: u32 = 1;

/// The longest payload that is accepted. Both official peers send 1024 bytes at most.
const LONGEST_PAYLOAD: usize = 1 << 20;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Data and control from the client to the agent.
    InputStreamData,
    /// Data and control from the agent to the client.
    OutputStreamData,
    /// A frame of one of those two has arrived.
    Acknowledge,
    /// The session is over.
    ChannelClosed,
    /// The other side listens again.
    StartPublication,
    /// The other side does not listen for now.
    PausePublication,
    /// Something that neither end of a session of ours needs to know.
    Other,
}

/// The names on the wire.
const NAMES: [(MessageType, &str); 6] = [
    (MessageType::InputStreamData, "input_stream_data"),
    (MessageType::OutputStreamData, "output_stream_data"),
    (MessageType::Acknowledge, "acknowledge"),
    (MessageType::ChannelClosed, "channel_closed"),
    (MessageType::StartPublication, "start_publication"),
    (MessageType::PausePublication, "pause_publication"),
];

impl MessageType {
    pub(crate) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(known, _)| *known == self)
            .map_or("other", |row| row.1)
    }

    /// Peers pad with spaces, some once padded with NULs.
    fn read(field: &[u8]) -> Self {
        let text = field.trim_ascii_end();
        let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let name = text.get(..end).unwrap_or_default().trim_ascii();
        NAMES
            .iter()
            .find(|(_, known)| known.as_bytes() == name)
            .map_or(Self::Other, |row| row.0)
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub message_type: MessageType,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Its number among the stream data of its direction, from 0; 0 for everything else.
    pub sequence: i64,
    /// Bit 0: first of its direction, bit 1: not part of a sequence. Nobody acts on them.
    pub flags: u64,
    /// Its own id.
    pub id: Uuid,
    /// What the payload is; 0 when the message type is enough.
    pub payload_type: u32,
    /// The payload.
    pub payload: Bytes,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a header.
    #[error("frame of {0} bytes is shorter than its header")]
    Short(usize),
    /// A header of another length than the one that is known.
    #[error("header length {0} is not {HEADER_LENGTH}")]
    Header(u32),
    /// The payload has another length than the header announces, or is longer than any should be.
    #[error("payload of {found} bytes, where the header announces {announced}")]
    Length {
        /// How many bytes follow the header.
        found: usize,
        /// What the header announces.
        announced: u32,
    },
    /// No time of creation.
    #[error("time of creation is missing")]
    Created,
    /// The payload is not what was sent.
    #[error("payload does not match its digest")]
    Digest,
}

impl Frame {
    /// A frame that is made now.
    pub fn new(message_type: MessageType, sequence: i64, flags: u64, payload_type: u32, payload: Bytes) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            message_type,
            // 0 is not valid; a clock before 1970 means nothing anyway.
            created: u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1),
            sequence,
            flags,
            id: Uuid::new_v4(),
            payload_type,
            payload,
        }
    }

    /// The frame's bytes.
    pub fn bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER + self.payload.len());
        bytes.put_u32(HEADER_LENGTH);
        let name = self.message_type.name().as_bytes();
        bytes.put_slice(name);
        bytes.put_bytes(b' ', 32 - name.len());
        bytes.put_u32(SCHEMA_VERSION);
        bytes.put_u64(self.created);
        bytes.put_i64(self.sequence);
        bytes.put_u64(self.flags);
        let (first, second) = self.id.as_u64_pair();
        bytes.put_u64(second);
        bytes.put_u64(first);
        bytes.put_slice(&Sha256::digest(&self.payload));
        bytes.put_u32(self.payload_type);
        bytes.put_u32(u32::try_from(self.payload.len()).unwrap_or(u32::MAX));
        bytes.put_slice(&self.payload);
        bytes.freeze()
    }

    /// Reads a frame. Of `start_publication` and `pause_publication`, which the service itself sends, only the type is read.
    pub fn parse(bytes: &Bytes) -> Result<Self, FrameError> {
        if bytes.len() < HEADER {
            return Err(FrameError::Short(bytes.len()));
        }
        let message_type = MessageType::read(&array::<32>(bytes, 4));
        let payload = bytes.slice(HEADER..);
        let frame = Self {
            message_type,
            created: u64::from_be_bytes(array(bytes, 40)),
            sequence: i64::from_be_bytes(array(bytes, 48)),
            flags: u64::from_be_bytes(array(bytes, 56)),
            id: Uuid::from_u64_pair(
                u64::from_be_bytes(array(bytes, 72)),
                u64::from_be_bytes(array(bytes, 64)),
            ),
            payload_type: u32::from_be_bytes(array(bytes, 112)),
            payload,
        };
        if matches!(
            message_type,
            MessageType::StartPublication | MessageType::PausePublication
        ) {
            return Ok(frame);
        }
        let header = u32::from_be_bytes(array(bytes, 0));
        if header != HEADER_LENGTH {
            return Err(FrameError::Header(header));
        }
        let (found, announced) = (frame.payload.len(), u32::from_be_bytes(array(bytes, 116)));
        if u32::try_from(found) != Ok(announced) || found > LONGEST_PAYLOAD {
            return Err(FrameError::Length { found, announced });
        }
        if frame.created == 0 {
            return Err(FrameError::Created);
        }
        if found > 0 && Sha256::digest(&frame.payload)[..] != array::<32>(bytes, 80) {
            return Err(FrameError::Digest);
        }
        Ok(frame)
    }
}

/// The bytes of a field; zeros where the frame ends before it.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the official client's own serializer makes of this frame.
    const VECTOR: &str = "00000074696e7075745f73747265616d5f6461746120202020202020202020202020202000000001\
                          0000018bcfe5680000000000000000070000000000000000\
                          8899aabbccddeeff0011223344556677\
                          2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\
                          000000010000000568656c6c6f";

    fn vector() -> Frame {
        Frame {
            message_type: MessageType::InputStreamData,
            created: 1_700_000_000_000,
            sequence: 7,
            flags: 0,
            id: Uuid::parse_str("00112233-4455-6677-8899-aabbccddeeff").unwrap(),
            payload_type: 1,
            payload: Bytes::from_static(b"hello"),
        }
    }

    #[test]
    fn bytes_are_those_of_the_official_client() {
        assert_eq!(hex::encode(vector().bytes()), VECTOR);
        let bytes = Bytes::from(hex::decode(VECTOR).unwrap());
        assert_eq!(Frame::parse(&bytes), Ok(vector()));
    }

    fn changed(offset: usize, value: u8) -> Result<Frame, FrameError> {
        let mut bytes = vector().bytes().to_vec();
        bytes[offset] = value;
        Frame::parse(&bytes.into())
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(changed(3, 112), Err(FrameError::Header(112)));
        assert_eq!(changed(119, 6), Err(FrameError::Length { found: 5, announced: 6 }));
        assert_eq!(changed(124, b'O'), Err(FrameError::Digest));
        let mut timeless = vector();
        timeless.created = 0;
        assert_eq!(Frame::parse(&timeless.bytes()), Err(FrameError::Created));
        let short = vector().bytes().slice(..119);
        assert_eq!(Frame::parse(&short), Err(FrameError::Short(119)));
    }

    #[test]
    fn types_padded_with_nuls_are_read_and_unknown_ones_are_others() {
        let mut bytes = vector().bytes().to_vec();
        bytes[4 + "input_stream_data".len()..36].fill(0);
        let read = |bytes: &[u8]| Frame::parse(&Bytes::copy_from_slice(bytes)).map(|frame| frame.message_type);
        assert_eq!(read(&bytes), Ok(MessageType::InputStreamData));
        bytes[4] = b'x';
        assert_eq!(read(&bytes), Ok(MessageType::Other));
    }

    #[test]
    fn publication_frames_are_read_whatever_else_they_hold() {
        let mut frame = vector();
        frame.message_type = MessageType::PausePublication;
        let mut bytes = frame.bytes().to_vec();
        bytes[..4].fill(0xff);
        bytes[80..].fill(0xee);
        let read = Frame::parse(&bytes.into()).map(|frame| frame.message_type);
        assert_eq!(read, Ok(MessageType::PausePublication));
    }

    fn any_type() -> impl Strategy<Value = MessageType> {
        prop::sample::select(NAMES.map(|row| row.0).to_vec())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            message_type in any_type(),
            created in 1..u64::MAX,
            sequence: i64,
            flags: u64,
            id: u128,
            payload_type: u32,
            payload in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let id = Uuid::from_u128(id);
            let frame = Frame { message_type, created, sequence, flags, id, payload_type, payload: payload.into() };
            prop_assert_eq!(Frame::parse(&frame.bytes()), Ok(frame));
        }

        #[test]
        fn garbage_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Frame::parse(&bytes.into());
        }

        /// Garbage that is nearly right gets further into the parser than noise does.
        #[test]
        fn a_changed_byte_is_noticed_or_harmless(offset in 0..125_usize, value: u8) {
            if let Ok(frame) = changed(offset, value) {
                prop_assert_eq!(frame.payload, vector().payload);
            }
        }
    }
}
