//! Files and directories on their way, whatever protocol carries them: walking a local tree, archives, and the only place where what a
//! server sends is written.

pub(crate) mod archive;
pub(crate) mod destination;
pub(crate) mod listing;
pub(crate) mod tree;

use std::io;

use bakelite_engine::communicator::CommunicatorError;

use destination::DestinationError;

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The other side does not have this method, and nothing has been transferred yet: another method may work.
    #[error("{0}")]
    Missing(String),
    /// The other side refuses.
    #[error("{message}")]
    Refused {
        /// What it answers.
        message: String,
        /// What that means, where it is a usual refusal.
        reason: Option<Reason>,
    },
    /// A file of this machine.
    #[error(transparent)]
    Local(io::Error),
    /// The connection, or the server as a whole.
    #[error(transparent)]
    Connection(CommunicatorError),
}

/// The usual refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The destination of a file is a directory.
    IsDirectory,
    /// There is no such file or directory.
    NotFound,
    /// The user may not do that.
    Denied,
    /// The disk is full.
    NoSpace,
}

impl Reason {
    /// The reason that a program of a POSIX system gives: the system's own words, at the end of a line.
    pub(crate) fn of_program(message: &str) -> Option<Self> {
        message.lines().find_map(|line| {
            let words = line.rsplit(": ").next().unwrap_or(line).trim();
            [
                ("Is a directory", Self::IsDirectory),
                ("No such file", Self::NotFound),
                ("Permission denied", Self::Denied),
                ("No space left", Self::NoSpace),
            ]
            .into_iter()
            .find_map(|(known, reason)| words.starts_with(known).then_some(reason))
        })
    }
}

impl TransferError {
    /// A refusal of no usual kind.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        TransferError::Refused {
            message: message.into(),
            reason: None,
        }
    }

    /// The complaint of a program of a POSIX system.
    pub(crate) fn complaint(message: String) -> Self {
        let reason = Reason::of_program(&message);
        TransferError::Refused { message, reason }
    }

    /// The same error when something was transferred already: no other method can be tried.
    pub(crate) fn under_way(self) -> Self {
        match self {
            TransferError::Missing(why) => TransferError::refused(why),
            error => error,
        }
    }

    /// The same for the engine, with what was being done and what helps against the usual refusals there.
    pub(crate) fn of(self, operation: String, advice: fn(Reason) -> &'static str) -> CommunicatorError {
        match self {
            TransferError::Local(cause) => CommunicatorError::Local { operation, cause },
            TransferError::Connection(error) => error,
            TransferError::Missing(message) => CommunicatorError::Refused {
                operation,
                message,
                help: None,
            },
            TransferError::Refused { message, reason } => CommunicatorError::Refused {
                operation,
                message,
                help: reason.map(|reason| advice(reason).to_owned()),
            },
        }
    }
}

impl From<DestinationError> for TransferError {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Refused(why) => TransferError::refused(why),
            DestinationError::Local(error) => TransferError::Local(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_refusals_are_known_by_the_words_of_the_system() {
        for (message, reason) in [
            ("/tmp: Is a directory", Some(Reason::IsDirectory)),
            ("sh: 1: cannot open /x: No such file", Some(Reason::NotFound)),
            (
                "tar: x: Cannot open: Permission denied\ntar: Exiting with failure status due to previous errors",
                Some(Reason::Denied),
            ),
            ("No space left on device", Some(Reason::NoSpace)),
            ("Permission denied.txt: not a regular file", None),
        ] {
            assert_eq!(Reason::of_program(message), reason, "{message}");
        }
    }
}
