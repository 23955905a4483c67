//! A WS-Man server for tests: what WinRM serves of MS-WSMV, over HTTP or TLS, with Basic authentication or NTLM. There is no Windows
//! behind it: commands are run by a [`Machine`] that the test gives. `tests/wsman.rs` shows that `pywinrm`, which we did not write,
//! can use it.

mod host;
mod machine;
mod ntlm;
mod service;
mod shells;
mod soap;
mod windows;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use hyper::StatusCode;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use host::{Host, Played, Script};
pub use machine::{Machine, Pipe, Process, Stdin, encoded_command};
use service::Connection;
use shells::Shells;
pub use soap::Fault;
pub use windows::{Disk, Windows};

/// How a test wants its server.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of the service")]
pub struct Setup {
    /// Who may log in.
    pub username: &'static str,
    /// With which password.
    pub password: &'static str,
    /// Basic authentication is offered.
    pub basic: bool,
    /// NTLM is offered, as `Negotiate`.
    pub ntlm: bool,
    /// Messages that are not encrypted by NTLM are refused, as Windows does by its own settings on plain HTTP.
    pub encrypted_only: bool,
    /// TLS, with a certificate for `127.0.0.1` and `localhost` that nobody trusts.
    pub tls: bool,
    /// Longest time that an operation waits, whatever it asks for.
    pub longest_wait: Duration,
    /// How many shells there may be at a time.
    pub shells: usize,
    /// The most that the service takes in one request, in bytes.
    pub largest_request: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            username: "Administrator",
            password: "correct horse",
            basic: true,
            ntlm: true,
            encrypted_only: false,
            tls: false,
            longest_wait: Duration::from_mins(1),
            shells: 30,
            // Windows' own limit since 2012.
            largest_request: 500 * 1024,
        }
    }
}

/// A running server; it ends with the value.
pub struct WsMan {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate of a server with TLS, as PEM.
    pub certificate: Option<String>,
    /// The switch of the machine.
    pub power: Power,
    world: Arc<World>,
    /// Ends with the value.
    _accepting: JoinSet<()>,
}

/// What goes wrong once.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// The connection is closed and nothing is done.
    HangUp,
    /// The connection is closed after what was asked was done.
    HangUpAfter,
    /// An answer that is no SOAP.
    Status(StatusCode, &'static str),
    /// A fault.
    Fault(Fault),
}

/// Turns a machine off and on. Whatever runs there holds it too, so that a command can restart its machine.
#[derive(Clone)]
pub struct Power {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    is_on: bool,
    times_off: usize,
    refused: usize,
}

impl Power {
    fn new() -> Self {
        let state = State {
            is_on: true,
            times_off: 0,
            refused: 0,
        };
        Self {
            state: Arc::new(watch::Sender::new(state)),
        }
    }

    /// All connections break, shells and what runs in them are gone, new connections are closed at once.
    pub fn off(&self) {
        self.state.send_modify(|state| {
            state.is_on = false;
            state.times_off += 1;
        });
    }

    /// Connections are served again.
    pub fn on(&self) {
        self.state.send_modify(|state| state.is_on = true);
    }

    /// Is it on?
    pub fn is_on(&self) -> bool {
        self.state.borrow().is_on
    }

    /// How many connections were closed at once because it was off.
    pub fn refused(&self) -> usize {
        self.state.borrow().refused
    }

    /// How often it was turned off.
    pub fn times_off(&self) -> usize {
        self.state.borrow().times_off
    }
}

/// What connections share.
struct World {
    basic: bool,
    ntlm: bool,
    encrypted_only: bool,
    longest_wait: Duration,
    largest_request: usize,
    credentials: Mutex<(String, String)>,
    shells: Shells,
    power: Power,
    log: Mutex<Vec<String>>,
    options: Mutex<BTreeMap<String, String>>,
    /// By operation, in order.
    troubles: Mutex<Vec<(&'static str, Trouble)>>,
    accepted: Mutex<usize>,
}

impl WsMan {
    /// Starts a server whose commands are run by `machine`.
    pub async fn start(setup: Setup, machine: impl Machine) -> WsMan {
        crate::backstop::watch();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let power = Power::new();
        let tls = setup.tls.then(make_certificate);
        let world = Arc::new(World {
            basic: setup.basic,
            ntlm: setup.ntlm,
            encrypted_only: setup.encrypted_only,
            longest_wait: setup.longest_wait,
            largest_request: setup.largest_request,
            credentials: Mutex::new((setup.username.to_owned(), setup.password.to_owned())),
            shells: Shells::new(Arc::new(machine), setup.shells),
            power: power.clone(),
            log: Mutex::default(),
            options: Mutex::default(),
            troubles: Mutex::default(),
            accepted: Mutex::default(),
        });
        let (certificate, acceptor) = tls.unzip();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, Arc::clone(&world)));
        WsMan {
            address,
            certificate,
            power,
            world,
            _accepting: accepting,
        }
    }

    /// What was asked so far, by name: `Create`, `Command`, `Receive`, `Send`, `Signal`, `Delete`; also `Unauthorized`,
    /// `Refused: …` for logins of NTLM and `Invalid` for what is no request.
    pub fn log(&self) -> Vec<String> {
        self.world.log.lock().unwrap().clone()
    }

    /// How often that was asked.
    pub fn count(&self, name: &str) -> usize {
        self.log().iter().filter(|entry| *entry == name).count()
    }

    /// Shells that are open.
    pub fn open_shells(&self) -> usize {
        self.world.shells.count()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        *self.world.accepted.lock().unwrap()
    }

    /// An option that some request has set, as it was set last.
    pub fn option(&self, name: &str) -> Option<String> {
        self.world.options.lock().unwrap().get(name).cloned()
    }

    /// Lets the next request of an operation (`Receive`, …) go wrong; ordered twice, the two next ones.
    pub fn trouble(&self, operation: &'static str, trouble: Trouble) {
        self.world.troubles.lock().unwrap().push((operation, trouble));
    }

    /// Changes the password, as a machine does in the middle of its first start.
    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut self.world.credentials.lock().unwrap().1);
    }
}

impl World {
    fn note(&self, entry: &str) {
        self.log.lock().unwrap().push(entry.to_owned());
    }

    fn options(&self, options: &BTreeMap<String, String>) {
        self.options.lock().unwrap().extend(options.clone());
    }

    fn credentials(&self) -> (String, String) {
        self.credentials.lock().unwrap().clone()
    }

    fn trouble(&self, operation: &str) -> Option<Trouble> {
        let mut troubles = self.troubles.lock().unwrap();
        let index = troubles.iter().position(|(name, _)| *name == operation)?;
        Some(troubles.remove(index).1)
    }
}

fn make_certificate() -> (String, TlsAcceptor) {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (pem(made.cert.der()), TlsAcceptor::from(Arc::new(config)))
}

fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = (0..encoded.len())
        .step_by(64)
        .map(|at| &encoded[at..encoded.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, world: Arc<World>) {
    let mut connections = JoinSet::new();
    let mut power = world.power.state.subscribe();
    let mut times_off = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                if world.power.is_on() {
                    *world.accepted.lock().unwrap() += 1;
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&world)));
                } else {
                    world.power.state.send_modify(|state| state.refused += 1);
                }
            }
            Ok(()) = power.changed() => {
                let state = *power.borrow_and_update();
                if state.times_off != times_off {
                    times_off = state.times_off;
                    connections.shutdown().await;
                    world.shells.clear();
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, world: Arc<World>) {
    // A request and its answer go to and fro in small packets.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, world).await,
        Some(tls) => {
            // A client that does not trust us hangs up.
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, world).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, world: Arc<World>) {
    let connection = Connection::new(world);
    let service = service_fn(|request| connection.answer(request));
    // How a client ends its connection is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
