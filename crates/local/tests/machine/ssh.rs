//! Commands, terminals and logins.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::Test;
use crate::ground::{ground, text};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::ended::status_of;
use bakelite_test_support::eventually::{LIMIT, until};

pub(crate) const TESTS: &[Test] = &[
    (
        "command_runs_as_the_login_user_in_its_home",
        command_runs_as_the_login_user_in_its_home,
    ),
    ("exit_status_and_signal_arrive", exit_status_and_signal_arrive),
    ("standard_streams_are_apart", standard_streams_are_apart),
    (
        "large_streams_pass_both_ways_at_once",
        large_streams_pass_both_ways_at_once,
    ),
    ("terminal_is_one", terminal_is_one),
    ("sessions_share_a_connection", sessions_share_a_connection),
    (
        "locale_is_accepted_and_nothing_else",
        locale_is_accepted_and_nothing_else,
    ),
    ("every_kind_of_key_logs_in", every_kind_of_key_logs_in),
    ("strangers_stay_outside", strangers_stay_outside),
    (
        "connections_without_a_login_keep_nobody_out",
        connections_without_a_login_keep_nobody_out,
    ),
    ("forwarding_is_refused", forwarding_is_refused),
    ("sudo_makes_root", sudo_makes_root),
    (
        "built_in_sudo_understands_its_options",
        built_in_sudo_understands_its_options,
    ),
    ("closed_input_ends_the_reader", closed_input_ends_the_reader),
    (
        "background_processes_outlive_their_session",
        background_processes_outlive_their_session,
    ),
];

fn command_runs_as_the_login_user_in_its_home() {
    let machine = ground().start();
    let seen = machine.output(
        "ec2-user",
        "id -un; pwd; echo $HOME $USER $SHELL; uname -n; cat /etc/hostname",
    );
    let hostname = &machine.spec.hostname;
    let user = if machine.has_users() { "ec2-user" } else { "root" };
    assert_eq!(
        seen,
        format!("{user}\n/home/ec2-user\n/home/ec2-user ec2-user /bin/bash\n{hostname}\n{hostname}")
    );
    assert_eq!(machine.output("root", "id -u; pwd"), "0\n/root");
    let keys = machine.output("ec2-user", "cat ~/.ssh/authorized_keys");
    assert_eq!(keys.lines().filter(|line| line.ends_with(" pair")).count(), 3);
}

fn exit_status_and_signal_arrive() {
    let machine = ground().start();
    assert_eq!(machine.run("root", "exit 3").status.code(), Some(3));
    assert_eq!(machine.run("root", "nosuchcommand").status.code(), Some(127));
    // OpenSSH's client has 255 for a remote process that a signal ended.
    assert_eq!(machine.run("root", "kill -TERM $$").status.code(), Some(255));
}

fn standard_streams_are_apart() {
    let machine = ground().start();
    let output = machine.run("root", "echo out; echo err >&2");
    assert_eq!(
        (text(&output.stdout).as_str(), text(&output.stderr).as_str()),
        ("out\n", "err\n")
    );
}

fn large_streams_pass_both_ways_at_once() {
    let machine = ground().start();
    let data: Vec<u8> = (0..24_000_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut client = machine
        .ssh("root")
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let sent = data.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let output = bakelite_test_support::ended::output_of(client);
    writer.join().unwrap();
    assert!(output.stdout == data, "{} bytes came back", output.stdout.len());
}

fn terminal_is_one() {
    let machine = ground().start();
    let output = machine
        .ssh("root")
        .arg("-tt")
        .arg("tty; test -t 0 && test -t 1 && echo yes; stty -a | head -1; echo $TERM")
        .env("TERM", "xterm")
        .run_to_end();
    let shown = text(&output.stdout);
    assert!(shown.starts_with("/dev/pts/0\r\nyes\r\n"), "{shown:?}");
    assert!(shown.ends_with("xterm\r\n"), "{shown:?}");
}

fn sessions_share_a_connection() {
    let machine = ground().start();
    let socket = ground().scratch("master").join("socket");
    let mut master = machine
        .ssh("root")
        .args(["-M", "-N", "-S"])
        .arg(&socket)
        .spawn()
        .unwrap();
    until("the connection", LIMIT, || {
        assert!(master.try_wait().unwrap().is_none(), "the connection ended");
        socket.exists().then_some(())
    });
    let clients: Vec<_> = (0..8)
        .map(|number| {
            machine
                .ssh("root")
                .arg("-S")
                .arg(&socket)
                .arg(format!("cat; echo {number}; exit {number}"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (number, mut client) in clients.into_iter().enumerate() {
        drop(client.stdin.take());
        let output = bakelite_test_support::ended::output_of(client);
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            (format!("{number}\n"), i32::try_from(number).ok())
        );
    }
    Command::new("ssh")
        .args(["-q", "-S"])
        .arg(&socket)
        .args(["-O", "exit", "x"])
        .run_to_end();
    status_of(&mut master);
}

fn locale_is_accepted_and_nothing_else() {
    let machine = ground().start();
    let output = machine
        .ssh("root")
        .args(["-o", "SendEnv=LC_TEST FOO", "echo $LC_TEST-$FOO-"])
        .envs([("LC_TEST", "de"), ("FOO", "bar")])
        .run_to_end();
    assert_eq!(text(&output.stdout), "de--\n");
}

fn every_kind_of_key_logs_in() {
    let machine = ground().start();
    for (kind, algorithm) in [
        ("ed25519", "ssh-ed25519"),
        ("ecdsa", "ecdsa-sha2-nistp256"),
        ("rsa", "rsa-sha2-512"),
        ("rsa", "rsa-sha2-256"),
        ("rsa", "ssh-rsa"),
    ] {
        let output = Command::new("ssh")
            .args(machine.options(kind))
            .args([
                "-o",
                &format!("PubkeyAcceptedAlgorithms={algorithm}"),
                &machine.host("ec2-user"),
                "true",
            ])
            .run_to_end();
        assert!(output.status.success(), "{algorithm}: {}", text(&output.stderr));
    }
}

fn strangers_stay_outside() {
    let machine = ground().start();
    let key = ground().scratch("stranger").join("key");
    Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", "ed25519", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    let mut options = machine.options("ed25519");
    let place = options.iter().position(|option| option == "-i").unwrap();
    options[place + 1] = key.display().to_string();
    let output = Command::new("ssh")
        .args(options)
        .args([&machine.host("root"), "true"])
        .run_to_end();
    assert!(
        text(&output.stderr).contains("Permission denied (publickey)"),
        "{}",
        text(&output.stderr)
    );
    let output = machine.run("nobody-here", "true");
    assert!(
        text(&output.stderr).contains("Permission denied (publickey)"),
        "{}",
        text(&output.stderr)
    );
}

/// Every user of this machine can connect; the oldest of those who have not logged in make room.
fn connections_without_a_login_keep_nobody_out() {
    let machine = ground().start();
    let address = machine.machine.ssh_address();
    let connect = |_| std::net::TcpStream::connect(address).unwrap();
    let held: Vec<_> = (0..100).map(connect).collect();
    assert_eq!(machine.output("root", "echo in"), "in");
    let mut rest = Vec::new();
    held[0].set_read_timeout(Some(LIMIT)).unwrap();
    // The greeting at most: the server has hung up.
    let _ = std::io::Read::read_to_end(&mut &held[0], &mut rest);
    drop(held);
    assert_eq!(machine.output("root", "echo again"), "again");
}

fn forwarding_is_refused() {
    let machine = ground().start();
    let output = machine
        .ssh("root")
        .args(["-W", "127.0.0.1:1"])
        .stdin(Stdio::null())
        .run_to_end();
    assert!(
        text(&output.stderr).contains("forwarding failed"),
        "{}",
        text(&output.stderr)
    );
}

fn sudo_makes_root() {
    let machine = ground().start();
    assert_eq!(machine.output("ec2-user", "sudo id -u; sudo -n whoami"), "0\nroot");
    machine.output("ec2-user", "sudo sh -c 'echo made > /etc/made' && cat /etc/made");
}

fn built_in_sudo_understands_its_options() {
    let root = ground().scratch("sudo-root");
    crate::ground::minimal_root(&root);
    let base = ground()
        .runtime
        .block_on(
            ground()
                .machines
                .base(&bakelite_local::machine::BaseRoot::Directory(root)),
        )
        .unwrap();
    let machine = ground().start_on(&base);
    let cases = [
        ("sudo id -u", "0"),
        ("echo input | sudo -S cat", "input"),
        ("sudo -nH -- sh -c 'echo $HOME'", "/root"),
        ("FOO=1 sudo sh -c 'echo -$FOO-'", "--"),
        ("FOO=1 sudo -E sh -c 'echo -$FOO-'", "-1-"),
        ("sudo FOO='a b' sh -c 'echo -$FOO-'", "-a b-"),
        ("sudo env 'FOO=a  b' sh -c 'echo \"-$FOO-\"'", "-a  b-"),
        ("sudo sh -c 'echo \"$1|$2\"' - 'it'\\''s' '*'", "it's|*"),
        ("cd /tmp; sudo -i 'echo' \"$HOME\" 'a  b'", "/home/ec2-user a  b"),
        ("cd /tmp; sudo sh -c pwd", "/tmp"),
        ("sudo -s echo 'a  b'", "a  b"),
        ("sudo -v && echo valid", "valid"),
        ("sudo sh -c 'exit 5'; echo $?", "5"),
        ("sudo nosuchcommand 2>/dev/null; echo $?", "127"),
        (
            "sudo -u nosuchuser id 2>&1; echo $?",
            "sudo: unknown user nosuchuser\n1",
        ),
    ];
    for (command, expected) in cases {
        assert_eq!(machine.output("ec2-user", command), expected, "{command}");
    }
}

fn closed_input_ends_the_reader() {
    let machine = ground().start();
    let output = machine
        .ssh("root")
        .arg("cat; echo end")
        .stdin(Stdio::null())
        .run_to_end();
    assert_eq!(text(&output.stdout), "end\n");
}

fn background_processes_outlive_their_session() {
    let machine = ground().start();
    machine.output(
        "root",
        "mkfifo /tmp/wait; (cat /tmp/wait > /tmp/got) > /dev/null 2>&1 < /dev/null &",
    );
    assert_eq!(
        machine.output(
            "root",
            "echo still here > /tmp/wait; while ! test -s /tmp/got; do :; done; cat /tmp/got"
        ),
        "still here"
    );
}
