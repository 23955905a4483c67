//! Through proxies: SOCKS5 as OpenSSH's client serves it, SOCKS5 with a login and HTTP CONNECT as RFC 1929 and RFC 9110 have them.

use std::net::SocketAddr;
use std::process::Stdio;

use bakelite_engine::communicator::Exit;
use bakelite_test_support::sshd::{Setup, Sshd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::instance::{Instance, ran};

#[tokio::test]
async fn socks_as_openssh_serves_it_leads_to_the_instance() {
    let instance = Instance::start(Setup::default()).await;
    let host = Sshd::start(Setup::default()).await;
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut proxy = tokio::process::Command::new("ssh")
        .args([
            "-N",
            "-D",
            &format!("127.0.0.1:{port}"),
            "-p",
            &host.address.port().to_string(),
            "-i",
        ])
        .arg(&host.key_file)
        .args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-F",
            "none",
        ])
        .arg(format!("{}@127.0.0.1", host.username))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Names are resolved by the proxy: `localhost` is one. Until the proxy is up it is waited for.
    let options = instance.options(&format!(
        r#""ssh_host": "localhost", "ssh_proxy_host": "127.0.0.1", "ssh_proxy_port": {port}"#
    ));
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "exit 6").await.exit, Exit::Status(6));
    proxy.kill().await.unwrap();
}

/// A proxy that wants `me` and `secret`; it ends with the value.
struct Guarded {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Guarded {
    async fn start(http: bool) -> Guarded {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                lines.spawn(async move {
                    let served = if http {
                        serve_http(stream).await
                    } else {
                        serve_socks(stream).await
                    };
                    // A client that is refused goes.
                    let _ = served;
                });
            }
        });
        Guarded {
            address,
            _serving: serving,
        }
    }
}

async fn serve_socks(mut near: TcpStream) -> std::io::Result<()> {
    let mut hello = vec![0; 2];
    near.read_exact(&mut hello).await?;
    let mut methods = vec![0; usize::from(hello[1])];
    near.read_exact(&mut methods).await?;
    if !methods.contains(&2) {
        return near.write_all(&[5, 0xff]).await;
    }
    near.write_all(&[5, 2]).await?;
    let mut texts = Vec::new();
    assert_eq!(near.read_u8().await?, 1);
    for _ in 0..2 {
        let mut text = vec![0; usize::from(near.read_u8().await?)];
        near.read_exact(&mut text).await?;
        texts.push(text);
    }
    if texts != [b"me".to_vec(), b"secret".to_vec()] {
        return near.write_all(&[1, 1]).await;
    }
    near.write_all(&[1, 0]).await?;
    let mut request = [0; 10];
    near.read_exact(&mut request).await?;
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else {
        panic!("{request:?}")
    };
    let target = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
    let Ok(mut far) = TcpStream::connect(target).await else {
        return near.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    };
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

async fn serve_http(mut near: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(near.read_u8().await?);
    }
    let request = String::from_utf8(request).unwrap();
    // `me:secret`
    if !request.contains("\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n") {
        return near
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            .await;
    }
    let target = request.split(' ').nth(1).unwrap().to_owned();
    let Ok(mut far) = TcpStream::connect(target).await else {
        return near.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    };
    near.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        .await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

/// The options of a proxy of this kind with this password.
fn options(proxy: &Guarded, kind: &str, password: &str) -> String {
    let port = proxy.address.port();
    format!(
        r#""ssh_proxy_host": "127.0.0.1", "ssh_proxy_port": {port}, "ssh_proxy_type": "{kind}", "ssh_proxy_username": "me",
            "ssh_proxy_password": "{password}", "ssh_timeout": "3s""#
    )
}

#[tokio::test]
async fn proxies_with_a_login_lead_to_the_instance() {
    for (kind, http) in [("socks5", false), ("http", true)] {
        let instance = Instance::start(Setup::default()).await;
        let proxy = Guarded::start(http).await;
        let mut options = instance.options(&options(&proxy, kind, "secret"));
        options.ssh_timeout = None;
        let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
        assert_eq!(ran(&*ssh, "exit 6").await.exit, Exit::Status(6), "{kind}");
    }
}

#[tokio::test]
async fn what_a_proxy_refuses_is_the_cause_of_the_timeout() {
    let instance = Instance::start(Setup::default()).await;
    for (kind, http, password, closed, said) in [
        (
            "socks5",
            false,
            "wrong",
            false,
            "the proxy does not accept the credentials",
        ),
        (
            "socks5",
            false,
            "secret",
            true,
            "the proxy answered: connection refused",
        ),
        (
            "http",
            true,
            "wrong",
            false,
            "the proxy does not accept the credentials",
        ),
        (
            "http",
            true,
            "secret",
            true,
            "the proxy answered `HTTP/1.1 502 Bad Gateway`",
        ),
    ] {
        let proxy = Guarded::start(http).await;
        let mut options = instance.options(&options(&proxy, kind, password));
        if closed {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            options.ssh_port = Some(free.port());
        }
        let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
        let text = bakelite_engine::chain_of(&error);
        let wanted = format!("through proxy {} (`ssh_proxy_host`) failed: {said}", proxy.address);
        assert!(text.contains(&wanted) && !text.contains("secret"), "{kind}: {text}");
    }
}
