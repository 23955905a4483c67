//! Host keys: the first one that logs us in is remembered and must not change for as long as the bake lasts.

use std::sync::{Mutex, PoisonError};

use russh::keys::{Algorithm, HashAlg, PublicKey};

/// Which host key is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Any key at first, and only that one from then on.
    AcceptNew,
    /// A key that the instance prints on its console, and only that one from then on.
    Console,
    /// The key with this fingerprint: `SHA256:…`.
    Pinned(String),
}

impl HostKeyPolicy {
    /// The policy that `ssh_host_key` names: `accept-new`, `console` or `pin:SHA256:…`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "accept-new" => Some(Self::AcceptNew),
            "console" => Some(Self::Console),
            text => {
                let fingerprint = text.strip_prefix("pin:").filter(|pin| pin.starts_with("SHA256:"))?;
                Some(Self::Pinned(fingerprint.trim_end_matches('=').to_owned()))
            }
        }
    }
}

/// The server's key is not the one that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("host key of the server is {offered}, but {expected} was expected")]
pub struct WrongHostKey {
    /// Fingerprint of the key that the server has.
    pub offered: String,
    /// Fingerprint of the key that is accepted.
    pub expected: String,
}

/// The host key of one instance.
#[derive(Debug)]
pub(crate) struct HostKey {
    policy: HostKeyPolicy,
    known: Mutex<Option<PublicKey>>,
    /// Fingerprints that the instance has printed on its console.
    printed: Mutex<Vec<String>>,
}

impl HostKey {
    pub(crate) fn new(policy: HostKeyPolicy) -> Self {
        Self {
            policy,
            known: Mutex::new(None),
            printed: Mutex::default(),
        }
    }

    /// Is this the key that is accepted?
    pub(crate) fn check(&self, offered: &PublicKey) -> Result<(), WrongHostKey> {
        let fingerprint = fingerprint(offered);
        if self.policy == HostKeyPolicy::Console {
            let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
            if !printed.contains(&fingerprint) {
                let expected = if printed.is_empty() {
                    "none".into()
                } else {
                    printed.join(" or ")
                };
                return Err(WrongHostKey {
                    offered: fingerprint,
                    expected,
                });
            }
        }
        let expected = match (&self.policy, self.known()) {
            (HostKeyPolicy::Pinned(pinned), _) => pinned.clone(),
            (HostKeyPolicy::AcceptNew | HostKeyPolicy::Console, Some(known)) => self::fingerprint(&known),
            (HostKeyPolicy::AcceptNew | HostKeyPolicy::Console, None) => return Ok(()),
        };
        if expected == fingerprint {
            Ok(())
        } else {
            Err(WrongHostKey {
                offered: fingerprint,
                expected,
            })
        }
    }

    /// Does a server that has only keys of these kinds have another one than the one that is known?
    pub(crate) fn check_kind(&self, offered: &[String]) -> Result<(), WrongHostKey> {
        match self.known() {
            Some(known) => Err(WrongHostKey {
                offered: format!("of another kind ({})", offered.join(", ")),
                expected: self::fingerprint(&known),
            }),
            None => Ok(()),
        }
    }

    /// Is the instance's console to be asked before the first login?
    pub(crate) fn needs_console(&self) -> bool {
        self.policy == HostKeyPolicy::Console
    }

    /// Takes what the instance has printed.
    pub(crate) fn printed(&self, fingerprints: Vec<String>) {
        *self.printed.lock().unwrap_or_else(PoisonError::into_inner) = fingerprints;
    }

    /// Remembers the key of a server that has let us in. A key of a server that is still starting may yet be replaced.
    pub(crate) fn remember(&self, key: PublicKey) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(key);
    }

    /// The kind of the key that is remembered.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.known().map(|key| key.algorithm())
    }

    fn known(&self) -> Option<PublicKey> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILagOJFgwaMNhBWQINinKOXmqS4Gh5NgxgriXwdOoINJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    #[test]
    fn the_first_key_that_lets_us_in_stays_the_only_one() {
        let host_key = HostKey::new(HostKeyPolicy::AcceptNew);
        assert_eq!(host_key.check(&key(ONE)), Ok(()));
        assert_eq!(host_key.check(&key(OTHER)), Ok(()), "nobody has let us in yet");
        host_key.remember(key(ONE));
        assert_eq!(host_key.check(&key(ONE)), Ok(()));
        let error = host_key.check(&key(OTHER)).unwrap_err();
        assert_eq!(error.expected, fingerprint(&key(ONE)));
    }

    #[test]
    fn a_pinned_key_is_the_only_one_from_the_start() {
        let host_key = HostKey::new(HostKeyPolicy::Pinned(fingerprint(&key(ONE))));
        assert_eq!(host_key.check(&key(ONE)), Ok(()));
        assert!(host_key.check(&key(OTHER)).is_err());
    }

    #[test]
    fn only_a_key_that_the_console_shows_is_accepted() {
        let host_key = HostKey::new(HostKeyPolicy::Console);
        assert_eq!(host_key.check(&key(ONE)).unwrap_err().expected, "none");
        host_key.printed(vec![fingerprint(&key(ONE))]);
        assert_eq!(host_key.check(&key(ONE)), Ok(()));
        assert_eq!(
            host_key.check(&key(OTHER)).unwrap_err().expected,
            fingerprint(&key(ONE))
        );
    }
}
