//! Host keys: the first one that logs us in is remembered and must not change for as long as the bake lasts.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use russh::keys::{Algorithm, HashAlg, PublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which host key is accepted: `accept-new`, `console` or `pin:SHA256:…`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Cow<str>", into = "String")]
#[schemars(
    inline,
    extend(
        "pattern" = r"^(accept-new|console|pin:SHA256:[A-Za-z0-9+/]+=*)$",
        "x-must-be" = "`accept-new`, `console` or `pin:SHA256:…`"
    )
)]
pub enum HostKeyPolicy {
    /// Any key at first, and only that one from then on.
    #[default]
    AcceptNew,
    /// A key that the instance prints on its console, and only that one from then on.
    Console,
    /// The key with this fingerprint: `SHA256:…`.
    Pinned(String),
}

impl HostKeyPolicy {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "accept-new" => Some(Self::AcceptNew),
            "console" => Some(Self::Console),
            text => {
                let fingerprint = text.strip_prefix("pin:")?.trim_end_matches('=');
                let digest = fingerprint.strip_prefix("SHA256:")?;
                let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
                let is_digest = !digest.is_empty() && digest.chars().all(is_base64);
                is_digest.then(|| Self::Pinned(fingerprint.to_owned()))
            }
        }
    }
}

impl TryFrom<Cow<'_, str>> for HostKeyPolicy {
    type Error = &'static str;

    fn try_from(text: Cow<'_, str>) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be `accept-new`, `console` or `pin:SHA256:…`")
    }
}

impl From<HostKeyPolicy> for String {
    fn from(policy: HostKeyPolicy) -> Self {
        policy.to_string()
    }
}

impl fmt::Display for HostKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptNew => f.write_str("accept-new"),
            Self::Console => f.write_str("console"),
            Self::Pinned(fingerprint) => write!(f, "pin:{fingerprint}"),
        }
    }
}

/// Which host keys of the bastions are accepted, in their order: `accept-new` or `pin:SHA256:…` for each, separated by commas. One that is
/// left out is `accept-new`. A bastion has no console that a builder could read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Cow<str>", into = "String")]
#[schemars(
    inline,
    extend(
        "pattern" = r"^\s*((accept-new|pin:SHA256:[A-Za-z0-9+/]+=*)\s*)?(,\s*((accept-new|pin:SHA256:[A-Za-z0-9+/]+=*)\s*)?)*$",
        "x-must-be" = "`accept-new` or `pin:SHA256:…`, one for each bastion, separated by commas"
    )
)]
pub struct BastionHostKeys(pub Vec<HostKeyPolicy>);

impl TryFrom<Cow<'_, str>> for BastionHostKeys {
    type Error = &'static str;

    fn try_from(text: Cow<'_, str>) -> Result<Self, Self::Error> {
        let policies = text.split(',').map(|text| match text.trim() {
            "" => Some(HostKeyPolicy::AcceptNew),
            text => HostKeyPolicy::parse(text).filter(|policy| *policy != HostKeyPolicy::Console),
        });
        let policies = policies.collect::<Option<_>>().map(Self);
        policies.ok_or("must be `accept-new` or `pin:SHA256:…`, one for each bastion, separated by commas")
    }
}

impl From<BastionHostKeys> for String {
    fn from(BastionHostKeys(policies): BastionHostKeys) -> Self {
        let policies: Vec<String> = policies.iter().map(HostKeyPolicy::to_string).collect();
        policies.join(",")
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
    fn what_the_schema_accepts_is_what_is_read() {
        fn both<T: serde::de::DeserializeOwned + JsonSchema>(text: &str) -> Option<T> {
            let schema = schemars::schema_for!(T);
            let pattern = schema.get("pattern").and_then(|pattern| pattern.as_str()).unwrap();
            let read: Result<T, _> = serde_json::from_value(text.into());
            let matches = regex::Regex::new(pattern).unwrap().is_match(text);
            assert_eq!(read.is_ok(), matches, "{text}");
            if let Err(error) = &read {
                let must_be = schema.get("x-must-be").and_then(|form| form.as_str()).unwrap();
                assert_eq!(error.to_string(), format!("must be {must_be}"));
            }
            read.ok()
        }
        let pinned = HostKeyPolicy::Pinned("SHA256:abc".into());
        assert_eq!(both("accept-new"), Some(HostKeyPolicy::AcceptNew));
        assert_eq!(both("console"), Some(HostKeyPolicy::Console));
        assert_eq!(both("pin:SHA256:abc="), Some(pinned.clone()));
        for wrong in [
            "no",
            "pin:MD5:x",
            "pin:SHA256:",
            "pin:SHA256:a:b",
            "pin:SHA256:a=b",
            " console",
        ] {
            assert_eq!(both::<HostKeyPolicy>(wrong), None, "{wrong}");
        }
        let keys = BastionHostKeys(vec![HostKeyPolicy::AcceptNew, pinned.clone(), HostKeyPolicy::AcceptNew]);
        assert_eq!(both("accept-new, pin:SHA256:abc==,"), Some(keys.clone()));
        assert_eq!(both(&String::from(keys.clone())), Some(keys));
        assert_eq!(both("pin:SHA256:abc"), Some(BastionHostKeys(vec![pinned])));
        for wrong in ["console", "pin:MD5:x", "pin:SHA256:abc,no"] {
            assert_eq!(both::<BastionHostKeys>(wrong), None, "{wrong}");
        }
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
