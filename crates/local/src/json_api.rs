//! Services that speak JSON 1.1: from the request to the service's table of actions, and the form of answers and errors.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::cloud::Cloud;
use crate::credential::Credential;
use crate::{secrets_manager, ssm};

/// Answers an action of a service.
pub(crate) type Service = fn(&str, &Call<'_>) -> Result<Value, ApiError>;

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
pub(crate) async fn respond(
    service: Service,
    cloud: &Arc<Cloud>,
    credential: &Credential,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (status, body) = match answer(service, cloud, credential, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            tracing::debug!(code = error.code, message = error.message, "call refused");
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, json!({ "__type": error.code, "message": error.message }))
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

async fn answer(
    service: Service,
    cloud: &Arc<Cloud>,
    credential: &Credential,
    request: Request<Incoming>,
) -> Result<Value, ApiError> {
    let header = |name| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (target, host) = (header("x-amz-target"), header("host"));
    let body = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
    let body = body.map_err(|error| ApiError::new("SerializationException", error.to_string()))?;
    let body = body.to_bytes();
    let call = Call {
        cloud,
        credential,
        host: &host,
        body: if body.is_empty() { b"{}" } else { &body },
    };
    let action = target.split_once('.').map_or(target.as_str(), |(_, action)| action);
    tracing::debug!(region = credential.region, action, "call");
    service(action, &call)
}

/// A call of the API.
pub(crate) struct Call<'a> {
    pub(crate) cloud: &'a Arc<Cloud>,
    pub(crate) credential: &'a Credential,
    /// By what name and port the caller found the API.
    pub(crate) host: &'a str,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    /// The parameters; those that an action does not know are refused.
    pub(crate) fn input<T: Deserialize<'a>>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(self.body).map_err(|error| ApiError::new("ValidationException", error.to_string()))
    }

    /// The error for an action that is not there.
    pub(crate) fn unknown(&self, action: &str) -> ApiError {
        ApiError::new(
            "UnknownOperationException",
            format!(
                "The local cloud has no operation `{action}` of `{}`",
                self.credential.service
            ),
        )
    }
}
