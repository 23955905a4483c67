//! Ways to servers on this machine, through proxies on this machine. `target.test` has no address: only a proxy leads there.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bakelite_net::error::Cause;
use bakelite_net::handshake::Refusal;
use bakelite_net::trust::Trust;
use bakelite_net::{DialError, HttpClient, Network};
use base64::Engine as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What servers say before they are spoken to.
const GREETING: &[u8] = b"SSH-2.0-test\r\n";

/// How a proxy of these tests behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// CONNECT and forwarding, with the login `me:pw`.
    Http,
    /// The same with no answer but this status line.
    HttpRefusing(&'static str),
    /// SOCKS5 with the login `me:pw`.
    Socks,
    /// SOCKS5 that takes no login.
    SocksOpen,
    /// SOCKS5 that refuses each connection.
    SocksRefusing,
    /// Anything else.
    Saying(&'static [u8]),
    /// Accepts and is silent.
    Silent,
}

/// A proxy behind which every name is one server.
struct Proxy {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<String>,
    _task: JoinSet<()>,
}

impl Proxy {
    async fn start(manner: Manner, server: SocketAddr, tls: Option<TlsAcceptor>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (ask, tls) = (ask.clone(), tls.clone());
                serving.spawn(async move {
                    // A client that goes away ends it.
                    let _ = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(manner, stream, server, ask).await,
                            Err(error) => Err(error),
                        },
                        None => serve(manner, stream, server, ask).await,
                    };
                });
            }
        });
        Proxy {
            address,
            asked,
            _task: task,
        }
    }

    fn asked(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }
}

async fn serve(
    manner: Manner,
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    server: SocketAddr,
    ask: mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    match manner {
        Manner::Http | Manner::HttpRefusing(_) => {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            ask.send(head.clone()).unwrap();
            let answer = match manner {
                Manner::HttpRefusing(status) => format!("{status}\r\n\r\n"),
                _ if !head.contains("roxy-authorization: Basic bWU6cHc=") && !head.contains("Basic bWU6cHc=") => {
                    "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_owned()
                }
                _ if !head.starts_with("CONNECT ") => {
                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nforwarded".to_owned()
                }
                _ => return lead_on(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n", stream, server).await,
            };
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        }
        Manner::Socks | Manner::SocksOpen | Manner::SocksRefusing => socks(manner, stream, server, ask).await,
        Manner::Saying(bytes) => stream.write_all(bytes).await,
        Manner::Silent => std::future::pending().await,
    }
}

async fn socks(
    manner: Manner,
    mut stream: BufReader<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
    server: SocketAddr,
    ask: mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let count = {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        head[1]
    };
    let mut methods = vec![0; usize::from(count)];
    stream.read_exact(&mut methods).await?;
    let method = if manner == Manner::Socks { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff]).await?;
        return stream.shutdown().await;
    }
    stream.write_all(&[5, method]).await?;
    if method == 2 {
        let mut login = [0; 7];
        stream.read_exact(&mut login).await?;
        let is_known = login == *b"\x01\x02me\x02pw";
        stream.write_all(&[1, u8::from(!is_known)]).await?;
        if !is_known {
            return stream.shutdown().await;
        }
    }
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let mut rest = vec![0; usize::from(head[4]) + 2];
    stream.read_exact(&mut rest).await?;
    let (name, port) = rest.split_at(rest.len() - 2);
    let port = u16::from_be_bytes([port[0], port[1]]);
    ask.send(format!("{}:{port}", String::from_utf8_lossy(name))).unwrap();
    if manner == Manner::SocksRefusing {
        stream.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        return stream.shutdown().await;
    }
    lead_on(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1], stream, server).await
}

/// Leads on to the server; what it says first comes in one piece with the proxy's own answer.
async fn lead_on(
    answer: &[u8],
    mut client: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    server: SocketAddr,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(server).await?;
    let mut first = answer.to_vec();
    let mut greeting = [0; GREETING.len()];
    // A server that speaks TLS waits to be spoken to.
    if let Ok(read) = tokio::time::timeout(Duration::from_millis(200), far.read_exact(&mut greeting)).await {
        read?;
        first.extend_from_slice(&greeting);
    }
    client.write_all(&first).await?;
    tokio::io::copy_bidirectional(&mut client, &mut far).await?;
    Ok(())
}

/// A server that greets and then echoes, and its task.
async fn greeter() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = write.write_all(GREETING).await;
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    (address, task)
}

/// A server that speaks TLS as `target.test` and answers one HTTP request on each connection.
async fn encrypted() -> (SocketAddr, TlsAcceptor, CertificateDer<'static>, JoinSet<()>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["target.test".to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()])
            .unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    let tls = acceptor.clone();
    task.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = tls.accept(stream).await else {
                continue;
            };
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.is_ok_and(|count| count > 0) {}
            let body = head.lines().next().unwrap_or_default();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, acceptor, cert.der().clone(), task)
}

fn network(variables: &[(&str, &str)]) -> Network {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Network::new(&owned.collect()).within(Duration::from_secs(20))
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

async fn get(network: Network, url: &str) -> Result<String, String> {
    let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
    let answer = HttpClient::new(network).request(request).await;
    let answer = answer.map_err(|error| chain(&error).split_once(": ").unwrap().1.to_owned())?;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn nothing_is_lost_of_what_a_server_says_with_the_proxys_answer() {
    let (server, _task) = greeter().await;
    for (manner, scheme, asked) in [
        (Manner::Http, "http", "CONNECT target.test:22 HTTP/1.1"),
        (Manner::Socks, "socks5", "target.test:22"),
        (Manner::SocksOpen, "socks5h", "target.test:22"),
    ] {
        let mut proxy = Proxy::start(manner, server, None).await;
        let variable = format!("{scheme}://me:pw@{}", proxy.address);
        let network = network(&[("ALL_PROXY", &variable)]);
        let mut stream = network.stream(&uri("http://target.test:22/")).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut heard = vec![0; GREETING.len() + 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [GREETING, b"hello"].concat());
        assert_eq!(proxy.asked()[0].lines().next(), Some(asked));
    }
}

#[tokio::test]
async fn what_a_proxy_refuses_is_named_with_host_port_and_proxy() {
    let (server, _task) = greeter().await;
    for (manner, login, wanted, help) in [
        (Manner::Http, "", "the proxy requires credentials", "USER:PASSWORD@"),
        (
            Manner::Http,
            "me:no@",
            "the proxy does not accept the credentials",
            "USER:PASSWORD@",
        ),
        (
            Manner::HttpRefusing("HTTP/1.1 403 Forbidden"),
            "me:pw@",
            "the proxy answered `HTTP/1.1 403 Forbidden`",
            "may connect to target.test:22",
        ),
        (
            Manner::Saying(b"220 mail\r\n\r\n"),
            "",
            "the proxy does not support HTTP",
            "may connect",
        ),
        (
            Manner::Saying(b""),
            "",
            "connection to the proxy was lost: ",
            "may connect",
        ),
    ] {
        let proxy = Proxy::start(manner, server, None).await;
        refused(&format!("http://{login}{}", proxy.address), &proxy, wanted, help).await;
    }
    for (manner, login, wanted, help) in [
        (Manner::Socks, "", "the proxy requires credentials", "USER:PASSWORD@"),
        (
            Manner::Socks,
            "me:no@",
            "the proxy does not accept the credentials",
            "USER:PASSWORD@",
        ),
        (
            Manner::SocksRefusing,
            "",
            "the proxy answered: connection not allowed",
            "may connect",
        ),
        (
            Manner::Saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "",
            "the proxy does not support SOCKS5",
            "may connect",
        ),
        (
            Manner::Saying(b""),
            "",
            "connection to the proxy was lost: ",
            "may connect",
        ),
    ] {
        let proxy = Proxy::start(manner, server, None).await;
        refused(&format!("socks5://{login}{}", proxy.address), &proxy, wanted, help).await;
    }
}

async fn refused(variable: &str, proxy: &Proxy, wanted: &str, help: &str) {
    let network = network(&[("all_proxy", variable)]);
    let error = network.stream(&uri("http://target.test:22/")).await.err().unwrap();
    let text = chain(&error);
    let expected = format!(
        "connection to target.test:22 through proxy {} (all_proxy) failed: {wanted}",
        proxy.address
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(error.help().contains(help), "{}", error.help());
    let passed_on = std::io::Error::from(error);
    assert_eq!(DialError::among(&passed_on).unwrap().port, 22);
}

#[tokio::test]
async fn a_proxy_that_is_silent_or_not_there_is_named() {
    let (server, _task) = greeter().await;
    let proxy = Proxy::start(Manner::Silent, server, None).await;
    let variable = format!("http://{}", proxy.address);
    let silent = network(&[("HTTP_PROXY", &variable)]).within(Duration::from_millis(300));
    let error = silent.stream(&uri("ws://target.test/")).await.err().unwrap();
    assert!(matches!(error.cause, Cause::Timeout(_)));
    assert_eq!(
        chain(&error),
        format!(
            "connection to target.test:80 through proxy {} (HTTP_PROXY) failed: no answer within 0.3 s",
            proxy.address
        )
    );

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let absent = network(&[("HTTPS_PROXY", &format!("http://{free}"))]);
    let error = absent.stream(&uri("wss://target.test/")).await.err().unwrap();
    assert_eq!(
        chain(&error),
        format!(
            "connection to target.test:443 through proxy {free} (HTTPS_PROXY) failed: connection to {free} failed: Connection refused \
             (os error 111)"
        )
    );
    assert!(error.help().contains("HTTPS_PROXY"), "{}", error.help());
}

#[tokio::test]
async fn a_host_that_is_not_reached_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = get(network(&[]), &format!("http://localhost:{}/", free.port()))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        format!(
            "connection to localhost:{} failed: Connection refused (os error 111)",
            free.port()
        )
    );
    let error = network(&[])
        .stream(&uri("https://no-such-host.invalid/"))
        .await
        .err()
        .unwrap();
    assert!(!error.is_final() && error.help().contains("DNS"), "{error}");
    let text = chain(&error);
    assert!(
        text.starts_with(
            "connection to no-such-host.invalid:443 failed: failed to look up the address of `no-such-host.invalid`: "
        ),
        "{text}"
    );
    let error = network(&[]).stream(&uri("ftp://h.test/")).await.err().unwrap();
    assert!(error.is_final() && matches!(error.cause, Cause::Url(_)), "{error}");
}

#[tokio::test]
async fn tls_goes_through_proxies_and_trusts_whom_it_shall() {
    let (server, acceptor, certificate, _task) = encrypted().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("roots.pem");
    let pem = base64::engine::general_purpose::STANDARD.encode(&certificate);
    std::fs::write(
        &file,
        format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"),
    )
    .unwrap();
    let file = file.display().to_string();
    for (tls, manner, scheme) in [
        (None, Manner::Http, "http"),
        (None, Manner::Socks, "socks5"),
        (Some(acceptor), Manner::Http, "https"),
    ] {
        let proxy = Proxy::start(manner, server, tls).await;
        let url = format!("{scheme}://me:pw@{}", proxy.address);
        let trusting = network(&[("HTTPS_PROXY", &url), ("SSL_CERT_FILE", &file)]);
        let found = get(trusting, "https://target.test/a?b").await;
        assert_eq!(found.as_deref(), Ok("GET /a?b HTTP/1.1"), "{scheme}");
        for trust in [Trust::Only(vec![certificate.clone()]), Trust::Everyone] {
            let trusting = network(&[("HTTPS_PROXY", &url)]).trusting(trust);
            get(trusting, "https://target.test/").await.unwrap();
        }
        let network = network(&[("HTTPS_PROXY", &url)]);
        let error = network.stream(&uri("https://target.test/")).await.err().unwrap();
        let text = chain(&error);
        assert!(
            text.contains("through proxy") && text.contains("TLS handshake failed: invalid peer certificate"),
            "{text}"
        );
        if scheme != "https" {
            assert!(error.help().contains("SSL_CERT_FILE"), "{}", error.help());
        }
    }
}

#[tokio::test]
async fn certificates_that_the_environment_names_must_be_there() {
    let (server, _, _, _task) = encrypted().await;
    let network = network(&[("SSL_CERT_FILE", "/nowhere/roots.pem")]);
    let url = format!("https://localhost:{}/", server.port());
    let error = network.stream(&uri(&url)).await.err().unwrap();
    let text = chain(&error);
    assert!(
        error.is_final() && text.contains("failed to load the certificates that `SSL_CERT_FILE` names: "),
        "{text}"
    );
    assert!(text.contains("/nowhere/roots.pem"), "{text}");
}

#[tokio::test]
async fn plain_requests_are_forwarded_and_this_machine_is_asked_itself() {
    let (server, _task) = greeter().await;
    let mut proxy = Proxy::start(Manner::Http, server, None).await;
    let variable = format!("http://me:pw@{}", proxy.address);
    let found = get(network(&[("HTTP_PROXY", &variable)]), "http://target.test:8080/a?b").await;
    assert_eq!(found.as_deref(), Ok("forwarded"));
    let asked = proxy.asked().remove(0);
    assert!(
        asked.starts_with("GET http://target.test:8080/a?b HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("\r\nproxy-authorization: Basic bWU6cHc=\r\n"), "{asked}");

    let direct = network(&[("HTTP_PROXY", &variable), ("NO_PROXY", "nowhere.test")]);
    let mut stream = direct
        .stream(&uri(&format!("http://127.0.0.1:{}/", server.port())))
        .await
        .unwrap();
    let mut greeting = vec![0; GREETING.len()];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!((greeting, proxy.asked()), (GREETING.to_vec(), Vec::new()));

    let network = network(&[("HTTP_PROXY", &variable)]).direct();
    let error = network.stream(&uri("http://target.test/")).await.err().unwrap();
    assert!(
        error.proxy.is_none() && matches!(error.cause, Cause::Lookup { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_host_that_no_proxy_can_be_asked_for_is_an_error() {
    let open = || Box::pin(async { Ok(tokio::io::empty()) }) as bakelite_net::handshake::Opening<'static, _, Refusal>;
    let speech = bakelite_net::handshake::Speech::Connect(None);
    let refused = bakelite_net::handshake::through(&speech, "a b", 1, open).await;
    assert!(matches!(refused, Err(Refusal::Host(host)) if host == "a b"));
}
