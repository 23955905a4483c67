//! Passwords, which OpenSSH's server checks only against accounts of the machine: against a server of the library's.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bakelite_communicators::connect::Target;
use bakelite_test_support::sshd::Setup;
use russh::keys::PrivateKey;
use russh::server::{Auth, Config, Handler, Response, run_stream};
use russh::{MethodKind, MethodSet};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::instance::Instance;

const PASSWORD: &str = "correct horse";

/// Lets in who knows the password and says it in the one way that is accepted.
struct Door {
    by: MethodKind,
}

impl Handler for Door {
    type Error = russh::Error;

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
    // Only for its key, which is a valid one.
    let instance = Instance::start(Setup::default()).await;
    let key = PrivateKey::from_openssh(instance.sshd.private_key()).unwrap();
    let config = Config {
        keys: vec![key],
        methods: MethodSet::from(&[by][..]),
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let session = run_stream(Arc::new(config), stream, Door { by }).await.unwrap();
        // It ends when the client goes.
        let _ = session.await;
    });
    let json = serde_json::json!({
        "ssh_username": "u", "ssh_password": password, "ssh_port": port, "ssh_handshake_attempts": 1,
    });
    let target = Target {
        address: "127.0.0.1".into(),
        ..Target::default()
    };
    let connected = instance
        .try_connect(&target, &serde_json::from_value(json).unwrap())
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
