//! One request: whether it is for this cloud, who has sent it, and which service answers it in which form.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::api_error::ApiError;
use crate::authentication::{self, Claim, Refusal};
use crate::call::Accepted;
use crate::cloud::Cloud;
use crate::connection_slots::Slot;
use crate::ids::request_id;
use crate::json_api;
use crate::moment::Moment;
use crate::query_api;
use crate::server::is_for;
use crate::ssm;

/// Longest body of a request in bytes. The longest sensible one, a launch with user data and 50 tags, has some 60 KB.
const LONGEST_BODY: usize = 1 << 20;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the body of a refused request is read, so that its sender gets to read why.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The protocol that a caller speaks; its service is known only when it is known who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// EC2's, STS's and IAM's.
    Query(query_api::Service),
    /// That of services with JSON.
    Json,
}

impl Protocol {
    /// What a request looks like, for the form of its errors.
    fn of(parts: &Parts) -> Protocol {
        match authentication::claimed_service(parts) {
            Some(service) if json_api::service(&service).is_some() => Protocol::Json,
            None if parts.headers.contains_key("x-amz-target") => Protocol::Json,
            service => {
                let named = service.and_then(|name| query_api::Service::named(&name).ok());
                Protocol::Query(named.unwrap_or(query_api::Service::Ec2))
            }
        }
    }

    fn refuse(self, refusal: &Refusal) -> ApiError {
        match self {
            Protocol::Query(query_api::Service::Ec2) => refusal.of_ec2(),
            Protocol::Query(query_api::Service::Sts | query_api::Service::Iam) => refusal.of_sts(),
            Protocol::Json => refusal.of_json(),
        }
    }
}

/// Answers a request.
pub(crate) async fn respond(cloud: Arc<Cloud>, request: Request<Incoming>, slot: Slot) -> Response<Full<Bytes>> {
    if !is_for(&request, cloud.address) {
        let served = format!(
            "The local cloud is at http://{}, and serves no other host name.\n",
            cloud.address
        );
        return response(StatusCode::MISDIRECTED_REQUEST, "text/plain", served);
    }
    if request.uri().path().starts_with(ssm::channel::PATH) {
        return ssm::channel::open(&cloud, request, slot);
    }
    let (parts, body) = request.into_parts();
    let (protocol, id) = (Protocol::of(&parts), request_id());
    let accepted = accept(&cloud, parts, body, protocol).await;
    if accepted.is_ok() {
        slot.authenticated();
    }
    let (result, form) = match protocol {
        Protocol::Query(service) => {
            let result = match accepted {
                Ok(accepted) => query_api::answer(cloud, accepted, &id).await,
                Err(error) => Err(error),
            };
            let text = result.map_err(|error| (service.describe_error(&error, &id), error));
            (text, "text/xml;charset=UTF-8")
        }
        Protocol::Json => {
            let result = accepted.and_then(|accepted| json_api::answer(&cloud, &accepted));
            let text = result.map_err(|error| (json_api::describe_error(&error), error));
            (text, "application/x-amz-json-1.1")
        }
    };
    let (status, text) = match result {
        Ok(text) => (StatusCode::OK, text),
        Err((text, error)) => {
            tracing::debug!(request = id, code = error.code, message = error.message, "call refused");
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, text)
        }
    };
    let mut response = response(status, form, text);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn response(status: StatusCode, form: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(form));
    response
}

/// Finds out who has sent a request, and reads its body.
async fn accept(cloud: &Cloud, parts: Parts, body: Incoming, protocol: Protocol) -> Result<Accepted, ApiError> {
    let claim = match begin(cloud, &parts, protocol) {
        Ok(claim) => claim,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let reading = Limited::new(body, LONGEST_BODY).collect();
    let read = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    let body = read
        .map_err(|_| {
            ApiError::with_status(
                408,
                "RequestTimeout",
                "The body of the request was not received in time",
            )
        })?
        .map_err(|error| ApiError::with_status(413, "RequestEntityTooLarge", error.to_string()))?
        .to_bytes();
    let credential = claim
        .prove(&parts, &body)
        .map_err(|refusal| protocol.refuse(&refusal))?;
    Ok(Accepted {
        credential,
        parts,
        body,
    })
}

/// Checks everything that can be checked of a request without its body.
fn begin(cloud: &Cloud, parts: &Parts, protocol: Protocol) -> Result<Claim, ApiError> {
    let claim = Claim::of(parts, &cloud.keys, Moment::now()).map_err(|refusal| protocol.refuse(&refusal))?;
    if parts.uri.path() != "/" {
        let message = format!("No resource at {}", parts.uri.path());
        return Err(ApiError::with_status(404, "InvalidAction", message));
    }
    if ![Method::GET, Method::POST].contains(&parts.method) {
        let message = format!("The method {} is not supported", parts.method);
        return Err(ApiError::with_status(405, "InvalidRequest", message));
    }
    Ok(claim)
}

/// A connection that is closed while its other side still sends is reset, and the answer is lost.
async fn drain(body: Incoming) {
    let mut body = Limited::new(body, LONGEST_BODY);
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
}
