//! Services that speak JSON 1.1: from the request to the service's table of actions, and the form of answers and errors.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::call::{Accepted, JsonCall};
use crate::cloud::Cloud;
use crate::query::Parameters;
use crate::{refusals, secrets_manager, ssm};

/// Answers an action of a service.
pub(crate) type Service = fn(&str, &JsonCall<'_>) -> Result<Value, ApiError>;

/// The service, as credentials name it.
pub(crate) fn service(name: &str) -> Option<Service> {
    match name {
        "ssm" => Some(ssm::answer),
        "secretsmanager" => Some(secrets_manager::answer),
        _ => None,
    }
}

/// Longest body of a request in bytes.
const LONGEST_BODY: usize = 1 << 18;

/// Answers a call.
pub(crate) fn answer(cloud: &Arc<Cloud>, request: &Accepted) -> Result<String, ApiError> {
    let credential = &request.credential;
    let service = service(&credential.service).ok_or_else(|| {
        ApiError::new(
            "UnknownOperationException",
            "The local cloud does not support this service",
        )
    })?;
    if request.body.len() > LONGEST_BODY {
        let message = format!("The request is longer than {LONGEST_BODY} bytes");
        return Err(ApiError::with_status(413, "SerializationException", message));
    }
    let target = request.parts.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.split_once('.').map_or(target, |(_, action)| action);
    let call = JsonCall {
        cloud,
        credential,
        body: if request.body.is_empty() { b"{}" } else { &request.body },
    };
    tracing::debug!(region = credential.region, action, "call");
    let denied = cloud
        .refusals
        .denied(&credential.service, action, &Parameters::default());
    if let Some(denied) = denied {
        return Err(refusals::access_denied(
            400,
            "AccessDeniedException",
            &credential.access_key,
            &denied,
        ));
    }
    Ok(service(action, &call)?.to_string())
}

/// An error's document.
pub(crate) fn describe_error(error: &ApiError) -> String {
    json!({ "__type": error.code, "message": error.message }).to_string()
}
