//! The transport of all clients: HTTP on this machine's network, with its proxies and whom AWS's tools trust.

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
use crate::credentials::Environment;

/// How long opening a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// One transport for all clients of these options: they share its connections. Without authorities this machine's are believed.
pub(crate) fn client(environment: &Environment, authorities: Option<&Authorities>) -> SharedHttpClient {
    let mut network = Network::new(environment).within(CONNECT_LIMIT);
    if let Some(authorities) = authorities {
        network = network.trusting(Trust::Only(authorities.certificates().to_vec()));
    }
    let transport = SharedHttpConnector::new(Transport(Arc::new(HttpClient::new(network))));
    http_client_fn(move |_, _| transport.clone())
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
            max_retries: Some(0),
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
