//! Host keys as an instance prints them on its console, where cloud-init puts them (`ssh_host_key = "console"`).

use async_trait::async_trait;
use russh::keys::PublicKey;

/// A fingerprint has 50 characters, and an instance a key of each kind.
const LONGEST_FINGERPRINT: usize = 64;
const MOST_FINGERPRINTS: usize = 32;

/// What an instance has printed so far; only the builder can ask for it.
#[async_trait]
pub trait Console: Send + Sync {
    /// All of it, or nothing while there is none.
    async fn output(&self) -> Result<String, ConsoleError>;
}

/// Why a console could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Asking again may help.
    #[error(transparent)]
    Later(Box<dyn std::error::Error + Send + Sync>),
    /// Asking again does not help.
    #[error(transparent)]
    Never(Box<dyn std::error::Error + Send + Sync>),
}

/// The host keys of a console's output: whole keys, or fingerprints `SHA256:…`. Empty while they are not all printed.
pub(crate) fn fingerprints(output: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (begin, end) in [
        ("-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"),
        (
            "-----BEGIN SSH HOST KEY FINGERPRINTS-----",
            "-----END SSH HOST KEY FINGERPRINTS-----",
        ),
    ] {
        // An instance that restarted has printed them more than once: the last ones count.
        let Some((_, after)) = output.rsplit_once(begin) else {
            continue;
        };
        let Some((block, _)) = after.split_once(end) else {
            continue;
        };
        found.extend(block.lines().filter_map(fingerprint).take(MOST_FINGERPRINTS));
    }
    found
}

fn fingerprint(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_fingerprint = |word: &&&str| {
        word.starts_with("SHA256:")
            && word.len() <= LONGEST_FINGERPRINT
            && word.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if let Some(fingerprint) = words.iter().find(is_fingerprint) {
        return Some((*fingerprint).to_owned());
    }
    // A prefix of the console's own, as `ec2:`, may precede the key.
    let start = words
        .iter()
        .position(|word| word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-"))?;
    let key = PublicKey::from_openssh(&words.get(start..)?.join(" ")).ok()?;
    Some(super::host_key::fingerprint(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILagOJFgwaMNhBWQINinKOXmqS4Gh5NgxgriXwdOoINJ root@ip-10-0-0-1";

    #[test]
    fn keys_and_fingerprints_are_found_in_what_cloud_init_prints() {
        let expected = super::super::host_key::fingerprint(&PublicKey::from_openssh(KEY).unwrap());
        let keys = format!(
            "[ 12.3] boot\r\n-----BEGIN SSH HOST KEY KEYS-----\r\n{KEY}\r\n-----END SSH HOST KEY KEYS-----\r\n"
        );
        assert_eq!(fingerprints(&keys), [expected.as_str()]);
        let prints = format!(
            "ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\nec2: 256 {expected} root@ip (ED25519)\nec2: 3072 SHA256:abc root@ip (RSA)\n\
             ec2: -----END SSH HOST KEY FINGERPRINTS-----\n"
        );
        assert_eq!(fingerprints(&prints), [expected.as_str(), "SHA256:abc"]);
    }

    #[test]
    fn a_block_without_an_end_is_not_yet_one() {
        assert!(fingerprints(&format!("-----BEGIN SSH HOST KEY KEYS-----\n{KEY}\n")).is_empty());
        assert!(fingerprints("login:").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_output_makes_it_panic(output in "(\\PC|\n|-----(BEGIN|END) SSH HOST KEY KEYS-----)*") {
            fingerprints(&output);
        }
    }
}
