//! The data channel: websockets at the API's own address, and the agent that answers them on behalf of an instance.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_ssm::agent::{Agent, Connect, read_opening};
use bakelite_ssm::handshake::Asking;
use bakelite_ssm::socket::{Socket, accepted};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::instances::{AGENT_VERSION, Managed};
use crate::cloud::Cloud;
use crate::connection_slots::Slot;
use crate::machine::Machine;

/// Where data channels are, before the session's id.
pub(crate) const PATH: &str = "/v1/data-channel/";

/// How long a websocket may take to say which session it is for.
const OPENING_LIMIT: Duration = Duration::from_secs(10);

/// Opens the websocket that a request asks for. It is the first message on it, not a signature, that shows the right to a session;
/// before that, it has to name one that there is, which only its owner can.
pub(crate) fn open(cloud: &Arc<Cloud>, mut request: Request<Incoming>, slot: Slot) -> Response<Full<Bytes>> {
    let id = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
    let key = match accept_key(&request) {
        Ok(key) if cloud.sessions.has(&id) => key,
        Ok(_) => return answer(StatusCode::NOT_FOUND),
        Err(status) => return answer(status),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let task_cloud = Arc::clone(cloud);
    cloud.tasks.spawn(async move {
        let opening = async {
            let mut socket = accepted(TokioIo::new(upgrade.await.ok()?)).await;
            let opening = read_opening(&mut socket).await?;
            Some((socket, opening.token_value))
        };
        let opened = tokio::select! {
            opened = tokio::time::timeout(OPENING_LIMIT, opening) => opened.ok().flatten(),
            () = slot.evicted() => None,
            () = task_cloud.closing.cancelled() => None,
        };
        if let Some((socket, token)) = opened {
            task_cloud.sessions.admit(&id, &token, socket).await;
        }
    });
    let mut response = answer(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    response
}

/// The answer to the key of a request that opens a websocket; else why it does not. Only a browser sends an origin, and none has
/// business here: a page of any site can open websockets to anywhere.
fn accept_key<B>(request: &Request<B>) -> Result<HeaderValue, StatusCode> {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        return Err(StatusCode::FORBIDDEN);
    }
    let has = |name, wanted: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    if request.method() != Method::GET || !has(UPGRADE, "websocket") || !has(SEC_WEBSOCKET_VERSION, "13") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(StatusCode::BAD_REQUEST)?;
    HeaderValue::from_str(&bakelite_ssm::socket::accept_key(key.as_bytes())).map_err(|_| StatusCode::BAD_REQUEST)
}

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Lets an instance's agent serve a session, until the client or the user ends it, the instance stops, or the cloud shuts down.
pub(super) fn serve(
    cloud: &Arc<Cloud>,
    session: String,
    managed: Managed,
    port: u16,
    properties: BTreeMap<String, String>,
    sockets: mpsc::Receiver<Socket>,
    terminated: CancellationToken,
) {
    let task_cloud = Arc::clone(cloud);
    cloud.tasks.spawn(async move {
        let connect = Port {
            machine: managed.machine.clone(),
            port,
        };
        let agent = Agent {
            session: &session,
            asking: Asking {
                agent_version: AGENT_VERSION.into(),
                properties,
                kms_key: None,
            },
            connect: &connect,
        };
        let ending = async {
            tokio::select! {
                () = terminated.cancelled() => "The session was terminated".to_owned(),
                () = managed.machine.gone() => "The instance is no longer running".to_owned(),
                () = task_cloud.closing.cancelled() => "The local cloud was shut down".to_owned(),
            }
        };
        agent.serve(sockets, ending).await;
        task_cloud.sessions.forget(&session);
    });
}

/// A port of an instance.
struct Port {
    machine: Machine,
    port: u16,
}

#[async_trait]
impl Connect for Port {
    async fn connect(&self) -> io::Result<TcpStream> {
        self.machine.connect(self.port).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websockets_of_programs_are_opened() {
        let asked = |headers: &[(&str, &str)]| {
            let mut request = Request::get("/v1/data-channel/x");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            accept_key(&request.body(()).unwrap())
        };
        let right = [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        // The example of RFC 6455.
        assert_eq!(asked(&right).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut of_a_page = right.to_vec();
        of_a_page.push(("origin", "http://127.0.0.1"));
        assert_eq!(asked(&of_a_page), Err(StatusCode::FORBIDDEN));
        for missing in 0..right.len() {
            let mut some = right.to_vec();
            some.remove(missing);
            assert_eq!(asked(&some), Err(StatusCode::BAD_REQUEST));
        }
    }
}
