//! The sessions of Session Manager that are active. They live as long as this process, as the machines they go to.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakelite_ssm::socket::Socket;
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ids::random_hex;
use crate::moment::Moment;

/// Hexadecimal digits of a token.
const TOKEN_DIGITS: usize = 64;
/// How long a token is good: its client is there already and connects at once.
const TOKEN_LIFE: Duration = Duration::from_mins(5);

/// The sessions that are active, by id.
#[derive(Default)]
pub(crate) struct Sessions {
    active: Mutex<HashMap<String, Session>>,
}

/// A session.
pub(crate) struct Session {
    pub(crate) region: String,
    pub(crate) target: String,
    pub(crate) document: String,
    pub(crate) reason: Option<String>,
    pub(crate) owner: String,
    pub(crate) started: Moment,
    /// What the next websocket must show; each is good for one, and for a time.
    pub(crate) token: Option<Token>,
    pub(crate) sockets: mpsc::Sender<Socket>,
    pub(crate) ending: CancellationToken,
}

/// The right to be the next websocket of a session.
pub(crate) struct Token {
    pub(crate) text: String,
    expires: Instant,
}

impl Token {
    /// Returns a new token.
    pub(crate) fn new() -> Token {
        Token {
            text: random_hex(TOKEN_DIGITS),
            expires: Instant::now() + TOKEN_LIFE,
        }
    }

    /// Takes the same time wherever texts differ.
    fn is(&self, text: &str) -> bool {
        bool::from(self.text.as_bytes().ct_eq(text.as_bytes())) && Instant::now() < self.expires
    }
}

impl Sessions {
    /// Whether there is such a session.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Takes a websocket to its session, when it shows the right token.
    pub(crate) async fn admit(&self, id: &str, token: &str, socket: Socket) {
        let sockets = self.lock().get_mut(id).and_then(|session| {
            let is_right = session.token.as_ref().is_some_and(|right| right.is(token));
            is_right.then(|| {
                session.token = None;
                session.sockets.clone()
            })
        });
        if let Some(sockets) = sockets {
            let _ = sockets.send(socket).await;
        } else {
            tracing::debug!(session = id, "websocket without a valid token");
        }
    }

    /// Forgets a session that is over.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Locks the sessions.
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_a_time() {
        let mut token = Token::new();
        let text = token.text.clone();
        assert!(token.is(&text));
        assert!(!token.is("") && !token.is(&text[1..]) && !token.is(&Token::new().text));
        token.expires = Instant::now();
        assert!(!token.is(&text));
    }
}
