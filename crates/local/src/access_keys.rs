//! Who may call the API: the owner's access key, made anew for each cloud, and the temporary ones that STS gives out.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use crate::ids::random_hex;
use crate::moment::Moment;

/// Digits of a secret access key: 160 random bits in the 40 characters that AWS's have.
const SECRET_DIGITS: usize = 40;

/// An access key of a local cloud. Whoever has it may do anything there.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id, for `AWS_ACCESS_KEY_ID`.
    pub id: String,
    /// Its secret, for `AWS_SECRET_ACCESS_KEY`.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl AccessKey {
    fn random(prefix: &str) -> AccessKey {
        AccessKey {
            id: format!("{prefix}{}", random_hex(20).to_uppercase()),
            secret: random_hex(SECRET_DIGITS),
        }
    }
}

/// What STS gives out: good together with its session token, for a time.
#[derive(Clone)]
pub(crate) struct TemporaryKey {
    pub(crate) key: AccessKey,
    pub(crate) token: String,
    pub(crate) expires: Moment,
}

/// Why a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// Not of this cloud, or not with this session token.
    Unknown,
    /// It was temporary.
    Expired,
}

/// The keys of a cloud.
pub(crate) struct AccessKeys {
    owner: AccessKey,
    temporary: Mutex<HashMap<String, TemporaryKey>>,
}

impl AccessKeys {
    /// With a fresh key for the owner.
    pub(crate) fn new() -> AccessKeys {
        AccessKeys {
            owner: AccessKey::random("LOCAL"),
            temporary: Mutex::default(),
        }
    }

    /// The owner's key.
    pub(crate) fn owner(&self) -> &AccessKey {
        &self.owner
    }

    /// Gives out a temporary key.
    pub(crate) fn issue(&self, duration: Duration) -> TemporaryKey {
        let now = Moment::now();
        let issued = TemporaryKey {
            key: AccessKey::random("ASIA"),
            token: random_hex(64),
            expires: now.plus(duration),
        };
        let mut temporary = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
        temporary.retain(|_, known| known.is_remembered(now));
        temporary.insert(issued.key.id.clone(), issued.clone());
        issued
    }

    /// The secret of a key, which is good with exactly the session token that it came with.
    pub(crate) fn secret(&self, id: &str, token: Option<&[u8]>, now: Moment) -> Result<String, KeyError> {
        if id == self.owner.id {
            return match token {
                None => Ok(self.owner.secret.clone()),
                Some(_) => Err(KeyError::Unknown),
            };
        }
        let temporary = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
        let found = temporary.get(id).ok_or(KeyError::Unknown)?;
        let is_right = token.is_some_and(|token| bool::from(found.token.as_bytes().ct_eq(token)));
        if !is_right {
            return Err(KeyError::Unknown);
        }
        if now >= found.expires {
            return Err(KeyError::Expired);
        }
        Ok(found.key.secret.clone())
    }
}

impl TemporaryKey {
    /// An expired key is told so for another hour.
    fn is_remembered(&self, now: Moment) -> bool {
        now < self.expires.plus(Duration::from_hours(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn the_owners_key_is_new_each_time_and_goes_without_a_token() {
        let (keys, others) = (AccessKeys::new(), AccessKeys::new());
        let owner = keys.owner();
        assert_ne!(owner, others.owner());
        assert_eq!(owner.secret.len(), SECRET_DIGITS);
        assert!(!format!("{owner:?}").contains(&owner.secret));
        let now = Moment::now();
        assert_eq!(keys.secret(&owner.id, None, now).as_ref(), Ok(&owner.secret));
        assert_eq!(keys.secret(&owner.id, Some(b""), now), Err(KeyError::Unknown));
        assert_eq!(others.secret(&owner.id, None, now), Err(KeyError::Unknown));
    }

    #[test]
    fn temporary_keys_need_their_token_and_expire() {
        let keys = AccessKeys::new();
        let (one, other) = (keys.issue(HOUR), keys.issue(HOUR));
        let (id, now) = (&one.key.id, Moment::now());
        assert_eq!(
            keys.secret(id, Some(one.token.as_bytes()), now).as_ref(),
            Ok(&one.key.secret)
        );
        for wrong in [None, Some(other.token.as_bytes()), Some(b"")] {
            assert_eq!(keys.secret(id, wrong, now), Err(KeyError::Unknown));
        }
        let later = now.plus(HOUR);
        assert_eq!(
            keys.secret(id, Some(one.token.as_bytes()), later.plus(HOUR)),
            Err(KeyError::Expired)
        );
    }
}
