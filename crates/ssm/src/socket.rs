//! The websocket below a session, on a stream of the network: through its proxies, with TLS for `wss`.

use std::time::Duration;

use bakelite_net::DialError;
pub use bakelite_net::Network;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// How long opening a websocket may take, from the name's look-up to the answer.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

/// The longest message: a frame with the longest payload has room in it.
const LONGEST_MESSAGE: usize = 2 << 20;

/// Any way to a peer.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A websocket, over whatever way.
pub type Socket = WebSocketStream<Box<dyn Wire>>;

/// Why there is no websocket. Its address is in no message: the query may hold what only the bearer should know.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not `ws://` or `wss://` and a host.
    #[error("address of the data channel is no websocket address")]
    Address,
    /// No connection.
    #[error(transparent)]
    Connect(#[from] Box<DialError>),
    /// The peer speaks no websocket, or refuses.
    #[error("open websocket on `{host}`")]
    WebSocket {
        /// Name and port.
        host: String,
        /// The cause.
        #[source]
        cause: Box<WebSocketError>,
    },
    /// It took too long.
    #[error("open websocket: no answer within {} seconds", OPEN_LIMIT.as_secs())]
    Timeout,
}

/// Opens a websocket.
pub(crate) async fn open(network: &Network, url: &str) -> Result<Socket, OpenError> {
    let opened = tokio::time::timeout(OPEN_LIMIT, open_at_leisure(network, url)).await;
    opened.unwrap_or(Err(OpenError::Timeout))
}

async fn open_at_leisure(network: &Network, url: &str) -> Result<Socket, OpenError> {
    let uri: Uri = url.parse().map_err(|_| OpenError::Address)?;
    let name = uri.host().filter(|name| !name.is_empty()).ok_or(OpenError::Address)?;
    let usual_port = match uri.scheme_str() {
        Some("wss") => 443,
        Some("ws") => 80,
        _ => return Err(OpenError::Address),
    };
    let stream: Box<dyn Wire> = Box::new(network.stream(&uri).await.map_err(Box::new)?);
    let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config())).await;
    let (socket, _) = opened.map_err(|error| OpenError::WebSocket {
        host: format!("{name}:{}", uri.port_u16().unwrap_or(usual_port)),
        cause: Box::new(error),
    })?;
    Ok(socket)
}

/// What a server answers to a client's `Sec-WebSocket-Key`.
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// The server's end of a websocket whose HTTP part is over.
pub async fn accepted(wire: impl Wire + 'static) -> Socket {
    let wire: Box<dyn Wire> = Box::new(wire);
    WebSocketStream::from_raw_socket(wire, Role::Server, Some(config())).await
}

pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_websocket_addresses_are_opened() {
        let network = Network::new(&BTreeMap::new());
        for url in ["", "https://example.org/", "ws:///x", "/path", "ws://"] {
            assert!(
                matches!(open(&network, url).await, Err(OpenError::Address)),
                "{url} is no websocket address"
            );
        }
    }

    /// The error shows no query of the address, which may contain a token.
    #[tokio::test]
    async fn the_environments_proxy_leads_to_the_service() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://me:secret@{}", listener.local_addr().unwrap());
        let environment = BTreeMap::from([("ALL_PROXY".to_owned(), proxy)]);
        let network = Network::new(&environment);
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let accepted = tokio_tungstenite::accept_async(stream).await;
            (
                String::from_utf8_lossy(&request[..length]).into_owned(),
                accepted.is_ok(),
            )
        };
        let (opened, (request, is_accepted)) =
            tokio::join!(open(&network, "ws://ssmmessages.example/v1?role=x"), serving);
        assert!(opened.is_ok() && is_accepted);
        assert!(
            request.starts_with("CONNECT ssmmessages.example:80 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("Proxy-Authorization: Basic bWU6c2VjcmV0"), "{request}");

        let refusing = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
        };
        let (refused, ()) = tokio::join!(open(&network, "wss://ssmmessages.example/v1?role=x"), refusing);
        let error = refused.err().unwrap().to_string();
        assert!(
            error.starts_with("connection to ssmmessages.example:443 through proxy 127.0.0.1:"),
            "{error}"
        );
    }
}
