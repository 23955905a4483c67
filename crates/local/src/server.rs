//! The endpoint: HTTP on loopback, routing to a service, and the form of answers and errors.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::api_error::ApiError;
use crate::call::Call;
use crate::cloud::Cloud;
use crate::credential::Credential;
use crate::ec2;
use crate::ids::request_id;
use crate::json_api;
use crate::query::Parameters;
use crate::ssm;
use crate::sts;
use crate::xml::Element;

/// Longest body of a request in bytes. The longest sensible one, a launch with user data and 50 tags, has some 60 KB.
const LONGEST_BODY: usize = 1 << 20;

/// Answers requests until the cloud shuts down; then those under way are finished.
pub(crate) async fn serve(cloud: Arc<Cloud>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(cloud.clone(), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    // Out of file descriptors, say: yielding lets connections end before the next try.
                    tokio::task::yield_now().await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = cloud.closing.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse(cloud: Arc<Cloud>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let closing = cloud.closing.clone();
    let service = service_fn(move |request| {
        let cloud = cloud.clone();
        async move { Ok::<_, Infallible>(respond(cloud, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn respond(cloud: Arc<Cloud>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path().starts_with(ssm::channel::PATH) {
        return ssm::channel::open(&cloud, request);
    }
    if let Ok(credential) = credential(&request)
        && let Some(service) = json_api::service(&credential.service)
    {
        return json_api::respond(service, &cloud, &credential, request).await;
    }
    let id = request_id();
    let mut service = Service::Ec2;
    let answer = match read(request).await {
        Ok((credential, parameters)) => answer(cloud, credential, parameters, &mut service, &id).await,
        Err(error) => Err(error),
    };
    let (status, text) = match answer {
        Ok(text) => (200, text),
        Err(error) => {
            tracing::debug!(request = id, code = error.code, message = error.message, "call refused");
            (error.status, service.describe_error(&error, &id))
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=UTF-8"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// Reads the credential and the parameters, which are in the body of a POST and in the query of a GET.
async fn read(request: Request<Incoming>) -> Result<(Credential, Parameters), ApiError> {
    let credential = credential(&request)?;
    if request.uri().path() != "/" {
        return Err(ApiError::with_status(
            404,
            "InvalidAction",
            format!("There is nothing at {}", request.uri().path()),
        ));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parameters = match *request.method() {
        Method::GET => Parameters::parse(query.as_bytes())?,
        Method::POST => {
            let body = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
            let body = body.map_err(|error| ApiError::with_status(413, "RequestEntityTooLarge", error.to_string()))?;
            Parameters::parse(&body.to_bytes())?
        }
        ref other => {
            return Err(ApiError::with_status(
                405,
                "InvalidRequest",
                format!("The method {other} is not supported"),
            ));
        }
    };
    Ok((credential, parameters))
}

fn credential(request: &Request<Incoming>) -> Result<Credential, ApiError> {
    let header = request.headers().get(AUTHORIZATION);
    Credential::from_header(header.map(|value| value.to_str().unwrap_or_default()))
}

/// A service behind the endpoint that speaks the Query protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Ec2,
    Sts,
}

impl Service {
    fn named(name: &str) -> Result<Service, ApiError> {
        match name {
            "ec2" => Ok(Service::Ec2),
            "sts" => Ok(Service::Sts),
            other => Err(ApiError::new(
                "InvalidAction",
                format!("The local cloud has no service `{other}`"),
            )),
        }
    }

    fn version(self) -> &'static str {
        match self {
            Service::Ec2 => ec2::VERSION,
            Service::Sts => sts::VERSION,
        }
    }

    /// Returns an answer's document; the two services put the request id in different places.
    fn describe_answer(self, action: &str, answer: Element, id: &str) -> String {
        let name = format!("{action}Response");
        match self {
            Service::Ec2 => Element::body()
                .text("requestId", id)
                .with(answer)
                .document(&name, ec2::NAMESPACE),
            Service::Sts => answer
                .child(Element::new("ResponseMetadata").text("RequestId", id))
                .document(&name, sts::NAMESPACE),
        }
    }

    fn describe_error(self, error: &ApiError, id: &str) -> String {
        let fault = if error.status < 500 { "Sender" } else { "Receiver" };
        match self {
            Service::Ec2 => {
                let error = Element::new("Error")
                    .text("Code", &error.code)
                    .text("Message", &error.message);
                let errors = Element::body()
                    .child(Element::new("Errors").child(error))
                    .text("RequestID", id);
                errors.document("Response", ec2::NAMESPACE)
            }
            Service::Sts => {
                let error = Element::new("Error")
                    .text("Type", fault)
                    .text("Code", &error.code)
                    .text("Message", &error.message);
                Element::body()
                    .child(error)
                    .text("RequestId", id)
                    .document("ErrorResponse", sts::NAMESPACE)
            }
        }
    }
}

async fn answer(
    cloud: Arc<Cloud>,
    credential: Credential,
    mut parameters: Parameters,
    service: &mut Service,
    id: &str,
) -> Result<String, ApiError> {
    *service = Service::named(&credential.service)?;
    let action = parameters
        .text("Action")
        .ok_or_else(|| ApiError::new("MissingAction", "The request has no action"))?;
    let version = parameters
        .text("Version")
        .ok_or_else(|| ApiError::missing_parameter("Version"))?;
    if version != service.version() {
        let message = format!("The API version {version} is not supported; use {}", service.version());
        return Err(ApiError::new("NoSuchVersion", message));
    }
    tracing::debug!(request = id, region = credential.region, action, "call");
    let answer = match service {
        Service::Ec2 => {
            check_region(&cloud, &credential.region)?;
            ec2::act(&action, Call::new(cloud, credential.region, parameters)?).await?
        }
        Service::Sts => sts::act(&action, parameters, &credential)?,
    };
    Ok(service.describe_answer(&action, answer, id))
}

fn check_region(cloud: &Cloud, region: &str) -> Result<(), ApiError> {
    if ec2::regions::exists(region) || region == cloud.region {
        return Ok(());
    }
    Err(ApiError::with_status(
        401,
        "AuthFailure",
        format!("Credential should be scoped to a valid region, not '{region}'"),
    ))
}
