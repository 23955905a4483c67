//! The websocket below a session: how it is opened, by TCP or through the environment's HTTP proxy, with TLS by ring where the URL says
//! so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tower_service::Service as _;

/// How long opening a websocket may take, from the name's look-up to the answer.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

/// The longest message: a frame with the longest payload has room in it.
const LONGEST_MESSAGE: usize = 2 << 20;

/// Any way to a peer.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A websocket, over whatever way.
pub type Socket = WebSocketStream<Box<dyn Wire>>;

/// How this machine reaches others.
pub struct Network {
    proxies: Matcher,
    tls: OnceCell<TlsConnector>,
}

/// Why there is no websocket. Its address is in no message: the query may hold what only the bearer should know.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not `ws://` or `wss://` and a host.
    #[error("address of the data channel is no websocket address")]
    Address,
    /// No connection.
    #[error("connect to `{host}`")]
    Connect {
        /// Name and port.
        host: String,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// No connection through the proxy.
    #[error("connect to `{host}` through proxy `{proxy}`")]
    Proxy {
        /// Name and port.
        host: String,
        /// Name and port.
        proxy: String,
        /// The cause.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The peer speaks no websocket, or wants us not.
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

impl Network {
    /// With these proxies, in the form of the variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. This machine itself is never
    /// reached through one.
    pub fn new(https_proxy: Option<&str>, http_proxy: Option<&str>, no_proxy: Option<&str>) -> Self {
        let here = "127.0.0.1,localhost,::1";
        let direct = no_proxy.map_or_else(|| here.to_owned(), |rules| format!("{rules},{here}"));
        let proxies = Matcher::builder()
            .https(https_proxy.unwrap_or_default().to_owned())
            .http(http_proxy.unwrap_or_default().to_owned())
            .no(direct)
            .build();
        Self {
            proxies,
            tls: OnceCell::new(),
        }
    }

    /// The same, with these authorities instead of those that this machine trusts.
    pub fn trusting(mut self, authorities: &[CertificateDer<'static>]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone()).map_err(io::Error::other)?;
        }
        self.tls = OnceCell::new_with(Some(connector(roots)?));
        Ok(self)
    }

    /// Opens a websocket.
    pub(crate) async fn open(&self, url: &str) -> Result<Socket, OpenError> {
        let opened = tokio::time::timeout(OPEN_LIMIT, self.open_at_leisure(url)).await;
        opened.unwrap_or(Err(OpenError::Timeout))
    }

    async fn open_at_leisure(&self, url: &str) -> Result<Socket, OpenError> {
        let uri: Uri = url.parse().map_err(|_| OpenError::Address)?;
        let name = uri.host().ok_or(OpenError::Address)?;
        let (is_secure, usual_port) = match uri.scheme_str() {
            Some("wss") => (true, 443),
            Some("ws") => (false, 80),
            _ => return Err(OpenError::Address),
        };
        let host = format!("{name}:{}", uri.port_u16().unwrap_or(usual_port));
        let stream = self.connect(&host, is_secure).await?;
        let stream: Box<dyn Wire> = if is_secure {
            let connecting = |cause| OpenError::Connect {
                host: host.clone(),
                cause,
            };
            let server = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
            let server = server.map_err(|error| connecting(io::Error::other(error)))?;
            let native = || async { connector(native_roots().await?) };
            let tls = self.tls.get_or_try_init(native).await.map_err(connecting)?;
            Box::new(tls.connect(server, stream).await.map_err(connecting)?)
        } else {
            Box::new(stream)
        };
        let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config())).await;
        let (socket, _) = opened.map_err(|error| OpenError::WebSocket {
            host,
            cause: Box::new(error),
        })?;
        Ok(socket)
    }

    async fn connect(&self, host: &str, is_secure: bool) -> Result<TcpStream, OpenError> {
        let scheme = if is_secure { "https" } else { "http" };
        let target: Uri = format!("{scheme}://{host}/").parse().map_err(|_| OpenError::Address)?;
        let stream = match self.proxies.intercept(&target) {
            Some(proxy) => {
                let failed = |cause| OpenError::Proxy {
                    host: host.to_owned(),
                    proxy: proxy
                        .uri()
                        .authority()
                        .map(|one| one.host().to_owned())
                        .unwrap_or_default(),
                    cause,
                };
                let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
                if let Some(login) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(login.clone());
                }
                let opened = tunnel.call(target).await;
                opened.map(TokioIo::into_inner).map_err(|error| failed(error.into()))?
            }
            None => TcpStream::connect(host).await.map_err(|cause| OpenError::Connect {
                host: host.to_owned(),
                cause,
            })?,
        };
        // What cannot be set makes it slower, not wrong.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
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

/// Whom this machine trusts.
async fn native_roots() -> io::Result<RootCertStore> {
    // The system's certificates are hundreds of files.
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read.map_err(io::Error::other)?.certs);
    Ok(roots)
}

fn connector(roots: RootCertStore) -> io::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_websocket_addresses_are_opened() {
        let network = Network::new(None, None, None);
        for url in ["", "https://example.org/", "ws:///x", "/path", "ws://"] {
            assert!(
                matches!(network.open(url).await, Err(OpenError::Address)),
                "{url} is no websocket address"
            );
        }
    }

    #[tokio::test]
    async fn tls_is_spoken_with_those_who_are_trusted() {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            match acceptor.accept(stream).await {
                Ok(stream) => tokio_tungstenite::accept_async(stream).await.is_ok(),
                Err(_) => false,
            }
        };

        let trusting = Network::new(None, None, None).trusting(&[cert.der().clone()]).unwrap();
        let (opened, served) = tokio::join!(trusting.open(&url), serve);
        assert!(opened.is_ok() && served);

        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.is_err()
        };
        let network = Network::new(None, None, None);
        let (refused, is_refused) = tokio::join!(network.open(&url), serve);
        assert!(matches!(refused, Err(OpenError::Connect { .. })) && is_refused);
    }

    /// A proxy that notes what it is asked and refuses.
    #[tokio::test]
    async fn another_machine_is_reached_through_the_proxy_and_this_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://me:secret@{}", listener.local_addr().unwrap());
        let network = Network::new(Some(&proxy), None, Some("elsewhere.example"));
        let asked = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let (refused, request) = tokio::join!(network.open("wss://ssmmessages.example/v1?role=x"), asked);
        assert!(
            request.starts_with("CONNECT ssmmessages.example:443 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("Proxy-Authorization: Basic bWU6c2VjcmV0"), "{request}");
        let error = refused.err().unwrap().to_string();
        assert_eq!(error, "connect to `ssmmessages.example:443` through proxy `127.0.0.1`");
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(network.proxies.intercept(&uri("https://localhost:9/")).is_none());
        assert!(network.proxies.intercept(&uri("https://elsewhere.example/")).is_none());
    }
}
