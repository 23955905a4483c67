//! Systems Manager's API, as far as sessions need it.

pub(crate) mod channel;
mod instances;
mod sessions;

use serde_json::Value;

use crate::api_error::ApiError;
use crate::call::JsonCall;

/// Answers a call of an action.
pub(crate) fn answer(action: &str, call: &JsonCall<'_>) -> Result<Value, ApiError> {
    match action {
        "DescribeInstanceInformation" => instances::describe_instance_information(call),
        "DescribeSessions" => sessions::describe_sessions(call),
        "ResumeSession" => sessions::resume_session(call),
        "StartSession" => sessions::start_session(call),
        "TerminateSession" => sessions::terminate_session(call),
        _ => Err(call.unknown(action)),
    }
}

/// The error for something that Systems Manager does and this cloud does not.
fn unsupported(what: &str) -> ApiError {
    ApiError::new(
        "UnsupportedOperationException",
        format!("The local cloud does not support the {what}"),
    )
}
