//! Key material for key pairs: RSA and Ed25519 keys as EC2 makes them, and the public keys that users import.

use std::sync::mpsc;
use std::thread;

use md5::Md5;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, RsaPublicKey};
use russh::keys::ssh_key;
use sha1::{Digest as _, Sha1};
use tokio::sync::{Mutex, mpsc as async_mpsc};

use crate::api_error::ApiError;

/// The size of the RSA keys that EC2 makes.
const RSA_BITS: usize = 2048;

/// A fresh key pair: what the client gets once, and what is kept.
pub(crate) struct NewKey {
    pub(crate) private_pem: String,
    /// An OpenSSH line without comment.
    pub(crate) public_line: String,
    pub(crate) fingerprint: String,
}

/// A public key that a user brought.
pub(crate) struct ImportedKey {
    pub(crate) key_type: &'static str,
    pub(crate) public_line: String,
    pub(crate) fingerprint: String,
}

/// RSA keys made ahead of need: one is always ready or on its way, since making one takes 0.1 to 0.3 s.
#[derive(Debug)]
pub(crate) struct RsaKeys {
    orders: mpsc::Sender<()>,
    /// `None` stands for a key that could not be made.
    made: Mutex<async_mpsc::UnboundedReceiver<Option<RsaPrivateKey>>>,
}

impl RsaKeys {
    /// Starts making the first key, on a thread of its own that ends with this value.
    ///
    /// It is a bare thread and no task, since nothing need wait for it: an unused key is no loss.
    pub(crate) fn start() -> RsaKeys {
        let (orders, ordered) = mpsc::channel::<()>();
        let (give, made) = async_mpsc::unbounded_channel();
        let _ = orders.send(());
        thread::spawn(move || {
            while ordered.recv().is_ok() {
                if give.send(RsaPrivateKey::new(&mut OsRng, RSA_BITS).ok()).is_err() {
                    break;
                }
            }
        });
        RsaKeys {
            orders,
            made: Mutex::new(made),
        }
    }

    /// Takes the key that is ready, or waits for it, and orders the next.
    pub(crate) async fn take(&self) -> Result<NewKey, ApiError> {
        let _ = self.orders.send(());
        let key = self.made.lock().await.recv().await.flatten();
        let key = key.ok_or_else(|| ApiError::internal("no RSA key could be made"))?;
        encode_rsa(&key).map_err(ApiError::internal)
    }
}

fn encode_rsa(key: &RsaPrivateKey) -> Result<NewKey, rsa::pkcs8::Error> {
    let der = key.to_pkcs8_der()?;
    Ok(NewKey {
        private_pem: key.to_pkcs1_pem(LineEnding::LF)?.trim_end().to_owned(),
        public_line: rsa_line(&key.to_public_key()),
        // EC2 user guide, "fingerprint of your key pair": SHA-1 of the private key for RSA keys that EC2 made.
        fingerprint: colons(&Sha1::digest(der.as_bytes())),
    })
}

/// Returns an RSA public key in the wire form of RFC 4253, as an OpenSSH line.
fn rsa_line(key: &RsaPublicKey) -> String {
    use base64::Engine as _;
    let mut wire = Vec::new();
    wire_bytes(&mut wire, b"ssh-rsa");
    wire_integer(&mut wire, &key.e().to_bytes_be());
    wire_integer(&mut wire, &key.n().to_bytes_be());
    format!("ssh-rsa {}", base64::prelude::BASE64_STANDARD.encode(wire))
}

fn wire_bytes(wire: &mut Vec<u8>, bytes: &[u8]) {
    wire.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    wire.extend(bytes);
}

/// Appends an unsigned integer; a zero byte keeps a set top bit from meaning a negative number.
fn wire_integer(wire: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.first() {
        Some(first) if *first >= 0x80 => wire_bytes(wire, &[&[0], bytes].concat()),
        _ => wire_bytes(wire, bytes),
    }
}

/// Returns a fresh Ed25519 key; its private part is an OpenSSH key file, as EC2 gives it.
pub(crate) fn new_ed25519() -> Result<NewKey, ApiError> {
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
    let key = ssh_key::PrivateKey::from(pair);
    let private = key.to_openssh(ssh_key::LineEnding::LF).map_err(ApiError::internal)?;
    Ok(NewKey {
        // OpenSSH reads its own format only with the last line ended.
        private_pem: private.to_string(),
        public_line: key.public_key().to_openssh().map_err(ApiError::internal)?,
        fingerprint: sha256_fingerprint(key.public_key()),
    })
}

/// Reads a public key in OpenSSH form.
pub(crate) fn import(material: &[u8]) -> Result<ImportedKey, ApiError> {
    let format = |message: &str| ApiError::new("InvalidKey.Format", message);
    let text = std::str::from_utf8(material).map_err(|_| format("Key is not in valid OpenSSH public key format"))?;
    let key = ssh_key::PublicKey::from_openssh(text.trim())
        .map_err(|_| format("Key is not in valid OpenSSH public key format"))?;
    let line = ssh_key::PublicKey::from(key.key_data().clone())
        .to_openssh()
        .map_err(ApiError::internal)?;
    match key.key_data() {
        ssh_key::public::KeyData::Ed25519(_) => Ok(ImportedKey {
            key_type: "ed25519",
            public_line: line,
            fingerprint: sha256_fingerprint(&key),
        }),
        ssh_key::public::KeyData::Rsa(_) => {
            // MD5 of the public key: EC2 takes it over the DER form; the OpenSSH wire form is as telling and at hand.
            let wire = key.to_bytes().map_err(ApiError::internal)?;
            Ok(ImportedKey {
                key_type: "rsa",
                public_line: line,
                fingerprint: colons(&Md5::digest(wire)),
            })
        }
        _ => Err(format("Only RSA and ED25519 keys can be imported")),
    }
}

fn sha256_fingerprint(key: &ssh_key::PublicKey) -> String {
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let bare = fingerprint.strip_prefix("SHA256:").unwrap_or(&fingerprint);
    format!("{bare}=")
}

fn colons(digest: &[u8]) -> String {
    digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rsa_keys_are_pkcs1_and_fit_their_public_line() {
        let keys = RsaKeys::start();
        let (one, other) = (keys.take().await.unwrap(), keys.take().await.unwrap());
        assert_ne!(one.public_line, other.public_line);
        assert!(one.private_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(one.private_pem.ends_with("\n-----END RSA PRIVATE KEY-----"));
        assert_eq!(one.fingerprint.len(), 59);
        let private = russh::keys::decode_secret_key(&one.private_pem, None).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), one.public_line);
        let imported = import(format!("{} a comment\n", one.public_line).as_bytes()).unwrap();
        assert_eq!((imported.key_type, imported.public_line), ("rsa", one.public_line));
    }

    #[test]
    fn ed25519_keys_are_openssh_files() {
        let key = new_ed25519().unwrap();
        assert!(key.private_pem.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        let private = russh::keys::decode_secret_key(&key.private_pem, None).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), key.public_line);
        assert_eq!(import(key.public_line.as_bytes()).unwrap().fingerprint, key.fingerprint);
    }

    #[test]
    fn other_material_is_no_key() {
        for material in [
            &b""[..],
            b"ssh-rsa",
            b"ssh-rsa AAAA",
            b"\xff\xfe",
            b"-----BEGIN PUBLIC KEY-----",
        ] {
            assert_eq!(
                import(material).err().map(|error| error.code),
                Some("InvalidKey.Format".to_owned())
            );
        }
    }
}
