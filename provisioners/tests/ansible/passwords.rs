//! A server that lets in who knows a password and runs commands on this machine: OpenSSH's own checks only passwords of accounts.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::io::copy;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

/// A server that listens; it ends with the value.
pub(crate) struct Door {
    pub(crate) port: u16,
    logins: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Door {
    pub(crate) async fn open(password: &str) -> Door {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            methods: MethodSet::from(&[MethodKind::Password][..]),
            auth_rejection_time: Duration::ZERO,
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let logins = Arc::<AtomicUsize>::default();
        let (password, counted) = (password.to_owned(), Arc::clone(&logins));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let visitor = Visitor {
                    password: password.clone(),
                    logins: Arc::clone(&counted),
                    channel: None,
                    commands: JoinSet::new(),
                };
                let config = Arc::clone(&config);
                sessions.spawn(async move {
                    if let Ok(session) = run_stream(config, stream, visitor).await {
                        // It ends when the client goes.
                        let _ = session.await;
                    }
                });
            }
        });
        Door {
            port,
            logins,
            _serving: serving,
        }
    }

    /// How many connections were let in.
    pub(crate) fn logins(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }
}

struct Visitor {
    password: String,
    logins: Arc<AtomicUsize>,
    channel: Option<Channel<Msg>>,
    commands: JoinSet<()>,
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Self::Error> {
        if password != self.password {
            return Ok(Auth::reject());
        }
        self.logins.fetch_add(1, Ordering::SeqCst);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        let (channel, handle) = (self.channel.take().unwrap(), session.handle());
        session.channel_success(id)?;
        self.commands.spawn(async move {
            let mut shell = Command::new("sh");
            shell
                .arg("-c")
                .arg(command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            let mut child = shell.spawn().unwrap();
            let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let (mut read, write) = channel.split();
            let mut input = read.make_reader();
            let mut output = write.make_writer();
            let feed = async {
                // A command need not read its input.
                let _ = copy(&mut input, &mut stdin).await;
                drop(stdin);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = copy(&mut stdout, &mut output) => {}
                () = feed => {}
            }
            let status = child.wait().await.unwrap().code().unwrap_or(255);
            let _ = handle.exit_status_request(id, status.unsigned_abs()).await;
            let _ = handle.eof(id).await;
            let _ = handle.close(id).await;
        });
        Ok(())
    }
}
