//! How fast 100 MiB go through a session, beside plain TCP in the same run: medians of five, the contestants taking turns.
//!
//! `cargo bench -p bakelite-ssm`. Client, agent and the server behind the port are three tasks of one process, connected by real
//! websockets; exits with 1 below 20 MB/s.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bakelite_ssm::agent::{Agent, Connect, read_opening};
use bakelite_ssm::handshake::Asking;
use bakelite_ssm::session::{Resume, ResumeError, Session, Start};
use bakelite_ssm::socket::{Network, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const SIZE: usize = 100 << 20;
const ROUNDS: usize = 5;

/// Megabytes (of 1,000,000 bytes) per second.
const WANTED: f64 = 20.0;

struct Port(SocketAddr);

#[async_trait]
impl Connect for Port {
    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.0).await
    }
}

struct Never;

#[async_trait]
impl Resume for Never {
    async fn resume(&self, _session: &str) -> Result<String, ResumeError> {
        Err(ResumeError::Gone)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut tasks = JoinSet::new();
    let sink = sink(&mut tasks).await;
    let session = session(sink, &mut tasks).await;
    let (mut through_session, mut by_tcp) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        through_session.push(upload(session.stream().await.unwrap().stream).await);
        by_tcp.push(upload(TcpStream::connect(sink).await.unwrap()).await);
    }
    let (session_rate, tcp_rate) = (median(through_session), median(by_tcp));
    println!("through a session  {session_rate:8.1} MB/s");
    println!("by TCP             {tcp_rate:8.1} MB/s");
    if session_rate < WANTED {
        println!("a session should reach {WANTED} MB/s");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A server that counts 100 MiB and then says one byte.
async fn sink(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 256 * 1024];
            let mut left = SIZE;
            while left > 0 {
                left -= stream.read(&mut bytes).await.unwrap();
            }
            stream.write_all(b".").await.unwrap();
        }
    });
    address
}

async fn session(port: SocketAddr, tasks: &mut JoinSet<()>) -> Session {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let wire: Box<dyn Wire> = Box::new(stream);
        let mut socket = tokio_tungstenite::accept_async(wire).await.unwrap();
        read_opening(&mut socket).await.unwrap();
        let (sender, sockets) = mpsc::channel(1);
        sender.send(socket).await.unwrap();
        let properties = [("type".to_owned(), "LocalPortForwarding".to_owned())];
        let agent = Agent {
            session: "me-0",
            asking: Asking {
                agent_version: "3.3.1957.0".into(),
                properties: BTreeMap::from(properties),
                kms_key: None,
            },
            connect: &Port(port),
        };
        agent.serve(sockets, std::future::pending()).await;
    });
    let start = Start {
        session: "me-0".into(),
        stream_url: format!("ws://{address}/"),
        token: "token".into(),
    };
    let network = Arc::new(Network::new(&BTreeMap::new()));
    Session::open(&start, network, Arc::new(Never)).await.unwrap()
}

async fn upload(mut stream: impl AsyncWrite + tokio::io::AsyncRead + Unpin) -> f64 {
    let bytes = vec![7; 64 * 1024];
    let started = Instant::now();
    for _ in 0..SIZE / bytes.len() {
        stream.write_all(&bytes).await.unwrap();
    }
    stream.flush().await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "100 MiB are exact")]
    let megabytes = SIZE as f64 / 1e6;
    megabytes / started.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
