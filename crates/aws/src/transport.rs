//! The transport of all clients: HTTP on this machine's network, with its proxies and whom AWS's tools trust. To the answer to a call
//! that is denied it adds who made the call, and what its encoded message means.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use bakelite_net::client::{RequestError, RequestErrorKind};
use bakelite_net::trust::Trust;
use bakelite_net::{HttpClient, Network};
use tokio::time::timeout;

use crate::authorities::Authorities;
use crate::budget::Budgeted;
use crate::credentials::Environment;
use crate::error::{DECODED, ENCODED, PRINCIPAL};
use crate::logged::{Logged, read};
use crate::retry;
use crate::sts::Informant;

/// How long opening a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// One transport for all clients of these options: they share its connections. Without authorities this machine's are believed.
pub(crate) fn connector(
    environment: &Environment,
    trusts_everyone: bool,
    authorities: Option<&Authorities>,
) -> SharedHttpConnector {
    let mut network = Network::new(environment).within(CONNECT_LIMIT);
    if trusts_everyone {
        network = network.trusting(Trust::Everyone);
    } else if let Some(authorities) = authorities {
        network = network.trusting(Trust::Only(authorities.certificates().to_vec()));
    }
    let transport = SharedHttpConnector::new(Transport(Arc::new(HttpClient::new(network))));
    // What is logged is the call itself, without the wait before it.
    let logged = SharedHttpConnector::new(Logged(transport));
    SharedHttpConnector::new(Budgeted::new(logged))
}

/// The transport as a client of the SDK takes it.
pub(crate) fn client(connector: SharedHttpConnector) -> SharedHttpClient {
    http_client_fn(move |_, _| connector.clone())
}

/// The same transport, whose answers to denied calls tell more.
pub(crate) fn informed(connector: SharedHttpConnector, informant: Informant) -> SharedHttpClient {
    client(SharedHttpConnector::new(Informed {
        connector,
        informant: Arc::new(informant),
    }))
}

#[derive(Debug)]
struct Informed {
    connector: SharedHttpConnector,
    informant: Arc<Informant>,
}

impl HttpConnector for Informed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let informant = Arc::clone(&self.informant);
        let answer = self.connector.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            if matches!(answer.status().as_u16(), 400 | 403) {
                let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
                let body = read(body).await?;
                // A header takes one line of visible characters.
                for (name, note) in notes(&body, &informant).await {
                    let note = note.replace(['\r', '\n'], " ");
                    answer.headers_mut().try_insert(name, note).ok();
                }
                *answer.body_mut() = SdkBody::from(body);
            }
            Ok(answer)
        })
    }
}

/// What there is to tell of an answer, if it denies the call.
async fn notes(body: &[u8], informant: &Informant) -> Vec<(&'static str, String)> {
    let text = String::from_utf8_lossy(body);
    if !retry::may_deny(&text) {
        return Vec::new();
    }
    let mut notes = Vec::new();
    if !text.contains("User: arn:") {
        notes.extend(informant.caller().await.map(|caller| (PRINCIPAL, caller.to_owned())));
    }
    if let Some((_, encoded)) = text.split_once(ENCODED) {
        let end = encoded.find(|c: char| c.is_whitespace() || "<\"".contains(c));
        let encoded = encoded.get(..end.unwrap_or(encoded.len())).unwrap_or_default();
        notes.extend(informant.decode(encoded).await.map(|decoded| (DECODED, decoded)));
    }
    notes
}

#[derive(Debug)]
struct Transport(Arc<HttpClient<SdkBody>>);

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x();
            let request = request.map_err(|error| ConnectorError::user(error.into()))?;
            let answered = timeout(ANSWER_LIMIT, client.request(request)).await;
            let answer = answered
                .map_err(|_| ConnectorError::timeout(format!("no answer within {} s", ANSWER_LIMIT.as_secs()).into()))?
                .map_err(failure)?;
            let answer = HttpResponse::try_from(answer.map(SdkBody::from_body_1_x));
            answer.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// In the SDK's terms, which decide whether it tries again.
fn failure(error: RequestError) -> ConnectorError {
    match error.kind() {
        RequestErrorKind::Final => ConnectorError::user(error.into()),
        RequestErrorKind::Unreached => ConnectorError::io(error.into()),
        RequestErrorKind::Lost => ConnectorError::other(error.into(), Some(ErrorKind::TransientError)),
        RequestErrorKind::Protocol => ConnectorError::other(error.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::access::AccessOptions;
    use crate::client::Aws;

    /// The first line that a proxy is asked when EC2 at this endpoint is called with this variable naming the proxy, or the error.
    async fn asked(variable: &str, endpoint: &str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let environment = [
            ("AWS_ACCESS_KEY_ID", "AK"),
            ("AWS_SECRET_ACCESS_KEY", "SK"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", endpoint),
            (variable, proxy.as_str()),
        ];
        let environment: Environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let options = AccessOptions {
            max_retries: Some(1),
            skip_credential_validation: true,
            ..AccessOptions::default()
        };
        let aws = Aws::reach(&options, &environment).await.unwrap();
        let call = aws.ec2().describe_regions().send();
        let answering = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            line.trim().to_owned()
        };
        tokio::select! {
            line = answering => Ok(line),
            answer = call => Err(bakelite_engine::chain_of(&answer.unwrap_err())),
        }
    }

    #[tokio::test]
    async fn a_proxy_is_for_its_scheme_and_all_proxy_for_both() {
        let plain = "http://ec2.target.test:8080";
        let encrypted = "https://ec2.target.test:8443";
        let forwarded = Ok("POST http://ec2.target.test:8080/ HTTP/1.1".to_owned());
        let tunnelled = Ok("CONNECT ec2.target.test:8443 HTTP/1.1".to_owned());
        for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
            assert_eq!(Box::pin(asked(variable, plain)).await, forwarded, "{variable}");
        }
        for variable in ["HTTPS_PROXY", "https_proxy", "all_proxy"] {
            assert_eq!(Box::pin(asked(variable, encrypted)).await, tunnelled, "{variable}");
        }
        for (variable, endpoint) in [("HTTPS_PROXY", plain), ("HTTP_PROXY", encrypted)] {
            let error = Box::pin(asked(variable, endpoint)).await.unwrap_err();
            assert!(error.contains("lookup"), "{variable}: {error}");
        }
    }
}
