//! The server's side of `NTLMv2` (MS-NLMP). Written from the protocol's document, apart from the client's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use rc4::{KeyInit as _, Rc4, StreamCipher as _};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const UNICODE: u32 = 1;
const SIGN: u32 = 0x10;
const SEAL: u32 = 0x20;
const NTLM: u32 = 0x200;
const ALWAYS_SIGN: u32 = 0x8000;
const TARGET_TYPE_SERVER: u32 = 0x2_0000;
const EXTENDED_SECURITY: u32 = 0x8_0000;
const TARGET_INFO: u32 = 0x80_0000;
const VERSION: u32 = 0x200_0000;
const KEY_128: u32 = 0x2000_0000;
const KEY_EXCHANGE: u32 = 0x4000_0000;
const KEY_56: u32 = 0x8000_0000;
const OFFERED: u32 = UNICODE
    | SIGN
    | SEAL
    | NTLM
    | ALWAYS_SIGN
    | TARGET_TYPE_SERVER
    | EXTENDED_SECURITY
    | TARGET_INFO
    | VERSION
    | KEY_128
    | KEY_EXCHANGE
    | KEY_56;

/// A handshake on one connection.
#[derive(Default)]
pub(super) struct Handshake {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
}

/// What a message of the client leads to.
pub(super) enum Step {
    /// This must be answered: the challenge, encoded.
    Challenge(String),
    /// The password is right; the key of the session.
    Accepted([u8; 16]),
}

impl Handshake {
    /// Takes a message, encoded as in the header.
    pub(super) fn take(&mut self, message: &str, username: &str, password: &str) -> Result<Step, String> {
        let message = STANDARD.decode(message).map_err(|error| error.to_string())?;
        if !message.starts_with(SIGNATURE) {
            return Err("no message of NTLM".into());
        }
        match number(&message, 8)? {
            1 => {
                self.challenge = challenge(number(&message, 12)?);
                self.negotiate = message;
                Ok(Step::Challenge(STANDARD.encode(&self.challenge)))
            }
            3 if !self.challenge.is_empty() => self.authenticate(&message, username, password).map(Step::Accepted),
            other => Err(format!("message {other} out of its turn")),
        }
    }

    fn authenticate(&self, message: &[u8], username: &str, password: &str) -> Result<[u8; 16], String> {
        let response = field(message, 20)?;
        let (domain, user) = (field(message, 28)?, field(message, 36)?);
        let user = text(user);
        if !user.eq_ignore_ascii_case(username) {
            return Err(format!("there is no user {user}"));
        }
        let mut name = wide(&user.to_uppercase());
        name.extend_from_slice(domain);
        let key = hmac(&Md4::digest(wide(password)), &[&name]);
        let (proof, blob) = response.split_at_checked(16).ok_or("the response is none of NTLMv2")?;
        if hmac(&key, &[&self.challenge[24..32], blob]) != proof {
            return Err("the password is wrong".into());
        }
        let mut session = hmac(&key, &[proof]);
        if number(message, 60)? & KEY_EXCHANGE != 0 {
            let encrypted = field(message, 52)?;
            let mut exported: [u8; 16] = encrypted.try_into().map_err(|_| "the session key has no 16 bytes")?;
            Rc4::<rc4::consts::U16>::new(&session.into()).apply_keystream(&mut exported);
            session = exported;
        }
        self.check_integrity(message, blob, &session)?;
        Ok(session)
    }

    /// Since our challenge has a time, the client protects the three messages.
    fn check_integrity(&self, message: &[u8], blob: &[u8], session: &[u8; 16]) -> Result<(), String> {
        if flags_of(blob.get(28..).unwrap_or_default()) & 2 == 0 {
            return Err("the client announces no integrity code".into());
        }
        let mut bare = message.to_vec();
        let code = bare
            .get_mut(72..88)
            .ok_or("the message is too short for an integrity code")?;
        let given = code.to_vec();
        code.fill(0);
        if hmac(session, &[&self.negotiate, &self.challenge, &bare]) == given[..] {
            Ok(())
        } else {
            Err("the integrity code is wrong".into())
        }
    }
}

fn challenge(wanted: u32) -> Vec<u8> {
    let name = wide("TESTHOST");
    let info = target_info();
    let mut message = SIGNATURE.to_vec();
    message.extend(2_u32.to_le_bytes());
    let name_at = 56_u32;
    push_field(&mut message, name.len(), name_at);
    message.extend((OFFERED & (wanted | TARGET_INFO | TARGET_TYPE_SERVER | NTLM)).to_le_bytes());
    message.extend(fastrand::u64(..).to_le_bytes());
    message.extend([0; 8]);
    push_field(&mut message, info.len(), name_at + u32::try_from(name.len()).unwrap());
    // Version 10.0, build 17763, revision 15 of NTLM.
    message.extend([10, 0, 0x63, 0x45, 0, 0, 0, 15]);
    message.extend(name);
    message.extend(info);
    message
}

fn target_info() -> Vec<u8> {
    let mut info = Vec::new();
    for (id, value) in [(2, "TESTHOST"), (1, "TESTHOST"), (4, "testhost"), (3, "testhost")] {
        push_pair(&mut info, id, &wide(value));
    }
    let since_1601 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 11_644_473_600;
    push_pair(&mut info, 7, &(since_1601 * 10_000_000).to_le_bytes());
    push_pair(&mut info, 0, &[]);
    info
}

fn push_pair(info: &mut Vec<u8>, id: u16, value: &[u8]) {
    info.extend(id.to_le_bytes());
    info.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    info.extend(value);
}

fn push_field(message: &mut Vec<u8>, length: usize, offset: u32) {
    let length = u16::try_from(length).unwrap().to_le_bytes();
    message.extend([length, length].concat());
    message.extend(offset.to_le_bytes());
}

/// The flags among the pairs of a response.
fn flags_of(mut pairs: &[u8]) -> u32 {
    while let [id, id2, length, length2, rest @ ..] = pairs {
        let length = usize::from(u16::from_le_bytes([*length, *length2]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if u16::from_le_bytes([*id, *id2]) == 6 {
            return number(value, 0).unwrap_or(0);
        }
        pairs = rest;
    }
    0
}

fn number(message: &[u8], at: usize) -> Result<u32, String> {
    let bytes = message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u32::from_le_bytes)
        .ok_or_else(|| "the message is too short".to_owned())
}

/// What a field at this place refers to.
fn field(message: &[u8], at: usize) -> Result<&[u8], String> {
    let length = (number(message, at)? & 0xffff) as usize;
    let offset = number(message, at + 4)? as usize;
    let bytes = message.get(offset..).and_then(|rest| rest.get(..length));
    bytes.ok_or_else(|| "a field is outside of the message".to_owned())
}

fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 16] {
    let mut code = <Hmac<Md5> as hmac::Mac>::new_from_slice(key).unwrap();
    for piece in pieces {
        code.update(piece);
    }
    code.finalize().into_bytes().into()
}

/// Encrypted messages of a session (MS-NLMP 3.4, MS-WSMV 2.2.9.1).
pub(super) struct Sealing {
    from_client: Half,
    to_client: Half,
}

struct Half {
    sign: [u8; 16],
    cipher: Rc4<rc4::consts::U16>,
    sequence: u32,
}

const MULTIPART: &[u8] = b"application/octet-stream\r\n";
const END: &[u8] = b"--Encrypted Boundary--\r\n";

impl Sealing {
    pub(super) fn new(session: [u8; 16]) -> Self {
        Self {
            from_client: Half::new(session, "client-to-server"),
            to_client: Half::new(session, "server-to-client"),
        }
    }

    /// What a client has encrypted.
    pub(super) fn open(&mut self, body: &[u8]) -> Result<Vec<u8>, String> {
        let start = body.windows(MULTIPART.len()).position(|window| window == MULTIPART);
        let start = start.ok_or("the encrypted part is missing")? + MULTIPART.len();
        let part = body[start..].strip_suffix(END).ok_or("the last boundary is missing")?;
        if number(part, 0)? != 16 || part.len() < 20 {
            return Err("the signature has no 16 bytes".into());
        }
        let (signature, mut message) = (part[4..20].to_vec(), part[20..].to_vec());
        self.from_client.cipher.apply_keystream(&mut message);
        let expected = self.from_client.signature(&message);
        if signature == expected {
            Ok(message)
        } else {
            Err("the signature is wrong".into())
        }
    }

    /// The same for an answer.
    pub(super) fn seal(&mut self, message: &str) -> Vec<u8> {
        let mut sealed = message.as_bytes().to_vec();
        self.to_client.cipher.apply_keystream(&mut sealed);
        let signature = self.to_client.signature(message.as_bytes());
        let head = format!(
            "--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
             \tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={}\r\n\
             --Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n",
            message.len()
        );
        [head.as_bytes(), &[16, 0, 0, 0], &signature, &sealed, END].concat()
    }
}

impl Half {
    fn new(session: [u8; 16], direction: &str) -> Self {
        let key = |purpose: &str| {
            let text = format!("session key to {direction} {purpose} key magic constant\0");
            <[u8; 16]>::from(Md5::digest([&session[..], text.as_bytes()].concat()))
        };
        Self {
            sign: key("signing"),
            cipher: Rc4::new(&key("sealing").into()),
            sequence: 0,
        }
    }

    /// Of a message that was just encrypted or decrypted.
    fn signature(&mut self, plain: &[u8]) -> Vec<u8> {
        let sequence = self.sequence.to_le_bytes();
        self.sequence += 1;
        let mut checksum = hmac(&self.sign, &[&sequence, plain])[..8].to_vec();
        self.cipher.apply_keystream(&mut checksum);
        [&[1, 0, 0, 0][..], &checksum, &sequence].concat()
    }
}
