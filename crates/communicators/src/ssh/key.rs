//! Private keys and certificates, from files and from strings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bakelite_engine::error::Explain;
use bakelite_engine::terminal::ask;
use russh::keys::{Certificate, Error as ParseError, PrivateKey, decode_secret_key};
use tokio::sync::Mutex;

/// Why a key or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("failed to read private key `{path}`")]
    Read {
        /// The file.
        path: String,
        /// What the system failed with.
        #[source]
        cause: std::io::Error,
    },
    /// It is protected by a passphrase.
    #[error("private key `{origin}` is protected by a passphrase")]
    Encrypted {
        /// File or what else it comes from.
        origin: String,
    },
    /// The passphrase is wrong.
    #[error("the passphrase does not open private key `{origin}`")]
    Passphrase {
        /// File or what else it comes from.
        origin: String,
        /// What decoding it failed with.
        #[source]
        cause: ParseError,
    },
    /// It is not a private key in a known format.
    #[error("failed to parse private key `{origin}`")]
    Parse {
        /// File or what else it comes from.
        origin: String,
        /// What decoding it failed with.
        #[source]
        cause: ParseError,
    },
    /// The file cannot be read or holds no certificate.
    #[error("failed to read certificate `{path}`")]
    Certificate {
        /// The file.
        path: String,
        /// What reading or decoding it failed with.
        #[source]
        cause: CertificateError,
    },
    /// The certificate is not valid now.
    #[error("certificate `{path}` is not valid at this time")]
    Expired {
        /// The file.
        path: String,
    },
}

/// Why a file is not a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It is not in OpenSSH's format.
    #[error(transparent)]
    Format(#[from] russh::keys::ssh_key::Error),
}

impl Explain for KeyError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            KeyError::Encrypted { .. } => Some(
                "give its passphrase in the environment variable `BAKELITE_SSH_PASSPHRASE`, or run at a terminal to be asked for it, or \
                 add the key to the SSH agent and set `ssh_agent_auth = true`"
                    .into(),
            ),
            KeyError::Parse { .. } => {
                Some("give a private key in PEM or OpenSSH format, not the public key beside it".into())
            }
            _ => None,
        }
    }
}

/// Reads a private key from a file, which may be protected.
pub(crate) fn read(path: &Path, passphrase: Option<&str>) -> Result<PrivateKey, KeyError> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|cause| KeyError::Read {
        path: origin.clone(),
        cause,
    })?;
    parse(&text, &origin, passphrase)
}

/// Reads a private key from its PEM text.
pub(crate) fn parse(text: &str, origin: &str, passphrase: Option<&str>) -> Result<PrivateKey, KeyError> {
    let encrypted = || KeyError::Encrypted {
        origin: origin.to_owned(),
    };
    // The old PEM form has that in a header, which the parser takes for data.
    if text.contains("ENCRYPTED") && passphrase.is_none() {
        return Err(encrypted());
    }
    let key = decode_secret_key(text, passphrase).map_err(|cause| match (cause, passphrase) {
        (ParseError::KeyIsEncrypted, None) => encrypted(),
        (cause, Some(_)) => KeyError::Passphrase {
            origin: origin.to_owned(),
            cause,
        },
        (cause, None) => KeyError::Parse {
            origin: origin.to_owned(),
            cause,
        },
    })?;
    if key.is_encrypted() { Err(encrypted()) } else { Ok(key) }
}

/// How often a person may mistype a passphrase.
const TRIES: usize = 3;

/// What was answered so far: all builds of a run ask for one key once.
static ANSWERED: Mutex<BTreeMap<PathBuf, String>> = Mutex::const_new(BTreeMap::new());

/// Opens a protected key: with the passphrase of the environment, else with what the person at the terminal answers.
pub(crate) async fn open(path: &Path, passphrase: Option<&str>) -> Result<PrivateKey, KeyError> {
    let opened = read(path, None);
    let Err(KeyError::Encrypted { .. }) = &opened else {
        return opened;
    };
    if let Some(passphrase) = passphrase {
        return read(path, Some(passphrase));
    }
    let mut answered = ANSWERED.lock().await;
    if let Some(passphrase) = answered.get(path) {
        return read(path, Some(passphrase));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let question = format!("Passphrase for private key {}: ", path.display());
        // Without a terminal there is no prompt, and the error's help names the alternatives.
        let Ok(passphrase) = ask(&question, false).await else {
            return opened;
        };
        match read(path, Some(&passphrase)) {
            Err(KeyError::Passphrase { .. }) if tries < TRIES => {}
            Ok(key) => {
                answered.insert(path.to_owned(), passphrase);
                return Ok(key);
            }
            failed => return failed,
        }
    }
}

/// Reads an OpenSSH certificate that is valid now.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, KeyError> {
    let shown = path.display().to_string();
    let unreadable = |cause: CertificateError| KeyError::Certificate {
        path: shown.clone(),
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.into()))?;
    let certificate = Certificate::from_openssh(text.trim()).map_err(|error| unreadable(error.into()))?;
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
        let error = parse("ssh-ed25519 AAAA me@here", "id.pub", None).unwrap_err();
        assert_eq!(error.to_string(), "failed to parse private key `id.pub`");
        assert!(error.help().is_some());
    }

    #[test]
    fn the_old_form_of_encrypted_keys_is_recognized() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(matches!(parse(text, "k", None), Err(KeyError::Encrypted { .. })));
    }
}
