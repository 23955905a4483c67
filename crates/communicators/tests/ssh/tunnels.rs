//! Tunnels, in both directions and over a lost connection.

use bakelite_communicators::connect::ConnectError;
use bakelite_engine::communicator::Exit;
use bakelite_test_support::eventually::{LIMIT, eventually, in_time};
use bakelite_test_support::sshd::Setup;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::instance::{Instance, ran};

/// A port that nobody listens on.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// A server that greets whoever connects; it ends with the value.
async fn greeter() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut name = vec![0; 5];
            if stream.read_exact(&mut name).await.is_ok() {
                let _ = stream.write_all(&[b"hello ", name.as_slice()].concat()).await;
            }
        }
    });
    (port, serving)
}

async fn greeted(port: u16) -> String {
    let mut stream = TcpStream::connect(("localhost", port)).await.unwrap();
    stream.write_all(b"world").await.unwrap();
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_local_port_leads_to_the_network_of_the_instance() {
    let instance = Instance::start(Setup::default()).await;
    let (far, _serving) = greeter().await;
    let near = free_port().await;
    let ssh = instance
        .connect(&format!(r#""ssh_local_tunnels": ["{near}:127.0.0.1:{far}"]"#))
        .await;
    assert_eq!(greeted(near).await, "hello world");
    instance.sshd.kill_sessions().await;
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    assert_eq!(greeted(near).await, "hello world", "over the new connection");
    drop(ssh);
    let is_closed = || std::net::TcpStream::connect(("localhost", near)).is_err();
    eventually(LIMIT, "the port is closed", is_closed).await;
}

#[tokio::test]
async fn a_port_of_the_instance_leads_to_the_network_of_this_machine() {
    let instance = Instance::start(Setup::default()).await;
    let (here, _serving) = greeter().await;
    let there = free_port().await;
    let ssh = instance
        .connect(&format!(r#""ssh_remote_tunnels": ["{there}:127.0.0.1:{here}"]"#))
        .await;
    assert_eq!(greeted(there).await, "hello world");
    instance.sshd.kill_sessions().await;
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    assert_eq!(greeted(there).await, "hello world", "over the new connection");
}

#[tokio::test]
async fn a_local_port_that_is_taken_is_an_error_at_once() {
    let instance = Instance::start(Setup::default()).await;
    let taken = TcpListener::bind("localhost:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = instance.options(&format!(r#""ssh_local_tunnels": ["{port}:127.0.0.1:1"]"#));
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    assert!(matches!(error, ConnectError::Tunnel(_)));
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains(&format!("listen on port {port} of this machine")),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_makes_no_tunnel_is_the_cause_of_the_timeout() {
    let instance = Instance::start(Setup {
        config: "AllowTcpForwarding no".into(),
        ..Setup::default()
    })
    .await;
    let options = instance.options(r#""ssh_remote_tunnels": ["9:127.0.0.1:1"], "ssh_timeout": "5s""#);
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains("open port 9 of") && text.contains("for the tunnel `9:127.0.0.1:1`"),
        "{text}"
    );
}
