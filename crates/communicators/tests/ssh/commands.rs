//! Commands: status, signals, output, input, and connections that break.

use bakelite_engine::communicator::{CommunicatorError, Exit};
use bakelite_engine::output::stream;
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::sshd::Setup;
use tokio::io::AsyncWriteExt as _;

use crate::instance::{Instance, outcome, printed, ran};

#[tokio::test]
async fn a_command_has_its_status_and_both_outputs() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    let ran = ran(&*ssh, "echo out; echo err >&2; exit 7").await;
    assert_eq!(
        (ran.stdout.as_slice(), ran.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(ran.exit, Exit::Status(7));
    assert_eq!(
        instance.said(),
        [
            "Using SSH communicator to connect: 127.0.0.1",
            "Waiting for SSH to become available...",
            "Connected to SSH!"
        ]
    );
    ssh.close().await;
}

#[tokio::test]
async fn a_signal_counts_as_128_and_its_number() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    assert_eq!(ran(&*ssh, "exec sh -c 'kill -TERM $$'").await.exit, Exit::Status(143));
    assert_eq!(ran(&*ssh, "exec sh -c 'kill -KILL $$'").await.exit, Exit::Status(137));
}

#[tokio::test]
async fn a_slow_reader_loses_nothing_of_a_large_output() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    let ran = ran(&*ssh, "head -c 30000000 /dev/zero; echo end >&2").await;
    assert_eq!(ran.stdout.len(), 30_000_000);
    assert_eq!((ran.stderr.as_slice(), ran.exit), (&b"end\n"[..], Exit::Status(0)));
}

#[tokio::test]
async fn what_is_written_to_a_command_reaches_it_and_its_end_too() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    let mut running = ssh.exec("wc -c").await.unwrap();
    let mut stdin = running.stdin.take().unwrap();
    let writing = async move {
        stdin.write_all(&vec![b'x'; 5_000_000]).await.unwrap();
        stdin.shutdown().await.unwrap();
    };
    let (ran, ()) = tokio::join!(outcome(running), writing);
    assert_eq!(String::from_utf8(ran.stdout).unwrap().trim(), "5000000");
}

#[tokio::test]
async fn output_is_said_line_by_line() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    instance.said();
    let running = ssh.exec("printf 'one\\n10%%\\r100%%\\n\\nlast'").await.unwrap();
    assert_eq!(stream(running, &instance.ui).await, Exit::Status(0));
    assert_eq!(instance.said(), ["one", "100%", "last"]);
}

#[tokio::test]
async fn with_a_terminal_both_outputs_are_one() {
    assert!(
        sshd_can_make_terminals(),
        "root's sshd alone can make terminals here: run as root, or mount /dev/pts with gid=5 (mount -o remount,gid=5 /dev/pts)"
    );
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect(r#""ssh_pty": true"#).await;
    let ran = ran(&*ssh, "tty >/dev/null && echo terminal $TERM; echo err >&2").await;
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "terminal xterm\r\nerr\r\n");
}

/// A server that is not root's cannot give a terminal to the group `tty`: the mount must.
fn sshd_can_make_terminals() -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let terminals = mounts.lines().find(|line| line.contains(" /dev/pts "));
    rustix::process::geteuid().is_root() || terminals.is_some_and(|line| line.contains("gid="))
}

#[tokio::test]
async fn a_killed_server_is_a_disconnect_and_the_next_command_connects_again() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    // Ends with its input, so that nothing is left when the server is killed.
    let mut running = ssh.exec("echo started; cat").await.unwrap();
    assert!(printed(&mut running).await.is_some());
    instance.sshd.kill_sessions().await;
    assert_eq!(outcome(running).await.exit, Exit::Disconnected);
    assert_eq!(ran(&*ssh, "exit 3").await.exit, Exit::Status(3));
}

#[tokio::test]
async fn a_server_that_restarts_is_waited_for() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    instance.sshd.refuse(true);
    instance.sshd.kill_sessions().await;
    let again = async {
        // The first attempts are refused; then the instance is back.
        eventually(LIMIT, "attempts are refused", || instance.sshd.refused() >= 2).await;
        instance.sshd.refuse(false);
    };
    let (ran, ()) = tokio::join!(ran(&*ssh, "echo back"), again);
    assert_eq!(ran.stdout, b"back\n");
}

#[tokio::test]
async fn another_host_key_after_a_reconnect_is_refused() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    let logins = instance.sshd.log().matches("Accepted publickey").count();
    instance.sshd.change_host_key();
    instance.sshd.kill_sessions().await;
    // Whoever waits for a lost connection does not wait for this one.
    let error = ssh.exec("true").await.err().unwrap();
    assert!(matches!(error, CommunicatorError::Refused { .. }), "{error:?}");
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains("host key of the server is SHA256:") && text.contains("was expected"),
        "{text}"
    );
    assert_eq!(instance.sshd.log().matches("Accepted publickey").count(), logins);
}

#[tokio::test]
async fn a_host_key_of_another_kind_after_a_reconnect_is_refused() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    for file in ["host_key", "host_key.pub"] {
        std::fs::remove_file(instance.sshd.directory().join(file)).unwrap();
    }
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
        .arg(instance.sshd.directory().join("host_key"))
        .status();
    assert!(made.unwrap().success());
    instance.sshd.kill_sessions().await;
    let error = ssh.exec("true").await.err().unwrap();
    assert!(matches!(error, CommunicatorError::Refused { .. }), "{error:?}");
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.contains("host key of the server is of another kind (ecdsa-sha2-nistp256)")
            && text.contains("but SHA256:"),
        "{text}"
    );
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_ended() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    let mark = instance.sshd.directory().join("mark");
    // Notices it by the signal, or by its output, which nobody takes any more: servers that run as root pass no signals on.
    let command = format!(
        "trap 'echo ended > {0}; exit' TERM; trap '' PIPE; while echo up 2>/dev/null; do sleep 0.05; done; echo ended > {0}",
        mark.display()
    );
    let mut running = ssh.exec(&command).await.unwrap();
    assert!(printed(&mut running).await.is_some());
    drop(running);
    eventually(LIMIT, "the command has ended", || mark.exists()).await;
}

#[tokio::test]
async fn output_that_nobody_reads_waits_at_the_other_side() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect("").await;
    let mark = instance.sshd.directory().join("mark");
    // Says how many megabytes have gone out.
    let command = format!(
        "n=0; while [ $n -lt 300 ] && head -c 1048576 /dev/zero; do n=$((n+1)); echo $n > {0}.new; mv {0}.new {0}; done",
        mark.display()
    );
    let running = ssh.exec(&command).await.unwrap();
    let sent = || -> u32 {
        let said = std::fs::read_to_string(&mark).unwrap_or_default();
        said.trim().parse().unwrap_or(0)
    };
    let (mut before, mut unchanged) = (0, 0);
    eventually(LIMIT, "the command waits for a reader", || {
        let now = sent();
        // Windows, sockets and our queues hold some.
        assert!(now < 100, "{now} MB went out, and nobody has read one");
        unchanged = if now > 0 && now == before { unchanged + 1 } else { 0 };
        before = now;
        unchanged >= 30
    })
    .await;
    // It goes on when it is read.
    assert_eq!(outcome(running).await.stdout.len(), 300 << 20);
}
