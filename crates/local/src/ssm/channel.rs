//! The data channel: websockets at the API's own address, and the agent that answers them on behalf of an instance.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_ssm::agent::{Agent, Connect, read_opening};
use bakelite_ssm::handshake::Asking;
use bakelite_ssm::socket::{Socket, accepted};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::instances::{AGENT_VERSION, Managed};
use crate::cloud::Cloud;

/// Where data channels are, before the session's id.
pub(crate) const PATH: &str = "/v1/data-channel/";

/// Opens the websocket that a request asks for. It is the first message on it, not a signature, that shows the right to a session.
pub(crate) fn open(cloud: &Arc<Cloud>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let id = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| bakelite_ssm::socket::accept_key(key.as_bytes()));
    let Some(key) = key.and_then(|key| HeaderValue::from_str(&key).ok()) else {
        return answer(StatusCode::BAD_REQUEST);
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let task_cloud = Arc::clone(cloud);
    cloud.tasks.spawn(async move {
        let admit = async {
            let mut socket = accepted(TokioIo::new(upgrade.await.ok()?)).await;
            let opening = read_opening(&mut socket).await?;
            task_cloud.sessions.admit(&id, &opening.token_value, socket).await;
            Some(())
        };
        tokio::select! {
            _ = admit => {}
            () = task_cloud.closing.cancelled() => {}
        }
    });
    let mut response = answer(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    response
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
        let connect = Port(managed.port(port));
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
                () = managed.machine.gone() => "The instance does not run any more".to_owned(),
                () = task_cloud.closing.cancelled() => "The local cloud is shut down".to_owned(),
            }
        };
        agent.serve(sockets, ending).await;
        task_cloud.sessions.forget(&session);
    });
}

/// A port of an instance.
struct Port(SocketAddr);

#[async_trait]
impl Connect for Port {
    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
