//! Errors as the API answers them: a code that clients branch on, a sentence for people, an HTTP status.

use crate::full_disk::FREE_SPACE;

/// An error answer. Codes and statuses are those of the EC2 API reference ("Error codes for the Amazon EC2 API").
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl ApiError {
    /// Returns a client's error (HTTP 400).
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError {
            status: 400,
            code: code.into(),
            message: message.into(),
        }
    }

    /// Returns an error with another status than 400.
    pub(crate) fn with_status(status: u16, code: &str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn missing_parameter(name: &str) -> ApiError {
        ApiError::new(
            "MissingParameter",
            format!("The request must contain the parameter {name}"),
        )
    }

    pub(crate) fn unknown_parameter(name: &str) -> ApiError {
        ApiError::new("UnknownParameter", format!("The parameter {name} is not recognized"))
    }

    pub(crate) fn invalid_value(name: &str, value: &str) -> ApiError {
        ApiError::new(
            "InvalidParameterValue",
            format!("Value ({value}) for parameter {name} is invalid."),
        )
    }

    pub(crate) fn invalid_parameter(message: impl Into<String>) -> ApiError {
        ApiError::new("InvalidParameterValue", message)
    }

    pub(crate) fn invalid_combination(message: impl Into<String>) -> ApiError {
        ApiError::new("InvalidParameterCombination", message)
    }

    pub(crate) fn in_use(message: impl Into<String>) -> ApiError {
        ApiError::new("DependencyViolation", message)
    }

    /// Returns the answer for something that EC2 does and this cloud does not.
    pub(crate) fn unsupported(message: impl Into<String>) -> ApiError {
        ApiError::new("UnsupportedOperation", message)
    }

    /// Returns the error for a client token that an earlier call had with other parameters.
    pub(crate) fn token_reused() -> ApiError {
        ApiError::new(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
    }

    /// Returns the error for a file system without room. Unlike an internal error it does not pass by itself, so no client retries it.
    pub(crate) fn disk_full(message: impl std::fmt::Display) -> ApiError {
        ApiError::new("LocalDiskFull", format!("{message}; {FREE_SPACE}"))
    }

    /// Returns an error of this cloud itself (HTTP 500); clients retry it.
    pub(crate) fn internal(message: impl std::fmt::Display) -> ApiError {
        ApiError {
            status: 500,
            code: "InternalError".to_owned(),
            message: message.to_string(),
        }
    }
}
