//! Who is let in, and what a user reads when nobody is.

use bakelite_communicators::connect::{ConnectError, Target, connect};
use bakelite_engine::communicator::Exit;
use bakelite_engine::error::{Explain as _, Kind};
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::slow_line::SlowLine;
use bakelite_test_support::sshd::{Setup, Sshd};
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, outcome, printed, ran, run};
use crate::keys::agent_of;

#[tokio::test]
async fn a_key_as_ec2_makes_it_logs_in() {
    let instance = Instance::start(Setup {
        key_type: "rsa",
        pem: true,
        ..Setup::default()
    })
    .await;
    assert!(
        instance
            .sshd
            .private_key()
            .starts_with("-----BEGIN RSA PRIVATE KEY-----")
    );
    let target = Target {
        private_key: Some(instance.sshd.private_key()),
        ..Instance::target()
    };
    let ssh = instance
        .try_connect(&target, &instance.options_without_key(""))
        .await
        .unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn every_format_of_key_logs_in() {
    for (key_type, pem) in [("rsa", false), ("ecdsa", false), ("ecdsa", true), ("ed25519", false)] {
        let instance = Instance::start(Setup {
            key_type,
            pem,
            ..Setup::default()
        })
        .await;
        let ssh = instance.connect("").await;
        assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0), "{key_type}");
    }
}

#[tokio::test]
async fn every_key_is_tried_and_not_only_the_first() {
    let instance = Instance::start(Setup::default()).await;
    let other = Sshd::start(Setup::default()).await;
    let key = other.key_file.to_str().unwrap();
    let options = instance.options_without_key(&format!(r#""ssh_private_key_file": "{key}""#));
    let target = Target {
        private_key: Some(instance.sshd.private_key()),
        ..Instance::target()
    };
    let ssh = instance.try_connect(&target, &options).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn a_server_that_wants_two_keys_gets_both() {
    let other = Sshd::start(Setup::default()).await;
    let instance = Instance::start(Setup {
        config: "AuthenticationMethods publickey,publickey".into(),
        ..Setup::default()
    })
    .await;
    let mut authorized = std::fs::read(instance.sshd.directory().join("authorized_keys")).unwrap();
    authorized.extend(std::fs::read(other.key_file.with_extension("pub")).unwrap());
    std::fs::write(instance.sshd.directory().join("authorized_keys"), authorized).unwrap();
    let target = Target {
        private_key: Some(other.private_key()),
        ..Instance::target()
    };
    let ssh = instance.try_connect(&target, &instance.options("")).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn listed_algorithms_are_the_ones_that_are_used() {
    let instance = Instance::start(Setup {
        config: "LogLevel DEBUG1".into(),
        ..Setup::default()
    })
    .await;
    for (option, name) in [
        ("ssh_ciphers", "aes128-gcm@openssh.com"),
        ("ssh_ciphers", "chacha20-poly1305@openssh.com"),
        ("ssh_ciphers", "aes256-ctr"),
        ("ssh_key_exchange_algorithms", "curve25519-sha256"),
        ("ssh_key_exchange_algorithms", "ecdh-sha2-nistp384"),
        ("ssh_key_exchange_algorithms", "diffie-hellman-group14-sha256"),
        ("ssh_key_exchange_algorithms", "diffie-hellman-group16-sha512"),
    ] {
        let ssh = instance.connect(&format!(r#""{option}": ["{name}"]"#)).await;
        assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0), "{name}");
        let log = instance.sshd.log();
        let used = if option == "ssh_ciphers" {
            format!("cipher: {name}")
        } else {
            format!("algorithm: {name}")
        };
        assert!(log.contains(&used), "{name}:\n{log}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_named_in_the_error() {
    let instance = Instance::start(Setup::default()).await;
    let other = Sshd::start(Setup::default()).await;
    let key = other.key_file.to_str().unwrap();
    let options = instance.options_without_key(&format!(
        r#""ssh_private_key_file": "{key}", "ssh_handshake_attempts": 1"#
    ));
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    assert!(matches!(error, ConnectError::Refused { .. }));
    let text = bakelite_engine::chain_of(&error);
    let wanted = format!(
        "login as `{}` is refused; tried key `{key}` (ssh-ed25519 SHA256:",
        instance.sshd.username
    );
    assert!(
        text.contains(&wanted) && text.contains("the server accepts publickey"),
        "{text}"
    );
    let help = error.help().unwrap();
    assert!(help.starts_with("see that the user is one of the image's"), "{help}");
}

#[tokio::test]
async fn the_last_real_cause_stands_in_the_timeout() {
    let instance = Instance::start(Setup {
        config: "Ciphers aes256-ctr".into(),
        ..Setup::default()
    })
    .await;
    let options = instance.options(r#""ssh_ciphers": ["aes128-ctr"], "ssh_timeout": "5s""#);
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    assert!(matches!(error, ConnectError::Timeout { .. }));
    let text = bakelite_engine::chain_of(&error);
    assert!(text.contains("after 5s") && text.contains("aes256-ctr"), "{text}");
    assert!(error.help().unwrap().starts_with("see `ssh_ciphers`"));
    assert_eq!(error.kind(), Kind::TimedOut);
}

#[tokio::test]
async fn nobody_listening_is_the_cause_of_the_timeout() {
    let instance = Instance::start(Setup::default()).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut options = instance.options(r#""ssh_timeout": "2s""#);
    options.ssh_port = Some(free);
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(text.contains("Connection refused"), "{text}");
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_found() {
    let instance = Instance::start(Setup::default()).await;
    instance.sshd.refuse(true);
    let later = async {
        eventually(LIMIT, "attempts are refused", || instance.sshd.refused() >= 2).await;
        instance.sshd.refuse(false);
    };
    let (ssh, ()) = tokio::join!(instance.connect(""), later);
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn only_a_pinned_host_key_is_accepted() {
    let instance = Instance::start(Setup::default()).await;
    let fingerprint = instance.sshd.fingerprint();
    instance
        .connect(&format!(r#""ssh_host_key": "pin:{fingerprint}""#))
        .await;
    let options = instance.options(r#""ssh_host_key": "pin:SHA256:other""#);
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    assert!(bakelite_engine::chain_of(&error).contains(&fingerprint));
}

#[tokio::test]
async fn the_keys_of_an_agent_log_in() {
    let instance = Instance::start(Setup {
        key_type: "rsa",
        ..Setup::default()
    })
    .await;
    let (mut agent, socket) = agent_of(&instance.sshd).await;
    let options = instance.options_without_key(r#""ssh_agent_auth": true"#);
    let run = run(&[("SSH_AUTH_SOCK", socket.to_str().unwrap())]);
    let ssh = connect(
        &Instance::target(),
        &options,
        &run,
        &instance.ui,
        &CancellationToken::new(),
    )
    .await
    .unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    agent.kill().await.unwrap();
}

#[tokio::test]
async fn cancellation_ends_the_wait() {
    let instance = Instance::start(Setup::default()).await;
    instance.sshd.refuse(true);
    let cancel = CancellationToken::new();
    let options = instance.options("");
    let run = run(&[]);
    let target = Instance::target();
    let waiting = connect(&target, &options, &run, &instance.ui, &cancel);
    let ended = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(waiting, ended);
    assert!(matches!(result, Err(ConnectError::Cancelled)));
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_a_disconnect() {
    for option in [
        r#""ssh_keep_alive_interval": "100ms""#,
        r#""ssh_keep_alive_interval": "-1s", "ssh_read_write_timeout": "500ms""#,
    ] {
        let instance = Instance::start(Setup::default()).await;
        let line = SlowLine::to(instance.sshd.address, std::time::Duration::ZERO).await;
        let mut options = instance.options(option);
        options.ssh_port = Some(line.address.port());
        let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
        let mut running = ssh.exec("echo started; cat").await.unwrap();
        assert!(printed(&mut running).await.is_some());
        line.cut(true);
        assert_eq!(outcome(running).await.exit, Exit::Disconnected, "{option}");
        line.cut(false);
        assert_eq!(ran(&*ssh, "exit 3").await.exit, Exit::Status(3), "{option}");
    }
}

#[tokio::test]
async fn a_pause_comes_between_the_first_connection_and_the_one_that_is_used() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect(r#""pause_before_connecting": "10ms""#).await;
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    let said = instance.said();
    assert_eq!(said[3], "Pausing 10ms before connecting...");
    assert_eq!(
        (said.last().unwrap().as_str(), instance.sshd.connections()),
        ("Connected to SSH!", 2)
    );
}
