//! Which algorithms are offered to the server, and in what order.

use std::borrow::Cow;

use russh::keys::{Algorithm, HashAlg};
use russh::{Preferred, cipher, kex};

/// AES first: every processor that instances run on has instructions for it.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

/// The library's safe list, and after it the curves and the old group that servers of old images may be limited to.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G14_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA1,
];

/// Announcements of extensions; not algorithms, so no option removes them.
const EXTENSIONS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Is this a cipher that can be offered?
pub(crate) fn is_cipher(name: &str) -> bool {
    !matches!(name, "none" | "clear") && cipher::Name::try_from(name).is_ok()
}

/// Is this a key exchange that can be offered?
pub(crate) fn is_key_exchange(name: &str) -> bool {
    name != "none" && kex::Name::try_from(name).is_ok()
}

/// What is offered. Once a host key is known only its kind is asked for, as another one would be a change.
pub(crate) fn preferred(ciphers: &[String], key_exchanges: &[String], known_host_key: Option<&Algorithm>) -> Preferred {
    let mut preferred = Preferred::DEFAULT;
    let ciphers = chosen(ciphers, |name| {
        cipher::Name::try_from(name).ok().filter(|_| is_cipher(name))
    });
    preferred.cipher = Cow::Owned(ciphers.unwrap_or_else(|| CIPHERS.to_vec()));
    let exchanges = chosen(key_exchanges, |name| {
        kex::Name::try_from(name).ok().filter(|_| is_key_exchange(name))
    });
    let exchanges = exchanges.unwrap_or_else(|| KEY_EXCHANGES.to_vec());
    preferred.kex = Cow::Owned([exchanges.as_slice(), EXTENSIONS].concat());
    if let Some(algorithm) = known_host_key {
        preferred.key = Cow::Owned(signatures_of(algorithm));
    }
    preferred
}

/// The listed names that are known; none of them: the default.
fn chosen<T>(names: &[String], find: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let chosen: Vec<T> = names.iter().filter_map(|name| find(name)).collect();
    (!chosen.is_empty()).then_some(chosen)
}

/// An RSA key signs with any of three hashes.
fn signatures_of(algorithm: &Algorithm) -> Vec<Algorithm> {
    match algorithm {
        Algorithm::Rsa { .. } => [Some(HashAlg::Sha512), Some(HashAlg::Sha256), None]
            .into_iter()
            .map(|hash| Algorithm::Rsa { hash })
            .collect(),
        other => vec![other.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_ciphers_replace_the_list_and_unknown_ones_are_left_out() {
        let listed = preferred(&["arcfour".into(), "aes256-ctr".into()], &[], None);
        assert_eq!(listed.cipher.as_ref(), [cipher::AES_256_CTR]);
        assert_eq!(preferred(&[], &[], None).cipher.first(), Some(&cipher::AES_128_GCM));
    }

    #[test]
    fn a_known_rsa_host_key_may_sign_with_any_hash() {
        let preferred = preferred(&[], &[], Some(&Algorithm::Rsa { hash: None }));
        assert_eq!(preferred.key.len(), 3);
    }

    #[test]
    fn nothing_unencrypted_can_be_chosen() {
        assert!(!is_cipher("none") && !is_cipher("clear") && !is_key_exchange("none"));
        assert!(is_cipher("aes128-gcm@openssh.com") && is_key_exchange("curve25519-sha256"));
    }
}
