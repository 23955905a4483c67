//! Keys that need more than a file: protected ones, certificates, agents; and host keys of the console.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_communicators::connect::{ConnectError, Target, connect};
use bakelite_communicators::options::CommunicatorOptions;
use bakelite_communicators::ssh::console::{Console, ConsoleError};
use bakelite_engine::communicator::{Communicator, Exit};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::eventually::{LIMIT, eventually, in_time};
use bakelite_test_support::sshd::{Setup, Sshd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, ran, run};

fn keygen(arguments: &[&str], file: &Path) {
    let status = Command::new("ssh-keygen")
        .arg("-q")
        .args(arguments)
        .arg("-f")
        .arg(file)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{arguments:?}");
}

/// The user's key, protected by `open sesame`.
fn protected(instance: &Instance, format: &str) -> PathBuf {
    let key = instance.sshd.directory().join("protected");
    std::fs::copy(&instance.sshd.key_file, &key).unwrap();
    keygen(&["-p", "-P", "", "-N", "open sesame", "-m", format], &key);
    key
}

async fn log_in(
    instance: &Instance,
    key: &Path,
    environment: &[(&str, &str)],
) -> Result<Arc<dyn Communicator>, ConnectError> {
    let options = instance.options_without_key(&format!(r#""ssh_private_key_file": "{}""#, key.display()));
    let mut complaints = Vec::new();
    options.check(None, &mut complaints);
    assert!(complaints.is_empty(), "{complaints:?}");
    let run = run(environment);
    connect(
        &Instance::target(),
        &options,
        &run,
        &instance.ui,
        &CancellationToken::new(),
    )
    .await
}

#[tokio::test]
async fn the_passphrase_of_the_environment_opens_keys_of_every_format() {
    for (key_type, format) in [
        ("ed25519", "RFC4716"),
        ("rsa", "RFC4716"),
        ("rsa", "PEM"),
        ("rsa", "PKCS8"),
        ("ecdsa", "RFC4716"),
        ("ecdsa", "PKCS8"),
    ] {
        let instance = Instance::start(Setup {
            key_type,
            ..Setup::default()
        })
        .await;
        let key = protected(&instance, format);
        let ssh = log_in(&instance, &key, &[("BAKELITE_SSH_PASSPHRASE", "open sesame")]).await;
        let ssh = ssh.unwrap_or_else(|error| panic!("{key_type} {format}: {}", bakelite_engine::chain_of(&error)));
        assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0), "{key_type} {format}");
    }
}

#[tokio::test]
async fn a_wrong_passphrase_is_an_error_that_does_not_tell_it() {
    let instance = Instance::start(Setup::default()).await;
    let key = protected(&instance, "RFC4716");
    let error = log_in(&instance, &key, &[("BAKELITE_SSH_PASSPHRASE", "open cumin")])
        .await
        .err()
        .unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(text.starts_with("the passphrase does not open private key"), "{text}");
    assert!(!text.contains("cumin"), "{text}");
}

/// Runs under `script`, at a terminal of its own, with the options of its environment: see [`at_a_terminal`].
#[tokio::test]
#[ignore = "asks at the terminal"]
async fn connects_at_a_terminal() {
    let json = std::env::var("BAKELITE_TEST_OPTIONS").unwrap();
    let options: CommunicatorOptions = serde_json::from_str(&json).unwrap();
    let (sender, _events) = std::sync::mpsc::channel();
    let ui = bakelite_engine::events::Ui::new(bakelite_engine::events::Events::new(sender));
    // Two builds ask for one key once.
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        let ssh = connect(&Instance::target(), &options, &run(&[]), &ui, &cancel)
            .await
            .unwrap();
        assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    }
}

/// Connects at a terminal, twice, giving these answers to these questions; answers what the terminal has shown.
pub(crate) async fn at_a_terminal(options: &CommunicatorOptions, questions: &[&str], answers: &[&str]) -> String {
    let this = std::env::current_exe().unwrap();
    let command = format!(
        "{} --exact keys::connects_at_a_terminal --ignored --nocapture",
        this.display()
    );
    let mut child = tokio::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("BAKELITE_TEST_OPTIONS", serde_json::to_string(options).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    let asked = |shown: &str| -> usize { questions.iter().map(|question| shown.matches(question).count()).sum() };
    let mut answers = answers.iter();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = in_time("a question or the end", output.read(&mut buffer)).await {
        let before = asked(&shown);
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        for _ in before..asked(&shown) {
            let answer = answers.next().unwrap_or_else(|| panic!("asked too often: {shown}"));
            input.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    }
    assert!(in_time("the end", child.wait()).await.unwrap().success(), "{shown}");
    assert_eq!(answers.len(), 0, "{shown}");
    shown
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_and_not_shown() {
    let instance = Instance::start(Setup::default()).await;
    let key = protected(&instance, "RFC4716");
    let options = instance.options_without_key(&format!(r#""ssh_private_key_file": "{}""#, key.display()));
    let shown = at_a_terminal(&options, &["Passphrase for private key"], &["wrong", "open sesame"]).await;
    assert!(!shown.contains("sesame"), "{shown}");
}

#[tokio::test]
async fn without_a_terminal_the_error_says_what_helps() {
    let instance = Instance::start(Setup::default()).await;
    let key = protected(&instance, "RFC4716");
    // `setsid` takes the terminal away where the tests have one.
    let this = std::env::current_exe().unwrap();
    let output = Command::new("setsid")
        .arg("-w")
        .arg(this)
        .args(["--exact", "keys::connects_at_a_terminal", "--ignored", "--nocapture"])
        .env(
            "BAKELITE_TEST_OPTIONS",
            format!(
                r#"{{"ssh_username": "u", "ssh_private_key_file": "{}"}}"#,
                key.display()
            ),
        )
        .run_to_end();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("Encrypted"), "{text}");
}

#[tokio::test]
async fn a_key_as_bytes_logs_in() {
    let instance = Instance::start(Setup::default()).await;
    let bytes = serde_json::to_string(instance.sshd.private_key().as_bytes()).unwrap();
    let options = instance.options_without_key(&format!(r#""ssh_private_key": {bytes}"#));
    let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

/// Makes a server (with `TrustedUserCAKeys %F/ca.pub`) let its user in by a certificate only; answers that.
pub(crate) fn only_by_certificate(sshd: &Sshd) -> PathBuf {
    let directory = sshd.directory();
    keygen(&["-t", "ed25519", "-N", ""], &directory.join("ca"));
    let status = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(directory.join("ca"))
        .args(["-I", "test", "-n", &sshd.username, "-V", "+1h"])
        .arg(directory.join("user_key.pub"))
        .status();
    assert!(status.unwrap().success());
    std::fs::write(directory.join("authorized_keys"), "").unwrap();
    directory.join("user_key-cert.pub")
}

#[tokio::test]
async fn a_certificate_logs_in_where_the_key_alone_does_not() {
    let instance = Instance::start(Setup {
        config: "TrustedUserCAKeys %F/ca.pub".into(),
        ..Setup::default()
    })
    .await;
    let certificate = only_by_certificate(&instance.sshd);
    let without = instance.options(r#""ssh_handshake_attempts": 1"#);
    instance.try_connect(&Instance::target(), &without).await.err().unwrap();
    let with = instance.options(&format!(r#""ssh_certificate_file": "{}""#, certificate.display()));
    let ssh = instance.try_connect(&Instance::target(), &with).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
}

/// An agent that holds the key of a server's user, and its socket.
pub(crate) async fn agent_of(sshd: &Sshd) -> (tokio::process::Child, PathBuf) {
    let socket = sshd.directory().join("agent");
    let agent = tokio::process::Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The socket is there before anybody listens on it.
    let listens = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    eventually(LIMIT, "the agent listens", listens).await;
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(&sshd.key_file)
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    (agent, socket)
}

#[tokio::test]
async fn the_agent_is_offered_to_the_instance_unless_it_shall_not() {
    let instance = Instance::start(Setup::default()).await;
    let (mut agent, socket) = agent_of(&instance.sshd).await;
    let run = run(&[("SSH_AUTH_SOCK", socket.to_str().unwrap())]);
    for (more, offered) in [("", true), (r#""ssh_disable_agent_forwarding": true"#, false)] {
        let options = instance.options(more);
        let ssh = connect(
            &Instance::target(),
            &options,
            &run,
            &instance.ui,
            &CancellationToken::new(),
        )
        .await
        .unwrap();
        let listed = ran(&*ssh, "ssh-add -l").await;
        assert_eq!(
            String::from_utf8_lossy(&listed.stdout).contains("bakelite-test"),
            offered,
            "{listed:?}"
        );
        let said = instance
            .said()
            .iter()
            .any(|line| line.contains("can use your SSH agent"));
        assert_eq!(said, offered);
    }
    agent.kill().await.unwrap();
}

/// A console that shows these lines at the second look.
struct Screen {
    text: String,
    looks: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Console for Screen {
    async fn output(&self) -> Result<String, ConsoleError> {
        let looks = self.looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if looks == 0 {
            Ok(String::new())
        } else {
            Ok(self.text.clone())
        }
    }
}

#[tokio::test]
async fn only_a_host_key_of_the_console_is_accepted() {
    let instance = Instance::start(Setup::default()).await;
    let key = std::fs::read_to_string(instance.sshd.directory().join("host_key.pub")).unwrap();
    let block = |key: &str| format!("boot\n-----BEGIN SSH HOST KEY KEYS-----\n{key}-----END SSH HOST KEY KEYS-----\n");
    let target = |text: String| Target {
        console: Some(Arc::new(Screen { text, looks: 0.into() })),
        ..Instance::target()
    };
    let options = instance.options(r#""ssh_host_key": "console""#);
    let ssh = instance.try_connect(&target(block(&key)), &options).await.unwrap();
    assert_eq!(ran(&*ssh, "true").await.exit, Exit::Status(0));
    instance.sshd.change_host_key();
    let error = instance
        .try_connect(&target(block(&key)), &options)
        .await
        .err()
        .unwrap();
    assert!(bakelite_engine::chain_of(&error).contains("host key of the server is"));
    let error = instance.try_connect(&Instance::target(), &options).await.err().unwrap();
    assert!(bakelite_engine::chain_of(&error).contains("needs a builder"));
}

/// A console that its builder may not read.
struct Locked;

#[async_trait]
impl Console for Locked {
    async fn output(&self) -> Result<String, ConsoleError> {
        Err(ConsoleError::Never("you may not".into()))
    }
}

#[tokio::test]
async fn a_console_that_can_never_be_read_is_not_waited_for() {
    let instance = Instance::start(Setup::default()).await;
    let target = Target {
        console: Some(Arc::new(Locked)),
        ..Instance::target()
    };
    let options = instance.options(r#""ssh_host_key": "console""#);
    let error = instance.try_connect(&target, &options).await.err().unwrap();
    assert!(matches!(error, ConnectError::NoConsole { .. }), "{error}");
    assert!(bakelite_engine::chain_of(&error).ends_with(": you may not"));
}
