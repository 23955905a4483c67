//! Private keys and certificates, from files and from texts.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::{Certificate, Error as ParseError, PrivateKey, decode_secret_key};

/// Why a key or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("read private key `{path}`")]
    Read {
        /// Where.
        path: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// It is protected by a passphrase.
    #[error("private key `{origin}` is protected by a passphrase")]
    Encrypted {
        /// File or what else it comes from.
        origin: String,
    },
    /// It is not a private key in a known format.
    #[error("private key `{origin}` cannot be parsed")]
    Parse {
        /// File or what else it comes from.
        origin: String,
        /// The cause.
        #[source]
        cause: ParseError,
    },
    /// The certificate is none.
    #[error("read certificate `{path}`: {cause}")]
    Certificate {
        /// Where.
        path: String,
        /// The cause.
        cause: String,
    },
    /// The certificate is not valid now.
    #[error("certificate `{path}` is not valid at this time")]
    Expired {
        /// Where.
        path: String,
    },
}

impl KeyError {
    /// What to do about it.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            KeyError::Encrypted { .. } => {
                Some("add the key to the SSH agent and set `ssh_agent_auth = true`, or give a key without a passphrase")
            }
            KeyError::Parse { .. } => Some("give a private key in PEM or OpenSSH format, not the public key beside it"),
            _ => None,
        }
    }
}

/// Reads a private key from a file.
pub(crate) fn read(path: &Path) -> Result<PrivateKey, KeyError> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|cause| KeyError::Read {
        path: origin.clone(),
        cause,
    })?;
    parse(&text, &origin)
}

/// Reads a private key from its PEM text.
pub(crate) fn parse(text: &str, origin: &str) -> Result<PrivateKey, KeyError> {
    let encrypted = || KeyError::Encrypted {
        origin: origin.to_owned(),
    };
    // The old PEM form says so in a header, which the parser takes for data.
    if text.contains("ENCRYPTED") {
        return Err(encrypted());
    }
    let key = decode_secret_key(text, None).map_err(|cause| match cause {
        ParseError::KeyIsEncrypted => encrypted(),
        cause => KeyError::Parse {
            origin: origin.to_owned(),
            cause,
        },
    })?;
    if key.is_encrypted() { Err(encrypted()) } else { Ok(key) }
}

/// Reads an OpenSSH certificate that is valid now.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, KeyError> {
    let shown = path.display().to_string();
    let unreadable = |cause: String| KeyError::Certificate {
        path: shown.clone(),
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let certificate = Certificate::from_openssh(text.trim()).map_err(|error| unreadable(error.to_string()))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if (certificate.valid_after()..certificate.valid_before()).contains(&now) {
        Ok(certificate)
    } else {
        Err(KeyError::Expired { path: shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_key_says_what_it_wants() {
        let error = parse("ssh-ed25519 AAAA me@here", "id.pub").unwrap_err();
        assert_eq!(error.to_string(), "private key `id.pub` cannot be parsed");
        assert!(error.help().is_some());
    }

    #[test]
    fn the_old_form_of_encrypted_keys_is_recognized() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(matches!(parse(text, "k"), Err(KeyError::Encrypted { .. })));
    }
}
