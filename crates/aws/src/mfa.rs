//! Codes of multi-factor devices: the template's, or what the user types at the terminal.

use std::io;

use bakelite_engine::terminal;
use tokio::sync::Mutex;

/// The codes of one device.
#[derive(Debug)]
pub(crate) struct Device {
    /// Its serial number or ARN.
    pub(crate) serial: String,
    code: Mutex<Code>,
}

enum Code {
    Given(String),
    NotGiven,
    Used,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code")
    }
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum MfaError {
    /// Nobody is there to be asked.
    #[error("the code of MFA device `{serial}` is required, and it cannot be asked for at a terminal")]
    NoTerminal {
        /// The device.
        serial: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// AWS accepts a code once.
    #[error("the session that `mfa_code` began has ended, and a code of MFA device `{serial}` is good for one session")]
    Used {
        /// The device.
        serial: String,
    },
}

impl Device {
    pub(crate) fn new(serial: &str, code: Option<&str>) -> Self {
        Self {
            serial: serial.to_owned(),
            code: Mutex::new(code.map_or(Code::NotGiven, |code| Code::Given(code.trim().to_owned()))),
        }
    }

    /// A code that was not used yet: the given one the first time, else the user's.
    pub(crate) async fn code(&self) -> Result<String, MfaError> {
        let mut code = self.code.lock().await;
        let was_given = match &*code {
            Code::Given(given) => {
                let given = given.clone();
                *code = Code::Used;
                return Ok(given);
            }
            Code::Used => true,
            Code::NotGiven => false,
        };
        let serial = self.serial.clone();
        match terminal::ask(&format!("MFA code of {serial}: "), false).await {
            Ok(typed) => Ok(typed.trim().to_owned()),
            Err(_) if was_given => Err(MfaError::Used { serial }),
            Err(cause) => Err(MfaError::NoTerminal { serial, cause }),
        }
    }
}
