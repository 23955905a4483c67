//! Encrypted messages after a login by NTLM (MS-NLMP 3.4, MS-WSMV 2.2.9.1): so that plain HTTP needs no `AllowUnencrypted`, and nobody
//! on the way reads a command.

use md5::{Digest as _, Md5};
use rc4::{KeyInit as _, Rc4, StreamCipher as _, consts::U16};

use super::ntlm::hmac;

/// The `Content-Type` of encrypted messages.
pub(crate) const CONTENT_TYPE: &str =
    "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";

const BOUNDARY: &[u8] = b"--Encrypted Boundary";
/// What comes right before the encrypted bytes.
const BINARY: &[u8] = b"Content-Type: application/octet-stream\r\n";
/// Bytes of a signature.
const SIGNATURE: usize = 16;

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It has another form.
    #[error("an encrypted message of the service is damaged")]
    Damaged,
    /// Somebody else has made or changed it.
    #[error("an encrypted message does not come from the service, or was changed on the way")]
    Forged,
}

/// Both directions of one connection.
pub(crate) struct Seal {
    ours: Direction,
    theirs: Direction,
}

struct Direction {
    sign: [u8; 16],
    cipher: Rc4<U16>,
    /// Messages so far.
    number: u32,
}

impl Seal {
    /// With the key of a session.
    pub(crate) fn new(session: &[u8; 16]) -> Self {
        Self {
            ours: Direction::new(session, "client-to-server"),
            theirs: Direction::new(session, "server-to-client"),
        }
    }

    /// An envelope as it is sent.
    pub(crate) fn wrap(&mut self, envelope: &[u8]) -> Vec<u8> {
        let mut sealed = envelope.to_vec();
        let signature = self.ours.seal(&mut sealed);
        let head = format!(
            "--Encrypted Boundary\r\nContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
             OriginalContent: type=application/soap+xml;charset=UTF-8;Length={}\r\n--Encrypted Boundary\r\n",
            envelope.len()
        );
        let length = [16_u8, 0, 0, 0];
        [
            head.as_bytes(),
            BINARY,
            &length,
            &signature,
            &sealed,
            BOUNDARY,
            b"--\r\n",
        ]
        .concat()
    }

    /// The envelope in what came over.
    pub(crate) fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let start = find(message, BINARY).ok_or(SealError::Damaged)? + BINARY.len();
        let rest = message.get(start..).ok_or(SealError::Damaged)?;
        // The boundary may also occur in what is encrypted: the last one is the end.
        let end = rest
            .windows(BOUNDARY.len())
            .rposition(|window| window == BOUNDARY)
            .ok_or(SealError::Damaged)?;
        let (length, rest) = rest
            .get(..end)
            .and_then(|rest| rest.split_first_chunk::<4>())
            .ok_or(SealError::Damaged)?;
        if u32::from_le_bytes(*length) != 16 {
            return Err(SealError::Damaged);
        }
        let (signature, sealed) = rest.split_first_chunk::<SIGNATURE>().ok_or(SealError::Damaged)?;
        let mut plain = sealed.to_vec();
        if self.theirs.open(&mut plain) == *signature {
            Ok(plain)
        } else {
            Err(SealError::Forged)
        }
    }
}

impl Direction {
    fn new(session: &[u8; 16], name: &str) -> Self {
        let key = |purpose: &str| -> [u8; 16] {
            let constant = format!("session key to {name} {purpose} key magic constant\0");
            Md5::new()
                .chain_update(session)
                .chain_update(constant)
                .finalize()
                .into()
        };
        Self {
            sign: key("signing"),
            cipher: Rc4::new(&key("sealing").into()),
            number: 0,
        }
    }

    /// Encrypts a message and answers its signature.
    fn seal(&mut self, message: &mut [u8]) -> [u8; SIGNATURE] {
        let checksum = self.checksum(message);
        self.cipher.apply_keystream(message);
        self.signature(checksum)
    }

    /// Decrypts a message and answers the signature that it should have.
    fn open(&mut self, message: &mut [u8]) -> [u8; SIGNATURE] {
        self.cipher.apply_keystream(message);
        let checksum = self.checksum(message);
        self.signature(checksum)
    }

    fn checksum(&self, plain: &[u8]) -> [u8; 16] {
        hmac(&self.sign, &[&self.number.to_le_bytes(), plain])
    }

    fn signature(&mut self, mut checksum: [u8; 16]) -> [u8; SIGNATURE] {
        self.cipher.apply_keystream(&mut checksum[..8]);
        let mut signature = [0; SIGNATURE];
        signature[0] = 1;
        signature[4..12].copy_from_slice(&checksum[..8]);
        signature[12..].copy_from_slice(&self.number.to_le_bytes());
        self.number = self.number.wrapping_add(1);
        signature
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A seal that reads what [`Seal::wrap`] of another writes, as the service does.
    fn other_side(session: &[u8; 16]) -> Seal {
        Seal {
            ours: Direction::new(session, "server-to-client"),
            theirs: Direction::new(session, "client-to-server"),
        }
    }

    #[test]
    fn the_example_of_the_document_comes_out() {
        // MS-NLMP 4.2.4.4: the session key is 16 times 0x55, the message is "Plaintext".
        let mut ours = Direction::new(&[0x55; 16], "client-to-server");
        let mut message: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let signature = ours.seal(&mut message);
        assert_eq!(hex::encode(ours.sign), "4788dc861b4782f35d43fd98fe1a2d39");
        assert_eq!(hex::encode(message), "54e50165bf1936dc996020c1811b0f06fb5f");
        assert_eq!(hex::encode(signature), "010000007fb38ec5c55d497600000000");
    }

    #[test]
    fn messages_are_read_in_order_and_others_are_refused() {
        let (mut ours, mut theirs) = (Seal::new(&[7; 16]), other_side(&[7; 16]));
        for text in ["first", "", "third --Encrypted Boundary"] {
            let wrapped = ours.wrap(text.as_bytes());
            assert_eq!(theirs.unwrap(&wrapped).as_deref(), Ok(text.as_bytes()));
        }
        let wrapped = Seal::new(&[8; 16]).wrap(b"x");
        assert_eq!(theirs.unwrap(&wrapped), Err(SealError::Forged));
        assert_eq!(theirs.unwrap(b"hello"), Err(SealError::Damaged));
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(start in 0_usize..220, end in 0_usize..260, extra in proptest::collection::vec(any::<u8>(), 0..9)) {
            let wrapped = Seal::new(&[7; 16]).wrap(b"a message");
            let cut = wrapped.get(start.min(wrapped.len())..end.clamp(start.min(wrapped.len()), wrapped.len())).unwrap_or_default();
            let _ = other_side(&[7; 16]).unwrap(&[cut, &extra].concat());
            let _ = other_side(&[7; 16]).unwrap(&[BINARY, &extra, BOUNDARY].concat());
        }
    }
}
