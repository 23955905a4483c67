//! Codes of multi-factor devices: the template's, or what the user types at the terminal.

use std::io;
use std::sync::Arc;

use bakelite_engine::terminal;
use tokio::sync::Mutex;

/// The code that the template gives. AWS accepts it once, whatever it is for.
#[derive(Clone)]
pub(crate) struct GivenCode(Arc<Mutex<Code>>);

enum Code {
    Given(String),
    NotGiven,
    Used,
}

impl GivenCode {
    pub(crate) fn new(code: Option<&str>) -> Self {
        let code = code.map_or(Code::NotGiven, |code| Code::Given(code.trim().to_owned()));
        Self(Arc::new(Mutex::new(code)))
    }
}

impl std::fmt::Debug for GivenCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenCode")
    }
}

/// A device, as one role or session needs it.
#[derive(Debug)]
pub(crate) struct Device {
    /// Its serial number or ARN.
    pub(crate) serial: String,
    /// What the code is for: "`assume_role`", "profile `ci`".
    pub(crate) purpose: String,
    pub(crate) given: GivenCode,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum MfaError {
    /// Nobody is there to be asked.
    #[error("the code of MFA device `{serial}` is required for {purpose}, and it cannot be asked for at a terminal")]
    NoTerminal {
        /// The device.
        serial: String,
        /// The role or session that it is for.
        purpose: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// AWS accepts a code once: another role has used it, or the session that it began has ended.
    #[error(
        "{purpose} requires another code of MFA device `{serial}`: `mfa_code` has been used, and AWS accepts a code once"
    )]
    Used {
        /// The device.
        serial: String,
        /// The role or session that it is for.
        purpose: String,
    },
}

impl Device {
    /// A code that was not used yet: the given one the first time, else the user's.
    pub(crate) async fn code(&self) -> Result<String, MfaError> {
        // Held while the user types: another role asks after this one.
        let mut code = self.given.0.lock().await;
        let was_given = match std::mem::replace(&mut *code, Code::Used) {
            Code::Given(given) => return Ok(given),
            Code::Used => true,
            Code::NotGiven => {
                *code = Code::NotGiven;
                false
            }
        };
        let (serial, purpose) = (self.serial.clone(), self.purpose.clone());
        match terminal::ask(&format!("MFA code of {serial} for {purpose}: "), false).await {
            Ok(typed) => Ok(typed.trim().to_owned()),
            Err(_) if was_given => Err(MfaError::Used { serial, purpose }),
            Err(cause) => Err(MfaError::NoTerminal { serial, purpose, cause }),
        }
    }
}
