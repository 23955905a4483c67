//! The keys of the adapter: its own, and the only one that it lets in.

use std::borrow::Cow;
use std::path::Path;

use bakelite_engine::error::Explain;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, PublicKey, load_public_key, load_secret_key};

use super::super::options::KeyType;

const RSA_BITS: usize = 2048;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("failed to make a key for the proxy adapter")]
    Make(#[source] Box<russh::keys::ssh_key::Error>),
    #[error("failed to read the key `{path}` of `{option}`")]
    Read {
        option: &'static str,
        path: String,
        source: Box<russh::keys::Error>,
    },
}

impl Explain for KeyError {
    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            KeyError::Make(_) => None,
            KeyError::Read { option, .. } => Some((*option).into()),
        }
    }
}

impl From<russh::keys::ssh_key::Error> for KeyError {
    fn from(error: russh::keys::ssh_key::Error) -> Self {
        Self::Make(Box::new(error))
    }
}

/// The keys of an adapter.
pub(crate) struct Keys {
    /// Its own.
    pub(super) host: PrivateKey,
    /// The one that it lets in.
    pub(super) authorized: PublicKey,
    /// The private half of that, in OpenSSH's format, unless the template brought the public one.
    pub(crate) private: Option<String>,
}

impl Keys {
    /// Reads the keys that are given and makes the others.
    pub(crate) fn new(kind: KeyType, host: Option<&Path>, authorized: Option<&Path>) -> Result<Self, KeyError> {
        let host = match host {
            Some(path) => {
                load_secret_key(path, None).map_err(|source| unreadable("ssh_host_key_file", path, source))?
            }
            None => make(kind)?,
        };
        let (authorized, private) = if let Some(path) = authorized {
            let key = load_public_key(path).map_err(|source| unreadable("ssh_authorized_key_file", path, source));
            (key?, None)
        } else {
            let key = make(kind)?;
            (
                key.public_key().clone(),
                Some(key.to_openssh(LineEnding::LF)?.to_string()),
            )
        };
        Ok(Self {
            host,
            authorized,
            private,
        })
    }
}

fn unreadable(option: &'static str, path: &Path, source: russh::keys::Error) -> KeyError {
    KeyError::Read {
        option,
        path: path.display().to_string(),
        source: Box::new(source),
    }
}

fn make(kind: KeyType) -> Result<PrivateKey, KeyError> {
    let mut random = safe_rng();
    Ok(match kind {
        KeyType::Ecdsa => PrivateKey::random(
            &mut random,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP384,
            },
        )?,
        KeyType::Rsa => PrivateKey::from(RsaKeypair::random(&mut random, RSA_BITS)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_type_that_was_asked_for() {
        let keys = Keys::new(KeyType::Ecdsa, None, None).unwrap();
        assert_eq!(keys.host.algorithm().as_str(), "ecdsa-sha2-nistp384");
        let private = PrivateKey::from_openssh(keys.private.unwrap()).unwrap();
        assert_eq!(private.public_key().key_data(), keys.authorized.key_data());
        let keys = Keys::new(KeyType::Rsa, None, None).unwrap();
        assert_eq!(keys.authorized.algorithm().as_str(), "ssh-rsa");
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let error = Keys::new(KeyType::Ecdsa, Some(Path::new("Cargo.toml")), None)
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "failed to read the key `Cargo.toml` of `ssh_host_key_file`"
        );
    }
}
