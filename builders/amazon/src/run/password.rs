//! The password that a Windows instance gives its administrator at the first start: EC2 has it after some minutes, encrypted with the
//! key pair that the instance was launched with.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use aws_sdk_ec2::Client;
use bakelite_aws::call::{self, call};
use bakelite_aws::error::AwsError;
use bakelite_communicators::options::{CommunicatorOptions, KeyType};
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::error::Explain;
use bakelite_template::component::Complaint;
use bakelite_template::duration::GoDuration;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use tokio::time::Instant;

use super::key_pair::{KeyPair, password_is_needed};
use crate::cloud::Cloud;

/// How long EC2 may take when the template does not say. Usually it is 4 to 15 minutes.
const LIMIT: Duration = Duration::from_mins(20);

/// The pause between two requests.
const PAUSE: Duration = Duration::from_secs(5);

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
enum PasswordError {
    /// EC2 does not have it.
    #[error("EC2 had no password of instance `{instance}` within {limit}")]
    TooLong { instance: String, limit: GoDuration },
    /// It cannot be decrypted.
    #[error("failed to decrypt the password of instance `{instance}` with {key}: {reason}")]
    Decrypt {
        instance: String,
        key: String,
        reason: String,
    },
    /// Nothing to decrypt it with.
    #[error("the password of instance `{instance}` cannot be decrypted without the private key of its key pair")]
    NoKey { instance: String },
    /// The call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Explain for PasswordError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::TooLong { .. } => Some(
                "EC2 has a password only where the AMI's first start sets one (EC2Launch); `windows_password_timeout` sets how long it \
                 is waited for"
                    .into(),
            ),
            Self::NoKey { .. } => Some("give `ssh_private_key_file`, or `winrm_password`".into()),
            Self::Decrypt { .. } => None,
            Self::Aws(error) => error.help(),
        }
    }
}

/// Complains about what keeps the password from being read: EC2 encrypts it for the key pair of the instance.
pub(crate) fn check(options: &CommunicatorOptions, home: Option<&Path>, timeout: Option<GoDuration>) -> Vec<Complaint> {
    if !password_is_needed(options) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    if options.ssh_keypair_name.is_some() && options.ssh_private_key_file.is_none() {
        let message = "`ssh_keypair_name` needs its private key to decrypt the password: `ssh_private_key_file`, or `winrm_password`";
        complaints.push(Complaint::error("ssh_keypair_name", message));
    }
    let file = options.private_key_path(home, Path::new(""));
    if let Some(file) = file
        && let Ok(pem) = std::fs::read_to_string(&file)
        && let Err(reason) = rsa_key(&pem)
    {
        let file = file.display();
        let message = format!("private key `{file}` cannot decrypt the password of the instance: {reason}");
        complaints.push(Complaint::error("ssh_private_key_file", message));
    }
    if options.temporary_key_pair_type == KeyType::Ed25519 {
        let message = "`temporary_key_pair_type` has no effect: EC2 encrypts passwords for RSA keys only";
        complaints.push(Complaint::warning("temporary_key_pair_type", message));
    }
    if timeout.is_some_and(|timeout| timeout.nanoseconds() < 0) {
        let message = "`windows_password_timeout` must not be negative";
        complaints.push(Complaint::error("windows_password_timeout", message));
    }
    complaints
}

/// Waits for the password, where it is needed, and decrypts it.
pub(crate) async fn fetch(
    cloud: &Cloud<'_>,
    instance: &str,
    options: &CommunicatorOptions,
    key_pair: &KeyPair,
    timeout: Option<GoDuration>,
) -> Result<Option<String>, BakeError> {
    if !password_is_needed(options) {
        return Ok(None);
    }
    let bake = cloud.bake;
    let key = Key::of(bake, options, key_pair, instance)?;
    let limit = timeout.map(GoDuration::to_std).filter(|limit| !limit.is_zero());
    bake.ui.say("Waiting for the password of the instance...");
    let encrypted = encrypted(cloud.ec2(), instance, limit.unwrap_or(LIMIT)).await?;
    let password = key.decrypt(&encrypted).map_err(|reason| PasswordError::Decrypt {
        instance: instance.to_owned(),
        key: key.name,
        reason,
    })?;
    if bake.run.debug {
        bake.ui.say(format!("Password (since debug is enabled): {password}"));
    }
    Ok(Some(password))
}

async fn encrypted(ec2: &Client, instance: &str, limit: Duration) -> Result<String, PasswordError> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = call("GetPasswordData", || {
            ec2.get_password_data().instance_id(instance).send()
        })
        .await?;
        let data = answer.password_data().unwrap_or_default().trim();
        if !data.is_empty() {
            return Ok(data.to_owned());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PasswordError::TooLong {
                instance: instance.to_owned(),
                limit: limit.into(),
            });
        }
        call::pause(PAUSE.min(left)).await;
    }
}

/// The key in a PEM of either form.
fn rsa_key(pem: &str) -> Result<RsaPrivateKey, String> {
    let pem = pem.trim();
    let key = RsaPrivateKey::from_pkcs1_pem(pem).or_else(|_| RsaPrivateKey::from_pkcs8_pem(pem));
    key.map_err(|_| "it is not an RSA key in PEM form".to_owned())
}

/// The private key of the instance's key pair.
struct Key {
    pem: String,
    /// For people.
    name: String,
}

impl Key {
    /// The temporary key, or the one that the template names.
    fn of(
        bake: &Bake,
        options: &CommunicatorOptions,
        key_pair: &KeyPair,
        instance: &str,
    ) -> Result<Key, PasswordError> {
        if let Some(pem) = &key_pair.private_key {
            let name = "the temporary key".to_owned();
            return Ok(Key { pem: pem.clone(), name });
        }
        let file = options.private_key_path(bake.run.home_directory.as_deref(), &bake.run.working_directory);
        match file {
            Some(file) => Key::read(&file, instance),
            None => Err(PasswordError::NoKey {
                instance: instance.to_owned(),
            }),
        }
    }

    fn read(file: &Path, instance: &str) -> Result<Key, PasswordError> {
        let name = format!("key `{}`", file.display());
        match std::fs::read_to_string(file) {
            Ok(pem) => Ok(Key { pem, name }),
            Err(cause) => Err(PasswordError::Decrypt {
                instance: instance.to_owned(),
                key: name,
                reason: cause.to_string(),
            }),
        }
    }

    fn decrypt(&self, encrypted: &str) -> Result<String, String> {
        let key = rsa_key(&self.pem)?;
        let bytes = STANDARD
            .decode(encrypted)
            .map_err(|_| "the answer of EC2 is not base64".to_owned())?;
        let plain = key
            .decrypt(Pkcs1v15Encrypt, &bytes)
            .map_err(|_| "it was encrypted for another key".to_owned())?;
        String::from_utf8(plain).map_err(|_| "it is not UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs1::EncodeRsaPrivateKey as _;
    use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
    use rsa::rand_core::OsRng;

    #[test]
    fn what_was_encrypted_for_the_key_pair_is_decrypted_with_its_private_key() {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let public = private.to_public_key();
        let encrypted = public.encrypt(&mut OsRng, Pkcs1v15Encrypt, b"p4ss;word").unwrap();
        let encrypted = STANDARD.encode(encrypted);
        let key = |pem: &str| Key {
            pem: pem.to_owned(),
            name: String::new(),
        };
        let pems = [
            private.to_pkcs1_pem(LineEnding::LF).unwrap(),
            private.to_pkcs8_pem(LineEnding::LF).unwrap(),
        ];
        for pem in &pems {
            assert_eq!(key(pem).decrypt(&encrypted).as_deref(), Ok("p4ss;word"));
        }
        let other = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let other = other.to_pkcs1_pem(LineEnding::LF).unwrap();
        assert_eq!(
            key(&other).decrypt(&encrypted).unwrap_err(),
            "it was encrypted for another key"
        );
        assert_eq!(
            key("no key").decrypt(&encrypted).unwrap_err(),
            "it is not an RSA key in PEM form"
        );
        assert_eq!(
            key(&pems[0]).decrypt("?").unwrap_err(),
            "the answer of EC2 is not base64"
        );
    }

    #[test]
    fn the_password_is_asked_for_only_where_winrm_has_none() {
        let options = |json: &str| serde_json::from_str::<CommunicatorOptions>(json).unwrap();
        assert!(password_is_needed(&options(r#"{"communicator": "winrm"}"#)));
        assert!(!password_is_needed(&options(
            r#"{"communicator": "winrm", "winrm_password": "x"}"#
        )));
        assert!(!password_is_needed(&options("{}")));
    }
}
