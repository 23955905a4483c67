//! DSSE: a payload with signatures over its type and its bytes (<https://github.com/secure-systems-lab/dsse>).

use std::borrow::Cow;

use bakelite_engine::error::Explain;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::key::{KeyError, SigningKey, VerifyingKey};

/// The type of payload that an in-toto statement is.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope, in the order of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    #[serde(rename = "payloadType")]
    pub(super) payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

/// One signature. Who signed is a hint and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// Why something was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error("failed to sign the statement")]
    Key(#[from] KeyError),
    #[error("the signature that was made is not valid by the key `{verifier}`; nothing is written")]
    Mismatch { verifier: String },
}

impl Explain for SignError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            SignError::Key(error) => error.help(),
            SignError::Mismatch { .. } => Some("`verifier` must be the public key of `signer`".into()),
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        matches!(self, SignError::Mismatch { .. }).then_some("verifier".into())
    }
}

/// Signs a statement. The signature is checked before anything is done with it: `verifier` is the key that readers will have.
pub(crate) fn sign(payload: &[u8], key: &SigningKey, verifier: &VerifyingKey) -> Result<Envelope, SignError> {
    let signature = key.sign(&encoding(PAYLOAD_TYPE, payload))?;
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.into(),
        payload: BASE64_STANDARD.encode(payload),
        signatures: vec![Signature {
            keyid: key.verifying_key().id()?,
            sig: BASE64_STANDARD.encode(signature),
        }],
    };
    match envelope.verified_payload(verifier) {
        Some(_) => Ok(envelope),
        None => Err(SignError::Mismatch {
            verifier: verifier.id()?,
        }),
    }
}

impl Envelope {
    /// The payload, if one of the signatures was made by this key.
    pub(super) fn verified_payload(&self, key: &VerifyingKey) -> Option<Vec<u8>> {
        let payload = decoded(&self.payload)?;
        let message = encoding(&self.payload_type, &payload);
        let mut signatures = self.signatures.iter().filter_map(|one| decoded(&one.sig));
        signatures
            .any(|signature| key.verifies(&message, &signature))
            .then_some(payload)
    }

    /// Who says to have signed.
    pub(super) fn key_ids(&self) -> Vec<&str> {
        self.signatures.iter().map(|one| one.keyid.as_str()).collect()
    }
}

/// What is signed: DSSE's pre-authentication encoding.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut text = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    text.extend_from_slice(payload);
    text
}

/// Base64 of either alphabet, as DSSE asks of readers, with or without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [&alphabet::STANDARD, &alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_standard() {
        // The example of the standard's document.
        let encoded = encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            String::from_utf8(encoded).unwrap(),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn both_alphabets_are_read() {
        assert_eq!(decoded("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decoded("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decoded("not base64!"), None);
    }
}
