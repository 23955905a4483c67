//! Systems Manager's API: sessions, and the parameters that templates read.

pub(crate) mod channel;
mod instances;
mod parameters;
mod sessions;

use serde_json::Value;

use crate::api_error::ApiError;
use crate::call::JsonCall;

/// Answers a call of an action.
pub(crate) fn answer(action: &str, call: &JsonCall<'_>) -> Result<Value, ApiError> {
    match action {
        "DescribeInstanceInformation" => instances::describe_instance_information(call),
        "DescribeSessions" => sessions::describe_sessions(call),
        "GetParameter" => parameters::get_parameter(call),
        "PutParameter" => parameters::put_parameter(call),
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
