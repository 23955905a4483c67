//! Why a session does not come to be, or ends.

use std::borrow::Cow;
use std::time::Duration;

use crate::link::LinkError;
use crate::smux::SmuxError;
use crate::socket::OpenError;

/// Why there is no session, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No websocket.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The connection broke before data could be sent.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The agent does not complete it.
    #[error("handshake of the session: not complete within {} seconds", .0.as_secs())]
    HandshakeTimeout(Duration),
    /// The agent violates the protocol.
    #[error("handshake of the session: {0}")]
    Handshake(&'static str),
    /// The session preferences of the account require encrypted data.
    #[error("session preferences require encryption with KMS key `{key}`, which is not supported")]
    Encrypted {
        /// The key's ARN.
        key: String,
    },
    /// The other side ended it.
    #[error("session was ended by the other side{}", reason(.0))]
    Closed(String),
    /// The websocket broke and could not be replaced.
    #[error("session was lost: {broken}")]
    Lost {
        /// What happened to the websocket.
        broken: LinkError,
        /// Why the last attempt to resume failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The multiplexed stream makes no sense.
    #[error(transparent)]
    Smux(#[from] SmuxError),
    /// We ended it.
    #[error("session was ended")]
    Terminated,
}

impl SessionError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Open(OpenError::Connect(error)) => Some(error.help().into()),
            Self::Encrypted { .. } => Some(
                "turn KMS encryption off in Session Manager's preferences, or use another `ssh_interface`; TLS and SSH encrypt all data anyway"
                    .into(),
            ),
            _ => None,
        }
    }

    /// Another session would meet the same end.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Open(OpenError::Connect(error)) => error.is_final(),
            Self::Encrypted { .. } | Self::Terminated | Self::Handshake(_) => true,
            _ => false,
        }
    }
}

fn reason(output: &str) -> String {
    let output = output.trim();
    if output.is_empty() {
        String::new()
    } else {
        format!(": {output}")
    }
}
