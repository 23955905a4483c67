//! Session Manager in small: one session, its tokens, its agent, and a port behind it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakelite_ssm::agent::{Agent, Connect, read_opening};
use bakelite_ssm::handshake::Asking;
use bakelite_ssm::session::{Resume, ResumeError, Session, SessionError, Start};
use bakelite_ssm::socket::{Network, Socket, Wire};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An agent of today.
pub(crate) const TODAY: &str = "3.3.1957.0";

/// The session's id.
pub(crate) const SESSION: &str = "me-0123456789abcdef0";

/// The service; it ends with the test.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) control: Arc<Control>,
    /// Ends the session from the agent's side.
    pub(crate) ending: CancellationToken,
    /// The agent's part is over.
    pub(crate) over: CancellationToken,
    _tasks: JoinSet<()>,
}

/// Hands out tokens and counts how often.
#[derive(Default)]
pub(crate) struct Control {
    tokens: Mutex<Vec<String>>,
    pub(crate) resumed: AtomicUsize,
    /// The session is gone.
    pub(crate) is_gone: AtomicBool,
}

impl Control {
    fn token(&self) -> String {
        let mut tokens = self.tokens.lock().unwrap();
        let token = format!("token-{}", tokens.len());
        tokens.push(token.clone());
        token
    }
}

#[async_trait]
impl Resume for Control {
    async fn resume(&self, session: &str) -> Result<String, ResumeError> {
        assert_eq!(session, SESSION);
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(ResumeError::Gone);
        }
        self.resumed.fetch_add(1, Ordering::Relaxed);
        Ok(self.token())
    }
}

/// The port of the instance.
struct Port(SocketAddr);

#[async_trait]
impl Connect for Port {
    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.0).await
    }
}

impl Service {
    /// With an agent of this version, in front of this port.
    pub(crate) async fn start(agent_version: &str, port: SocketAddr) -> Service {
        bakelite_test_support::backstop::watch();
        Self::asking(port, agent_version, None).await
    }

    pub(crate) async fn asking(port: SocketAddr, agent_version: &str, kms_key: Option<&str>) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = Arc::new(Control::default());
        let (ending, over) = (CancellationToken::new(), CancellationToken::new());
        let (sender, sockets) = mpsc::channel(4);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&control), sender));
        let properties = [("portNumber", "22"), ("type", "LocalPortForwarding")];
        let asking = Asking {
            agent_version: agent_version.into(),
            properties: BTreeMap::from(properties.map(|(name, value)| (name.into(), value.into()))),
            kms_key: kms_key.map(str::to_owned),
        };
        let (agent_ending, agent_over) = (ending.clone(), over.clone());
        tasks.spawn(async move {
            let agent = Agent {
                session: SESSION,
                asking,
                connect: &Port(port),
            };
            let ending = async {
                agent_ending.cancelled().await;
                "the instance stops".to_owned()
            };
            agent.serve(sockets, ending).await;
            agent_over.cancel();
        });
        Service {
            address,
            control,
            ending,
            over,
            _tasks: tasks,
        }
    }

    /// A session through this address, which may be a relay's.
    pub(crate) async fn session(&self, through: SocketAddr) -> Result<Session, SessionError> {
        let start = Start {
            session: SESSION.into(),
            stream_url: format!("ws://{through}/v1/data-channel/{SESSION}?role=publish_subscribe"),
            token: self.control.token(),
        };
        let network = Arc::new(Network::new(&BTreeMap::new()));
        Session::open(&start, network, Arc::clone(&self.control) as Arc<dyn Resume>).await
    }
}

/// Each token is good for one websocket.
async fn accept(listener: TcpListener, control: Arc<Control>, sockets: mpsc::Sender<Socket>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let wire: Box<dyn Wire> = Box::new(stream);
        let Ok(mut socket) = tokio_tungstenite::accept_async(wire).await else {
            continue;
        };
        let Some(opening) = read_opening(&mut socket).await else {
            continue;
        };
        let is_newest = control.tokens.lock().unwrap().last() == Some(&opening.token_value);
        if is_newest {
            let _ = sockets.send(socket).await;
        }
    }
}

/// A server that sends everything back.
pub(crate) async fn echo(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
