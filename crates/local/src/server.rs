//! The endpoint's connections: HTTP on loopback, where every user of this machine can connect. So nothing that a connection can do
//! without being known takes more than a bounded time and a bounded part of this process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connection_slots::{ConnectionSlots, Slot};

/// The most connections, and the part of this process's file descriptors that they may take at most: instances need some, too.
const MOST_CONNECTIONS: usize = 256;
const PART_OF_FILES: u64 = 4;
/// The most headers of a request; the SDKs send some 15.
const MOST_HEADERS: usize = 64;
/// Longest head of a request in bytes, with all parameters of a GET.
const LONGEST_HEAD: usize = 64 << 10;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most connections.
    pub(crate) connections: usize,
    /// How long a head may take, counted from the end of the request before: so this is how long a connection may idle, too.
    pub(crate) head: Duration,
}

impl Limits {
    /// Those of this process.
    pub(crate) fn of_process() -> Limits {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / PART_OF_FILES;
        Limits {
            connections: usize::try_from(files)
                .unwrap_or(MOST_CONNECTIONS)
                .clamp(8, MOST_CONNECTIONS),
            head: Duration::from_secs(30),
        }
    }
}

/// Answers requests until the cloud shuts down; then those under way are finished.
pub(crate) async fn serve<A>(
    listener: TcpListener,
    limits: Limits,
    closing: CancellationToken,
    answer: impl Fn(Request<Incoming>, Slot) -> A + Clone + Send + 'static,
) where
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut slots = ConnectionSlots::new(limits.connections);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => if let Some(slot) = slots.acquire() {
                    connections.spawn(serve_connection(stream, slot, limits, closing.clone(), answer.clone()));
                },
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    slots.await_room(&mut connections).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = closing.cancelled() => break,
        }
    }
    drop(listener);
    while slots.make_room() {}
    while connections.join_next().await.is_some() {}
}

async fn serve_connection<A>(
    stream: TcpStream,
    slot: Slot,
    limits: Limits,
    closing: CancellationToken,
    answer: impl Fn(Request<Incoming>, Slot) -> A,
) where
    A: Future<Output = Response<Full<Bytes>>>,
{
    let _ = stream.set_nodelay(true);
    let its_slot = slot.clone();
    let service = service_fn(move |request| {
        let answering = answer(request, its_slot.clone());
        async { Ok::<_, Infallible>(answering.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = slot.evicted() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = slot.evicted() => {}
    }
}

/// Whether a request is for the address that is served. A page of a web site whose name resolves to this address sends the site's name.
pub(crate) fn is_for<B>(request: &Request<B>, address: SocketAddr) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return false;
    };
    let authority = request.uri().authority().map_or(host, |authority| authority.as_str());
    names(host, address) && names(authority, address)
}

fn names(host: &str, address: SocketAddr) -> bool {
    let bare = match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let is_usual = ["127.0.0.1", "[::1]"].contains(&bare.as_str());
    let is_port = |port: &str| port == address.port().to_string();
    // A client leaves out the port that is HTTP's own.
    let (name, is_right_port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, is_port(port)),
        _ => (host, is_port("80")),
    };
    is_right_port && (name == bare || (is_usual && name.eq_ignore_ascii_case("localhost")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SHORT: Limits = Limits {
        connections: 4,
        head: Duration::from_millis(50),
    };
    const LONG: Limits = Limits {
        head: Duration::from_hours(1),
        ..SHORT
    };

    /// A server that knows those who ask for `/known`.
    async fn started(limits: Limits, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = |request: Request<Incoming>, slot: Slot| async move {
            if request.uri().path() == "/known" {
                slot.authenticated();
            }
            Response::new(Full::from("hello"))
        };
        tasks.spawn(serve(listener, limits, CancellationToken::new(), answer));
        address
    }

    async fn sent(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn is_answered(address: SocketAddr) -> bool {
        let mut stream = sent(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello")
    }

    /// Reads to the end, which comes when the server closes; being cut off is an end, too.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn heads_that_do_not_end_and_idle_connections_are_closed() {
        let mut tasks = JoinSet::new();
        let address = started(SHORT, &mut tasks).await;
        for start in ["", "GET", "POST / HTTP/1.1\r\nHost: x\r\n"] {
            assert!(!rest(sent(address, start).await).await.contains("hello"), "{start}");
        }
        let idle = sent(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(rest(idle).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn whoever_holds_connections_keeps_nobody_out() {
        let mut tasks = JoinSet::new();
        let address = started(LONG, &mut tasks).await;
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(sent(address, "POST / HTTP/1.1\r\nHost: x\r\n").await);
        }
        assert!(is_answered(address).await);
        assert_eq!(rest(held.remove(0)).await, "");
    }

    #[tokio::test]
    async fn whoever_is_known_stays() {
        let mut tasks = JoinSet::new();
        let address = started(LONG, &mut tasks).await;
        let mut known = sent(address, "GET /known HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut start = [0; 15];
        known.read_exact(&mut start).await.unwrap();
        for _ in 0..40 {
            assert!(is_answered(address).await);
        }
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(sent(address, "POST ").await);
        }
        known
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(rest(known).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn long_heads_and_many_headers_are_refused() {
        let mut tasks = JoinSet::new();
        let address = started(LONG, &mut tasks).await;
        let many = "A: b\r\n".repeat(MOST_HEADERS);
        let long = format!("A: {}\r\n", "b".repeat(4 * LONGEST_HEAD));
        for headers in [many, long] {
            let stream = TcpStream::connect(address).await.unwrap();
            let (mut reading, mut writing) = stream.into_split();
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
            // It may be closed before all is sent.
            let write = async { drop(writing.write_all(request.as_bytes()).await) };
            let mut answer = Vec::new();
            let read = async { drop(reading.read_to_end(&mut answer).await) };
            tokio::join!(write, read);
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
        assert!(is_answered(address).await);
    }

    #[tokio::test]
    async fn half_requests_do_not_hold_up_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let answer = |_, _| async { Response::new(Full::from("hello")) };
        let serving = serve(listener, LONG, closing.clone(), answer);
        let held = async {
            let stream = sent(address, "POST / HTTP/1.1\r\n").await;
            assert!(is_answered(address).await);
            closing.cancel();
            rest(stream).await
        };
        let ((), held) = tokio::join!(serving, held);
        assert_eq!(held, "");
    }

    #[test]
    fn only_the_served_address_is_a_host() {
        let address: SocketAddr = "127.0.0.1:4599".parse().unwrap();
        for host in ["127.0.0.1:4599", "localhost:4599", "LocalHost:4599"] {
            assert!(names(host, address), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost",
            "attacker.example:4599",
            "127.0.0.1:4599@attacker.example:4599",
            "localhost.attacker.example:4599",
            "[::1]:4599",
            "127.0.0.2:4599",
            "0x7f.1:4599",
        ] {
            assert!(!names(host, address), "{host}");
        }
        assert!(names("[::1]:4599", "[::1]:4599".parse().unwrap()));
        assert!(names("localhost:4599", "[::1]:4599".parse().unwrap()));
        assert!(!names("[::1]", "[::1]:4599".parse().unwrap()));
        assert!(names("127.0.0.1", "127.0.0.1:80".parse().unwrap()));
        assert!(!names("localhost:4599", "127.0.0.9:4599".parse().unwrap()));
    }

    #[test]
    fn a_host_that_is_said_twice_or_in_another_place_is_none() {
        let address: SocketAddr = "127.0.0.1:4599".parse().unwrap();
        let request = |uri: &str, hosts: &[&str]| {
            let mut request = Request::get(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            is_for(&request.body(()).unwrap(), address)
        };
        assert!(request("/", &["127.0.0.1:4599"]));
        assert!(request("http://localhost:4599/", &["localhost:4599"]));
        assert!(!request("/", &[]));
        assert!(!request("/", &["127.0.0.1:4599", "127.0.0.1:4599"]));
        assert!(!request("http://attacker.example:4599/", &["127.0.0.1:4599"]));
        assert!(!request("http://127.0.0.1:4599/", &["attacker.example:4599"]));
    }
}
