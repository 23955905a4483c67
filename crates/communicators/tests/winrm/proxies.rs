//! The environment's proxy on the way to WinRM.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bakelite_template::duration::GoDuration;
use bakelite_test_support::wsman::Setup;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::instance::{Instance, commands};
use crate::outcome::ran;

/// A proxy that leads everybody to one server, and remembers the first lines of requests.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Proxy {
    async fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let known = Arc::clone(&heads);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, server, Arc::clone(&known)));
            }
        });
        Proxy {
            address,
            heads,
            _serving: serving,
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    heads.lock().unwrap().push(text.clone());
    let mut behind = TcpStream::connect(server).await.unwrap();
    if text.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        behind.write_all(&head).await.unwrap();
    }
    let _ = copy_bidirectional(&mut client, &mut behind).await;
}

#[tokio::test]
async fn http_goes_through_the_proxy_of_the_environment_unless_there_shall_be_none() {
    let instance = Instance::usual().await;
    let proxy = Proxy::to(instance.server.address).await;
    let url = format!("http://me:pw@{}", proxy.address);
    let environment = [("HTTP_PROXY", url.as_str())];
    let mut options = instance.options(r#""winrm_host": "windows.example""#);
    options.winrm_port = None;
    let winrm = instance.try_connect(&options, &environment).await.unwrap();
    assert_eq!(ran(&*winrm, "echo x").await.stdout, b"x\r\n");
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("POST http://windows.example:5985/wsman HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[0].to_lowercase().contains("proxy-authorization: basic bwu6chc="),
        "{heads:?}"
    );

    options.winrm_no_proxy = true;
    options.winrm_timeout = Some(GoDuration::from_seconds(1));
    let before = proxy.heads().len();
    let error = instance.fail_to_connect(&options, &environment).await;
    assert!(
        error.contains("no connection to Administrator@windows.example:5985"),
        "{error}"
    );
    assert_eq!(proxy.heads().len(), before);
}

#[tokio::test]
async fn tls_goes_through_the_proxy_as_it_is() {
    let setup = Setup {
        tls: true,
        ..Setup::default()
    };
    let instance = Instance::start(setup, commands).await;
    let proxy = Proxy::to(instance.server.address).await;
    let url = format!("http://me:pw@{}", proxy.address);
    let environment = [("HTTPS_PROXY", url.as_str())];
    let there = r#""winrm_host": "windows.example", "winrm_use_ssl": true, "winrm_insecure": true"#;
    let mut options = instance.options(there);
    options.winrm_port = None;
    let winrm = instance.try_connect(&options, &environment).await.unwrap();
    assert_eq!(ran(&*winrm, "echo x").await.stdout, b"x\r\n");
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("CONNECT windows.example:5986 HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(heads[0].contains("Proxy-Authorization: Basic bWU6cHc="), "{heads:?}");

    let excepted = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "windows.example")];
    options.winrm_timeout = Some(GoDuration::from_seconds(1));
    let error = instance.fail_to_connect(&options, &excepted).await;
    assert!(
        error.contains("no connection to Administrator@windows.example:5986"),
        "{error}"
    );
}
