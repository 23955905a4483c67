//! Keys of attestations, read from PEM: Ed25519, ECDSA on P-256 and P-384, RSA; private ones as PKCS#8, SEC1 or PKCS#1.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bakelite_engine::error::Explain;
use ed25519_dalek::pkcs8::spki::{DecodePublicKey as _, EncodePublicKey as _};
use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use p256::pkcs8::{DecodePrivateKey as _, LineEnding};
use rsa::Pkcs1v15Sign;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, DecodeRsaPublicKey as _};
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts as _;
use sha2::{Digest as _, Sha256, Sha384};

/// Lengths of RSA keys: shorter ones can be broken, longer ones are not read.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A private key.
pub enum SigningKey {
    /// Ed25519.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// ECDSA on P-256.
    P256(Box<p256::ecdsa::SigningKey>),
    /// ECDSA on P-384.
    P384(Box<p384::ecdsa::SigningKey>),
    /// RSA.
    Rsa(Box<rsa::RsaPrivateKey>),
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyingKey {
    /// Ed25519.
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    /// ECDSA on P-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// ECDSA on P-384.
    P384(Box<p384::ecdsa::VerifyingKey>),
    /// RSA.
    Rsa(Box<rsa::RsaPublicKey>),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("failed to read key `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A private key that a passphrase protects.
    #[error("it is protected by a passphrase")]
    Protected,
    /// Another kind of PEM, or none.
    #[error("it holds {found}, and no {wanted} key in PEM")]
    NoKey {
        /// What it holds.
        found: String,
        /// `private` or `public`
        wanted: &'static str,
    },
    /// PEM of the right kind with something else in it.
    #[error("its `{label}` is no key of Ed25519, ECDSA P-256, ECDSA P-384 or RSA (of at most {} bits)", RSA_BITS.end())]
    Unknown {
        /// The label of the PEM block.
        label: String,
    },
    /// An RSA key that can be broken, or that is too long.
    #[error("its RSA key has {bits} bits; {} to {} are supported", RSA_BITS.start(), RSA_BITS.end())]
    Length {
        /// Its length.
        bits: usize,
    },
    /// The arithmetic failed.
    #[error("computing with the key failed: {0}")]
    Computation(String),
}

impl Explain for KeyError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            KeyError::Protected => Some("use a key without a passphrase: nobody can type one during a bake".into()),
            KeyError::NoKey { wanted: "public", .. } => {
                Some("write the public half of a key: openssl pkey -in key.pem -pubout -out key.pub.pem".into())
            }
            KeyError::Unknown { .. } | KeyError::Length { .. } | KeyError::NoKey { .. } => {
                Some("make a key: openssl genpkey -algorithm ed25519 -out key.pem".into())
            }
            KeyError::File { .. } | KeyError::Computation(_) => None,
        }
    }
}

fn text_of(path: &Path) -> Result<String, KeyError> {
    std::fs::read_to_string(path).map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })
}

impl SigningKey {
    /// The first private key in a file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&text_of(path)?)
    }

    /// The first private key in a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, block) = key_block(text, "private", |label| label.ends_with("PRIVATE KEY"))?;
        let key = match label {
            _ if block.contains("Proc-Type: 4,ENCRYPTED") => return Err(KeyError::Protected),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Protected),
            "PRIVATE KEY" => Self::from_pkcs8(block),
            "EC PRIVATE KEY" => Self::from_sec1(block),
            "RSA PRIVATE KEY" => rsa::RsaPrivateKey::from_pkcs1_pem(block).ok().map(Self::rsa),
            _ => None,
        };
        let key = key.ok_or_else(|| KeyError::Unknown { label: label.into() })?;
        key.verifying_key().check_length()?;
        Ok(key)
    }

    fn from_pkcs8(block: &str) -> Option<Self> {
        let ed25519 = || ed25519_dalek::SigningKey::from_pkcs8_pem(block).ok();
        let p256 = || p256::ecdsa::SigningKey::from_pkcs8_pem(block).ok();
        let p384 = || p384::ecdsa::SigningKey::from_pkcs8_pem(block).ok();
        let rsa = || rsa::RsaPrivateKey::from_pkcs8_pem(block).ok();
        ed25519()
            .map(|key| Self::Ed25519(key.into()))
            .or_else(|| p256().map(|key| Self::P256(key.into())))
            .or_else(|| p384().map(|key| Self::P384(key.into())))
            .or_else(|| rsa().map(Self::rsa))
    }

    fn from_sec1(block: &str) -> Option<Self> {
        let p256 = || p256::SecretKey::from_sec1_pem(block).ok();
        let p384 = || p384::SecretKey::from_sec1_pem(block).ok();
        p256()
            .map(|key| Self::P256(Box::new(key.into())))
            .or_else(|| p384().map(|key| Self::P384(Box::new(key.into()))))
    }

    fn rsa(key: rsa::RsaPrivateKey) -> Self {
        Self::Rsa(key.into())
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::Ed25519(key) => VerifyingKey::Ed25519(Box::new(key.verifying_key())),
            Self::P256(key) => VerifyingKey::P256(Box::new(*key.verifying_key())),
            Self::P384(key) => VerifyingKey::P384(Box::new(*key.verifying_key())),
            Self::Rsa(key) => VerifyingKey::Rsa(Box::new(key.to_public_key())),
        }
    }

    /// Signs. ECDSA and RSA (PKCS#1 v1.5) sign the SHA-256 sum, whatever the curve; Ed25519 signs the message itself.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let sum = Sha256::digest(message);
        let computed = match self {
            Self::Ed25519(key) => {
                use ed25519_dalek::Signer as _;
                return Ok(key.sign(message).to_vec());
            }
            Self::P256(key) => key
                .sign_prehash(&sum)
                .map(|signature: p256::ecdsa::DerSignature| signature.as_bytes().to_vec())
                .map_err(|error| error.to_string()),
            Self::P384(key) => key
                .sign_prehash(&sum)
                .map(|signature: p384::ecdsa::DerSignature| signature.as_bytes().to_vec())
                .map_err(|error| error.to_string()),
            Self::Rsa(key) => key
                .sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<rsa::sha2::Sha256>(), &sum)
                .map_err(|error| error.to_string()),
        };
        computed.map_err(KeyError::Computation)
    }
}

impl VerifyingKey {
    /// The first key in a file, as [`Self::from_pem`] finds it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&text_of(path)?)
    }

    /// The first key in a PEM text: a public one, or the public half of a private one.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, block) = key_block(text, "public", |label| label.ends_with(" KEY"))?;
        if label.ends_with("PRIVATE KEY") {
            return Ok(SigningKey::from_pem(text)?.verifying_key());
        }
        let key = match label {
            "PUBLIC KEY" => Self::from_spki(block),
            "RSA PUBLIC KEY" => rsa::RsaPublicKey::from_pkcs1_pem(block)
                .ok()
                .map(|key| Self::Rsa(key.into())),
            _ => None,
        };
        let key = key.ok_or_else(|| KeyError::Unknown { label: label.into() })?;
        key.check_length()?;
        Ok(key)
    }

    fn from_spki(block: &str) -> Option<Self> {
        let ed25519 = || ed25519_dalek::VerifyingKey::from_public_key_pem(block).ok();
        let p256 = || p256::ecdsa::VerifyingKey::from_public_key_pem(block).ok();
        let p384 = || p384::ecdsa::VerifyingKey::from_public_key_pem(block).ok();
        let rsa = || rsa::RsaPublicKey::from_public_key_pem(block).ok();
        ed25519()
            .map(|key| Self::Ed25519(key.into()))
            .or_else(|| p256().map(|key| Self::P256(key.into())))
            .or_else(|| p384().map(|key| Self::P384(key.into())))
            .or_else(|| rsa().map(|key| Self::Rsa(key.into())))
    }

    fn check_length(&self) -> Result<(), KeyError> {
        match self {
            Self::Rsa(key) if !RSA_BITS.contains(&key.n().bits()) => Err(KeyError::Length { bits: key.n().bits() }),
            _ => Ok(()),
        }
    }

    /// How envelopes name it: the hexadecimal SHA-256 sum of its PEM text.
    pub fn id(&self) -> Result<String, KeyError> {
        let newline = LineEnding::LF;
        let text = match self {
            Self::Ed25519(key) => key.to_public_key_pem(newline).map_err(|error| error.to_string()),
            Self::P256(key) => key.to_public_key_pem(newline).map_err(|error| error.to_string()),
            Self::P384(key) => key.to_public_key_pem(newline).map_err(|error| error.to_string()),
            Self::Rsa(key) => key
                .to_public_key_pem(rsa::pkcs8::LineEnding::LF)
                .map_err(|error| error.to_string()),
        };
        let text = text.map_err(KeyError::Computation)?;
        Ok(hex::encode(Sha256::digest(text.as_bytes())))
    }

    /// Was this signature made by this key? On P-384 a signature of the SHA-384 sum, which other tools make, counts too.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let sum = Sha256::digest(message);
        match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::P256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify_prehash(&sum, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::DerSignature::from_bytes(signature).is_ok_and(|signature| {
                key.verify_prehash(&sum, &signature).is_ok()
                    || key.verify_prehash(&Sha384::digest(message), &signature).is_ok()
            }),
            Self::Rsa(key) => key
                .verify(Pkcs1v15Sign::new::<rsa::sha2::Sha256>(), &sum, signature)
                .is_ok(),
        }
    }
}

/// The first PEM block with a label that is wanted: files of EC keys often begin with the curve's parameters.
fn key_block<'a>(
    text: &'a str,
    wanted: &'static str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(&'a str, &'a str), KeyError> {
    let mut found = "no PEM at all".to_owned();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = from.split_once("-----") else {
            break;
        };
        let end = format!("-----END {label}-----");
        let Some(length) = body.find(&end) else {
            found = format!("a `{label}` without an end");
            break;
        };
        if is_wanted(label) {
            let start = text.len() - from.len() - "-----BEGIN ".len();
            let stop = text.len() - body.len() + length + end.len();
            return Ok((label, text.get(start..stop).unwrap_or_default()));
        }
        found = format!("a `{label}`");
        rest = body.get(length + end.len()..).unwrap_or_default();
    }
    Err(KeyError::NoKey { found, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_of_the_key_is_found_among_others() {
        let text = "notes\n-----BEGIN EC PARAMETERS-----\nAA==\n-----END EC PARAMETERS-----\n\
                    -----BEGIN EC PRIVATE KEY-----\nBB==\n-----END EC PRIVATE KEY-----\n";
        let (label, block) = key_block(text, "private", |label| label.ends_with("PRIVATE KEY")).unwrap();
        assert_eq!(label, "EC PRIVATE KEY");
        assert_eq!(
            block,
            "-----BEGIN EC PRIVATE KEY-----\nBB==\n-----END EC PRIVATE KEY-----"
        );
        let cut = key_block("-----BEGIN PRIVATE KEY-----\nAA", "private", |_| true).unwrap_err();
        assert_eq!(
            cut.to_string(),
            "it holds a `PRIVATE KEY` without an end, and no private key in PEM"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(-----(BEGIN|END) (PUBLIC KEY|EC PRIVATE KEY|PRIVATE KEY|RSA PRIVATE KEY)-----|[A-Za-z0-9+/=\n]{0,40}|-----|\\PC){0,8}") {
            let _ = (SigningKey::from_pem(&text).is_ok(), VerifyingKey::from_pem(&text).is_ok());
        }
    }
}
