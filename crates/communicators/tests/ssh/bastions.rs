//! Through other hosts: bastions one after the other, and what a user reads when one of them does not do its part.

use bakelite_communicators::connect::{ConnectError, connect};
use bakelite_communicators::options::CommunicatorOptions;
use bakelite_engine::communicator::{CommunicatorError, Exit};
use bakelite_test_support::sshd::{Setup, Sshd};
use russh::MethodKind;
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, outcome, printed, ran, run};
use crate::keys::{agent_of, at_a_terminal, only_by_certificate};
use crate::passwords::{Doors, PASSWORD};

/// Options to go through these hosts to an instance, each with the key of the last of them.
fn through(instance: &Instance, bastions: &[&Sshd], more: &str) -> CommunicatorOptions {
    let hosts: Vec<String> = bastions
        .iter()
        .map(|sshd| format!("127.0.0.1:{}", sshd.address.port()))
        .collect();
    let key = bastions[bastions.len() - 1].key_file.to_str().unwrap();
    let comma = if more.is_empty() { "" } else { ", " };
    instance.options(&format!(
        r#""ssh_bastion_host": "{}", "ssh_bastion_private_key_file": "{key}"{comma}{more}"#,
        hosts.join(",")
    ))
}

#[tokio::test]
async fn a_bastion_leads_to_the_instance_with_one_login() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let options = through(&instance, &[&bastion], "");
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "echo there").await.stdout, b"there\n");
    // A killed instance does not take the bastion with it.
    instance.sshd.kill_sessions().await;
    assert_eq!(ran(&*ssh, "echo again").await.stdout, b"again\n");
    assert_eq!(bastion.connections(), 1);
}

#[tokio::test]
async fn several_bastions_are_gone_through_one_after_the_other() {
    let instance = Instance::start(Setup::default()).await;
    let first = Sshd::start(Setup::default()).await;
    let second = Sshd::start(Setup::default()).await;
    // They share a key, as they share the options.
    std::fs::copy(
        second.key_file.with_extension("pub"),
        first.directory().join("authorized_keys"),
    )
    .unwrap();
    let options = through(&instance, &[&first, &second], "");
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "exit 4").await.exit, Exit::Status(4));
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[tokio::test]
async fn the_key_of_the_instance_serves_for_the_bastion_when_none_is_named() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    std::fs::copy(
        instance.sshd.key_file.with_extension("pub"),
        bastion.directory().join("authorized_keys"),
    )
    .unwrap();
    let port = bastion.address.port();
    let options = instance.options(&format!(
        r#""ssh_bastion_host": "127.0.0.1", "ssh_bastion_port": {port}"#
    ));
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn a_bastion_that_refuses_us_is_named_and_not_asked_for_ever() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let stranger = Sshd::start(Setup::default()).await;
    let mut options = through(&instance, &[&bastion], r#""ssh_handshake_attempts": 1"#);
    options.ssh_bastion_private_key_file = Some(stranger.key_file.to_str().unwrap().into());
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    assert!(matches!(error, ConnectError::Refused { .. }));
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains("log in to the bastion") && text.contains("is refused; tried key"),
        "{text}"
    );
    assert_eq!(bastion.connections(), 1);
}

#[tokio::test]
async fn a_bastion_whose_host_key_is_another_is_not_logged_in_to() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let pin = |fingerprint: &str| format!(r#""ssh_bastion_host_key": "pin:{fingerprint}""#);
    let options = through(&instance, &[&bastion], &pin(&bastion.fingerprint()));
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "exit 4").await.exit, Exit::Status(4));
    let options = through(&instance, &[&bastion], &pin("SHA256:other"));
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains("log in to the bastion") && text.contains("but SHA256:other was expected"),
        "{text}"
    );
}

#[tokio::test]
async fn a_bastion_that_forwards_nothing_says_so() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup {
        config: "AllowTcpForwarding no".into(),
        ..Setup::default()
    })
    .await;
    let options = through(&instance, &[&bastion], r#""ssh_timeout": "5s""#);
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(text.contains("it does not allow connections to other hosts"), "{text}");
}

#[tokio::test]
async fn a_bastion_that_cannot_be_reached_is_the_cause_of_the_timeout() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    bastion.refuse(true);
    let options = through(&instance, &[&bastion], r#""ssh_timeout": "5s""#);
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(text.contains("after 5s") && text.contains("bastion"), "{text}");
}

#[tokio::test]
async fn a_bastion_that_drops_the_connection_is_a_disconnect_and_the_next_command_connects_again() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let options = through(&instance, &[&bastion], "");
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    let mut running = ssh.exec("echo started; cat").await.unwrap();
    assert!(printed(&mut running).await.is_some());
    bastion.kill_sessions().await;
    assert_eq!(outcome(running).await.exit, Exit::Disconnected);
    assert_eq!(ran(&*ssh, "exit 5").await.exit, Exit::Status(5));
    assert_eq!(bastion.connections(), 2);
}

#[tokio::test]
async fn a_bastion_has_its_own_host_key_that_must_not_change() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let options = through(&instance, &[&bastion], "");
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    bastion.change_host_key();
    bastion.kill_sessions().await;
    let error = ssh.exec("true").await.err().unwrap();
    assert!(matches!(error, CommunicatorError::Refused { .. }), "{error:?}");
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains("log in to the bastion") && text.contains("host key of the server is"),
        "{text}"
    );
}

#[tokio::test]
async fn a_bastion_takes_a_certificate() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup {
        config: "TrustedUserCAKeys %F/ca.pub".into(),
        ..Setup::default()
    })
    .await;
    let certificate = only_by_certificate(&bastion);
    let more = format!(r#""ssh_bastion_certificate_file": "{}""#, certificate.display());
    let options = through(&instance, &[&bastion], &more);
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn a_bastion_takes_the_keys_of_the_agent() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let (mut agent, socket) = agent_of(&bastion).await;
    let port = bastion.address.port();
    let options = instance.options(&format!(
        r#""ssh_bastion_host": "127.0.0.1", "ssh_bastion_port": {port}, "ssh_bastion_agent_auth": true"#
    ));
    let run = run(&[("SSH_AUTH_SOCK", socket.to_str().unwrap())]);
    let cancel = CancellationToken::new();
    let ssh = connect(&Instance::target(), &options, &run, &instance.ui, &cancel)
        .await
        .unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    agent.kill().await.unwrap();
}

/// Options to go through doors that want a password.
fn through_doors(instance: &Instance, doors: &Doors, more: &str) -> CommunicatorOptions {
    instance.options(&format!(
        r#""ssh_bastion_host": "door@127.0.0.1", "ssh_bastion_port": {}, {more}"#,
        doors.port
    ))
}

#[tokio::test]
async fn a_bastion_takes_a_password_in_either_way() {
    for by in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let instance = Instance::start(Setup::default()).await;
        let doors = Doors::open(by).await;
        let options = through_doors(&instance, &doors, &format!(r#""ssh_bastion_password": "{PASSWORD}""#));
        let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
        assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0), "{by:?}");
    }
}

#[tokio::test]
async fn what_a_bastion_asks_is_asked_at_the_terminal() {
    let instance = Instance::start(Setup::default()).await;
    let doors = Doors::open(MethodKind::KeyboardInteractive).await;
    let options = through_doors(&instance, &doors, r#""ssh_bastion_interactive": true"#);
    let mut complaints = Vec::new();
    options.check(None, &mut complaints);
    assert!(complaints.is_empty(), "{complaints:?}");
    // Two questions for each of two connections.
    let shown = at_a_terminal(&options, &["Password: ", "Again: "], &[PASSWORD; 4]).await;
    assert!(
        shown.contains("Password: ") && shown.contains("Again: ") && !shown.contains(PASSWORD),
        "{shown}"
    );
}

#[tokio::test]
async fn the_host_key_of_an_instance_behind_a_bastion_must_not_change() {
    let instance = Instance::start(Setup::default()).await;
    let bastion = Sshd::start(Setup::default()).await;
    let options = through(&instance, &[&bastion], "");
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    instance.sshd.change_host_key();
    instance.sshd.kill_sessions().await;
    let error = ssh.exec("true").await.err().unwrap();
    assert!(matches!(error, CommunicatorError::Refused { .. }), "{error:?}");
    let text = bakelite_engine::chain_of(&error);
    assert!(text.contains("host key of the server is"), "{text}");
    assert_eq!(bastion.connections(), 1);
}
