//! The log of calls: each attempt of each call with what somebody looks for afterwards, and nothing that is secret: of a request only its
//! action, its region and the number of the attempt are taken.

use std::time::Instant;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use bakelite_engine::step::current_build;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use tracing::Level;

/// The longest answer to a call that was refused. Those of the services are a few thousand bytes.
const LONGEST_DENIAL: usize = 1 << 20;

/// A connector whose calls are logged, one line for each attempt when it has ended.
#[derive(Debug)]
pub(crate) struct Logged(pub(crate) SharedHttpConnector);

impl HttpConnector for Logged {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !tracing::enabled!(Level::DEBUG) {
            return self.0.call(request);
        }
        let call = Call::of(&request);
        let build = current_build().unwrap_or_else(|| "-".to_owned());
        let started = Instant::now();
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let Call {
                action,
                region,
                attempt,
                ..
            } = call;
            let ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mut answer = answer.await.inspect_err(|error| {
                let error = bakelite_engine::chain_of(error);
                tracing::debug!(build, action, region, attempt, ms = ms(), error, "AWS call failed");
            })?;
            let (status, ms) = (answer.status().as_u16(), ms());
            let mut code = None;
            let mut id = header(&answer, &["x-amzn-requestid", "x-amz-request-id"]).map(str::to_owned);
            if status >= 400 {
                let body = read(std::mem::replace(answer.body_mut(), SdkBody::taken())).await?;
                let text = String::from_utf8_lossy(&body);
                code = header(&answer, &["x-amzn-errortype"])
                    .map(named)
                    .or_else(|| code_of(&text));
                id = id.or_else(|| element(&text, "RequestID").or_else(|| element(&text, "RequestId")));
                drop(text);
                *answer.body_mut() = SdkBody::from(body);
            }
            tracing::debug!(build, action, region, id, status, code, ms, attempt, "AWS call");
            Ok(answer)
        })
    }
}

/// All of a body, which is an error's and short.
pub(crate) async fn read(body: SdkBody) -> Result<Bytes, ConnectorError> {
    let collected = Limited::new(body, LONGEST_DENIAL).collect().await;
    let collected = collected.map_err(|error| ConnectorError::other(error, Some(ErrorKind::TransientError)))?;
    Ok(collected.to_bytes())
}

/// What is taken of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The action, else method and path.
    pub(crate) action: String,
    /// Absent when the request is not signed.
    pub(crate) region: Option<String>,
    /// As the signature has it: `ec2`.
    pub(crate) service: Option<String>,
    /// From 1, within what the SDK repeats by itself.
    attempt: Option<u32>,
}

impl Call {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let header = |name: &str| request.headers().get(name);
        // `Credential=KEY/DATE/REGION/SERVICE/aws4_request`
        let scope = header("authorization").and_then(|text| text.split_once("Credential=")?.1.split(',').next());
        let scoped = |part| scope.and_then(|scope| scope.split('/').nth(part)).map(str::to_owned);
        let attempt =
            header("amz-sdk-request").and_then(|text| text.split_once("attempt=")?.1.split(';').next()?.parse().ok());
        let target = header("x-amz-target").and_then(|target| target.rsplit('.').next());
        let action = target.map(str::to_owned).or_else(|| action_of(request.body().bytes()?));
        Self {
            action: action.unwrap_or_else(|| rest(request)),
            region: scoped(2),
            service: scoped(3),
            attempt,
        }
    }
}

/// The action of the query protocol.
fn action_of(body: &[u8]) -> Option<String> {
    let rest = std::str::from_utf8(body)
        .ok()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))?;
    Some(rest.to_owned())
}

/// Method and path, of what has no action.
fn rest(request: &HttpRequest) -> String {
    let uri = request.uri();
    let behind = uri.split_once("://").map_or(uri, |(_, behind)| behind);
    let path = behind.find('/').map_or("/", |at| behind.get(at..).unwrap_or_default());
    format!("{} {}", request.method(), path.split('?').next().unwrap_or_default())
}

fn header<'a>(answer: &'a HttpResponse, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| answer.headers().get(name))
}

/// The code in the answer to a call that failed, in XML or JSON.
fn code_of(text: &str) -> Option<String> {
    let json = || {
        let (_, behind) = text.split_once("\"__type\"")?;
        Some(named(behind.split('"').nth(1)?))
    };
    element(text, "Code").or_else(json)
}

/// `com.amazonaws.ssm#ParameterNotFound:http://…` without what is around the name.
fn named(code: &str) -> String {
    let name = code.rsplit('#').next().unwrap_or(code);
    name.split(':').next().unwrap_or(name).to_owned()
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    Some(behind.split('<').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_request_only_what_is_not_secret_is_taken() {
        let mut request = HttpRequest::new(SdkBody::from(
            "Action=RunInstances&UserData=c2VjcmV0&Version=2016-11-15",
        ));
        let scope =
            "AWS4-HMAC-SHA256 Credential=AKIA1/20261122/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=5e5e";
        request.headers_mut().insert("authorization", scope);
        request.headers_mut().insert("amz-sdk-request", "attempt=2; max=3");
        let expected = Call {
            action: "RunInstances".into(),
            region: Some("eu-west-1".into()),
            service: Some("ec2".into()),
            attempt: Some(2),
        };
        assert_eq!(Call::of(&request), expected);
        let mut request = HttpRequest::new(SdkBody::from("{}"));
        request.headers_mut().insert("x-amz-target", "AmazonSSM.GetParameter");
        assert_eq!(Call::of(&request).action, "GetParameter");
        let mut request = HttpRequest::get("http://169.254.169.254/latest/api/token?x=secret").unwrap();
        request.headers_mut().insert("host", "169.254.169.254");
        assert_eq!(Call::of(&request).action, "GET /latest/api/token");
    }

    #[test]
    fn an_error_has_its_code_in_xml_and_in_json() {
        let xml = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>m</Message></Error></Errors></Response>";
        assert_eq!(code_of(xml).as_deref(), Some("UnauthorizedOperation"));
        let json = r#"{"__type": "com.amazonaws.ssm#ParameterNotFound", "message": "m"}"#;
        assert_eq!(code_of(json).as_deref(), Some("ParameterNotFound"));
        assert_eq!(code_of("<html>"), None);
    }
}
