//! Passwords and questions, which OpenSSH's server checks only against accounts of the machine: against a server of the library's.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bakelite_test_support::sshd::Setup;
use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, run_stream};
use russh::{Channel, MethodKind, MethodSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::instance::Instance;

pub(crate) const PASSWORD: &str = "correct horse";

/// Of no server that matters.
pub(crate) const HOST_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQAAACDHhD8RAIqfRXOdCgbJ0pMyqBxlMYMxEDF8stNwE+4utwAAAJDEgaV0xIGl\ndAAAAAtzc2gtZWQyNTUxOQAAACDHhD8RAIqfRXOdCgbJ0pMyqBxlMYMxEDF8stNwE+4utw\nAAAEDnMG2mRrk6f/oDZpxelHEr4Y3sVj/Vbq6Cg2IM6MnYwMeEPxEAip9Fc50KBsnSkzKo\nHGUxgzEQMXyy03AT7i63AAAADWJha2VsaXRlLXRlc3Q=\n-----END OPENSSH PRIVATE KEY-----";

/// Lets in who knows the password and says it in the one way that is accepted; leads on to where it is asked to.
struct Door {
    by: MethodKind,
}

/// A server of doors; it ends with the value.
pub(crate) struct Doors {
    pub(crate) port: u16,
    _serving: JoinSet<()>,
}

impl Doors {
    /// Doors that take the password in this way.
    pub(crate) async fn open(by: MethodKind) -> Doors {
        let config = Arc::new(Config {
            keys: vec![PrivateKey::from_openssh(HOST_KEY).unwrap()],
            methods: MethodSet::from(&[by][..]),
            auth_rejection_time: Duration::ZERO,
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&config);
                sessions.spawn(async move {
                    if let Ok(session) = run_stream(config, stream, Door { by }).await {
                        // It ends when the client goes.
                        let _ = session.await;
                    }
                });
            }
        });
        Doors {
            port,
            _serving: serving,
        }
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        let mut far = TcpStream::connect((host, u16::try_from(port).unwrap())).await?;
        reply.accept().await;
        #[expect(clippy::disallowed_methods, reason = "the stream ends with its session")]
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut far).await });
        Ok(())
    }

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, russh::Error> {
        let right = self.by == MethodKind::Password && password == PASSWORD;
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(answers) = response else {
            let prompts = Cow::Borrowed(&[(Cow::Borrowed("Password: "), false), (Cow::Borrowed("Again: "), false)][..]);
            return Ok(Auth::Partial {
                name: "login".into(),
                instructions: "".into(),
                prompts,
            });
        };
        let answers: Vec<Vec<u8>> = answers.map(|answer| answer.to_vec()).collect();
        let right = answers == [PASSWORD.as_bytes(), PASSWORD.as_bytes()];
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }
}

/// Tries a password on a server that takes it in this way; answers the error.
async fn log_in(by: MethodKind, password: &str) -> Option<String> {
    let instance = Instance::start(Setup::default()).await;
    let doors = Doors::open(by).await;
    let json = serde_json::json!({
        "ssh_username": "u", "ssh_password": password, "ssh_port": doors.port, "ssh_handshake_attempts": 1,
    });
    let connected = instance
        .try_connect(&Instance::target(), &serde_json::from_value(json).unwrap())
        .await;
    connected.err().map(|error| bakelite_engine::chain_of(&error))
}

#[tokio::test]
async fn a_password_logs_in() {
    assert_eq!(log_in(MethodKind::Password, PASSWORD).await, None);
}

#[tokio::test]
async fn a_password_answers_every_question() {
    assert_eq!(log_in(MethodKind::KeyboardInteractive, PASSWORD).await, None);
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_tell_it() {
    for by in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let error = log_in(by, "wrong one").await.unwrap();
        assert!(error.contains("login as `u` is refused; tried password"), "{error}");
        assert!(!error.contains("wrong one"), "{error}");
    }
}
