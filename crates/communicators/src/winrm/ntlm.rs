//! The client's side of `NTLMv2` (MS-NLMP), for one handshake on one connection.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use rc4::{KeyInit as _, Rc4, StreamCipher as _, consts::U16};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const UNICODE: u32 = 1;
const REQUEST_TARGET: u32 = 4;
const SIGN: u32 = 0x10;
const SEAL: u32 = 0x20;
const NTLM: u32 = 0x200;
const ALWAYS_SIGN: u32 = 0x8000;
const EXTENDED_SECURITY: u32 = 0x8_0000;
const TARGET_INFO: u32 = 0x80_0000;
const VERSION: u32 = 0x200_0000;
const KEY_128: u32 = 0x2000_0000;
const KEY_EXCHANGE: u32 = 0x4000_0000;
const KEY_56: u32 = 0x8000_0000;
const WANTED: u32 = UNICODE
    | REQUEST_TARGET
    | SIGN
    | SEAL
    | NTLM
    | ALWAYS_SIGN
    | EXTENDED_SECURITY
    | TARGET_INFO
    | VERSION
    | KEY_128
    | KEY_EXCHANGE
    | KEY_56;

/// Ids of the pairs in a challenge.
const END_OF_PAIRS: u16 = 0;
const PAIR_FLAGS: u16 = 6;
const PAIR_TIMESTAMP: u16 = 7;
/// The flag that announces an integrity code.
const INTEGRITY: u32 = 2;

/// Where the integrity code of the last message is.
const CODE_AT: usize = 72;
/// Where the content of the last message begins.
const PAYLOAD_AT: usize = 88;
/// Seconds from 1601 to 1970.
const EPOCH: u64 = 11_644_473_600;

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NtlmError {
    /// It is not a challenge.
    #[error("the service did not send an NTLM challenge")]
    NoChallenge,
    /// It is cut off or refers to what is outside of it.
    #[error("the service's NTLM challenge is malformed")]
    Damaged,
    /// It is of a version that is not safe, or not one that we support.
    #[error("the service does not support NTLMv2")]
    Old,
}

/// Who logs in.
#[derive(Clone)]
pub(crate) struct Login {
    /// The domain; empty for a user of the machine.
    pub(crate) domain: String,
    /// The user's name.
    pub(crate) user: String,
    /// The user's password.
    pub(crate) password: String,
}

impl Login {
    /// Of a name as people write it: `user`, `DOMAIN\user` or `user@domain`.
    pub(crate) fn new(username: &str, password: &str) -> Self {
        let (domain, user) = username.split_once('\\').unwrap_or(("", username));
        Self {
            domain: domain.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }
}

/// What only the moment decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Bytes that nobody can foresee.
    pub(crate) nonce: [u8; 8],
    /// Tenths of microseconds since 1601, where the challenge has none.
    pub(crate) time: u64,
    /// The key of the session: nobody can foresee it either.
    pub(crate) session: [u8; 16],
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let tenths = u64::try_from(since_1970.as_nanos() / 100).unwrap_or_default();
        // Six bits of a UUID are fixed: the digest of several has none.
        let unforeseen = || hmac(uuid::Uuid::new_v4().as_bytes(), &[uuid::Uuid::new_v4().as_bytes()]);
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&unforeseen()[..8]);
        Self {
            nonce,
            time: tenths + EPOCH * 10_000_000,
            session: unforeseen(),
        }
    }
}

/// The first message.
pub(crate) fn negotiate() -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(1_u32.to_le_bytes());
    message.extend(WANTED.to_le_bytes());
    // Neither domain nor workstation.
    message.extend([0; 16]);
    message.extend(version());
    message
}

/// The last message, in answer to a challenge. If the service accepts it, the session has the key of the moment.
pub(crate) fn authenticate(challenge: &[u8], login: &Login, moment: Moment) -> Result<Vec<u8>, NtlmError> {
    if !challenge.starts_with(SIGNATURE) || number(challenge, 8)? != 2 {
        return Err(NtlmError::NoChallenge);
    }
    let flags = number(challenge, 20)?;
    let needed = UNICODE | EXTENDED_SECURITY | TARGET_INFO | KEY_EXCHANGE | KEY_128;
    if flags & needed != needed {
        return Err(NtlmError::Old);
    }
    let nonce = challenge.get(24..32).ok_or(NtlmError::Damaged)?;
    let (pairs, timestamp) = answered_pairs(field(challenge, 40)?)?;
    let key = response_key(login);
    let temp = [
        &[1, 1, 0, 0, 0, 0, 0, 0],
        &timestamp.unwrap_or(moment.time).to_le_bytes()[..],
        &moment.nonce,
        &[0; 4],
        &pairs,
        &[0; 4],
    ]
    .concat();
    let proof = hmac(&key, &[nonce, &temp]);
    let response = [&proof[..], &temp].concat();
    // With a timestamp the service checks the integrity code, and this older response has no use.
    let older = match timestamp {
        Some(_) => vec![0; 24],
        None => [&hmac(&key, &[nonce, &moment.nonce])[..], &moment.nonce].concat(),
    };
    let mut key_for_them = moment.session;
    Rc4::<U16>::new(&hmac(&key, &[&proof]).into()).apply_keystream(&mut key_for_them);
    let mut message = assemble(login, [&older, &response, &key_for_them], flags & WANTED);
    if timestamp.is_some() {
        let code = hmac(&moment.session, &[&negotiate(), challenge, &message]);
        message[CODE_AT..PAYLOAD_AT].copy_from_slice(&code);
    }
    Ok(message)
}

/// The key that all responses are made with (`NTOWFv2`).
fn response_key(login: &Login) -> [u8; 16] {
    let name = [wide(&login.user.to_uppercase()), wide(&login.domain)].concat();
    hmac(&Md4::digest(wide(&login.password)), &[&name])
}

/// The pairs of a challenge as they are sent back, and its timestamp. With one, an integrity code is announced.
fn answered_pairs(mut pairs: &[u8]) -> Result<(Vec<u8>, Option<u64>), NtlmError> {
    let mut answered = Vec::with_capacity(pairs.len() + 8);
    let (mut timestamp, mut flags) = (None, 0);
    loop {
        let id = short(pairs, 0)?;
        let length = usize::from(short(pairs, 2)?);
        let value = pairs.get(4..4 + length).ok_or(NtlmError::Damaged)?;
        match id {
            END_OF_PAIRS => break,
            PAIR_FLAGS => flags = number(value, 0)?,
            _ => answered.extend_from_slice(&pairs[..4 + length]),
        }
        if id == PAIR_TIMESTAMP {
            timestamp = Some(u64::from_le_bytes(value.try_into().map_err(|_| NtlmError::Damaged)?));
        }
        pairs = &pairs[4 + length..];
    }
    if timestamp.is_some() {
        flags |= INTEGRITY;
    }
    if flags != 0 {
        answered.extend(PAIR_FLAGS.to_le_bytes());
        answered.extend([4, 0]);
        answered.extend(flags.to_le_bytes());
    }
    answered.extend([0; 4]);
    Ok((answered, timestamp))
}

/// The last message without its integrity code.
fn assemble(login: &Login, [older, response, session]: [&[u8]; 3], flags: u32) -> Vec<u8> {
    let (domain, user) = (wide(&login.domain), wide(&login.user));
    let mut message = SIGNATURE.to_vec();
    message.extend(3_u32.to_le_bytes());
    let mut payload = Vec::new();
    // The empty one would be a workstation.
    for content in [older, response, &domain, &user, &[], session] {
        let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_le_bytes();
        let offset = u32::try_from(PAYLOAD_AT + payload.len()).unwrap_or(u32::MAX);
        message.extend([length, length].concat());
        message.extend(offset.to_le_bytes());
        payload.extend_from_slice(content);
    }
    message.extend(flags.to_le_bytes());
    message.extend(version());
    message.extend([0; PAYLOAD_AT - CODE_AT]);
    message.extend(payload);
    message
}

/// Windows 10.0 with revision 15 of NTLM: the field is required but has no meaning.
fn version() -> [u8; 8] {
    [10, 0, 0, 0, 0, 0, 0, 15]
}

fn short(message: &[u8], at: usize) -> Result<u16, NtlmError> {
    let bytes = message.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_le_bytes).ok_or(NtlmError::Damaged)
}

fn number(message: &[u8], at: usize) -> Result<u32, NtlmError> {
    let bytes = message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_le_bytes).ok_or(NtlmError::Damaged)
}

/// What the field at this place refers to.
fn field(message: &[u8], at: usize) -> Result<&[u8], NtlmError> {
    let length = usize::from(short(message, at)?);
    let offset = usize::try_from(number(message, at + 4)?).map_err(|_| NtlmError::Damaged)?;
    let bytes = message.get(offset..).and_then(|rest| rest.get(..length));
    bytes.ok_or(NtlmError::Damaged)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(crate) fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 16] {
    #[expect(clippy::unwrap_used, reason = "HMAC takes keys of every length")]
    let mut code = <Hmac<Md5> as hmac::Mac>::new_from_slice(key).unwrap();
    for piece in pieces {
        code.update(piece);
    }
    code.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// MS-NLMP 4.2.1 and 4.2.4: the example of the document.
    fn example() -> (Vec<u8>, Login, Moment) {
        let name = wide("Server");
        let mut pairs = Vec::new();
        for (id, value) in [(2_u16, "Domain"), (1, "Server")] {
            pairs.extend(id.to_le_bytes());
            pairs.extend(12_u16.to_le_bytes());
            pairs.extend(wide(value));
        }
        pairs.extend([0; 4]);
        let mut challenge = SIGNATURE.to_vec();
        challenge.extend(2_u32.to_le_bytes());
        challenge.extend([12, 0, 12, 0, 56, 0, 0, 0]);
        challenge.extend(0xe28a_8233_u32.to_le_bytes());
        challenge.extend([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        challenge.extend([0; 8]);
        challenge.extend([36, 0, 36, 0, 68, 0, 0, 0]);
        challenge.extend([6, 0, 0x70, 0x17, 0, 0, 0, 15]);
        challenge.extend(name);
        challenge.extend(pairs);
        let login = Login::new("Domain\\User", "Password");
        (
            challenge,
            login,
            Moment {
                nonce: [0xaa; 8],
                time: 0,
                session: [0x55; 16],
            },
        )
    }

    #[test]
    fn the_example_of_the_document_comes_out() {
        let (challenge, login, moment) = example();
        let key = response_key(&login);
        assert_eq!(hex::encode(key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let message = authenticate(&challenge, &login, moment).unwrap();
        let older = field(&message, 12).unwrap();
        assert_eq!(hex::encode(older), "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa");
        let response = field(&message, 20).unwrap();
        assert_eq!(hex::encode(&response[..16]), "68cd0ab851e51c96aabc927bebef6a1c");
        assert_eq!(
            hex::encode(hmac(&key, &[&response[..16]])),
            "8de40ccadbc14a82f15cb0ad0de95ca3"
        );
        assert_eq!(
            hex::encode(field(&message, 52).unwrap()),
            "c5dad2544fc9799094ce1ce90bc9d03e"
        );
        assert_eq!(field(&message, 28).unwrap(), wide("Domain"));
        assert_eq!(field(&message, 36).unwrap(), wide("User"));
    }

    #[test]
    fn a_challenge_of_the_first_version_is_refused() {
        let (mut challenge, login, moment) = example();
        challenge[22] = 0;
        assert_eq!(authenticate(&challenge, &login, moment), Err(NtlmError::Old));
        assert_eq!(authenticate(b"hello", &login, moment), Err(NtlmError::NoChallenge));
    }

    proptest! {
        #[test]
        fn no_challenge_makes_us_panic(at in 0_usize..110, with in proptest::collection::vec(any::<u8>(), 0..12), length in 0_usize..110) {
            let (mut challenge, login, moment) = example();
            for (index, byte) in with.into_iter().enumerate() {
                if let Some(place) = challenge.get_mut(at + index) {
                    *place = byte;
                }
            }
            challenge.truncate(length);
            let _ = authenticate(&challenge, &login, moment);
        }
    }
}
