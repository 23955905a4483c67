//! File transfer with OpenSSH's `sftp` and `scp`, with and without a remote `scp`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::Test;
use crate::ground::{Running, ground, text};
use bakelite_test_support::ended::RunToEnd as _;

pub(crate) const TESTS: &[Test] = &[
    ("sftp_does_what_a_session_needs", sftp_does_what_a_session_needs),
    ("sftp_acts_as_the_login_user_inside", sftp_acts_as_the_login_user_inside),
    ("scp_by_sftp_round_trip", scp_by_sftp_round_trip),
    ("scp_by_its_own_protocol_round_trip", scp_by_its_own_protocol_round_trip),
    (
        "without_a_remote_scp_its_own_protocol_fails_and_sftp_serves",
        without_a_remote_scp_its_own_protocol_fails_and_sftp_serves,
    ),
];

fn sftp(machine: &Running, user: &str, batch: &str) -> Output {
    use std::io::Write as _;
    let mut client = Command::new("sftp")
        .args(machine.options("ed25519"))
        .args(["-q", "-b", "-", &machine.host(user)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    bakelite_test_support::ended::output_of(client)
}

fn scp(machine: &Running, arguments: &[&str]) -> Output {
    Command::new("scp")
        .args(machine.options("ed25519"))
        .args(arguments)
        .run_to_end()
}

/// A tree with what matters: modes, a directory, an empty file, a large one.
fn tree(directory: &Path) {
    std::fs::create_dir_all(directory.join("sub/empty")).unwrap();
    std::fs::write(directory.join("script"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(directory.join("script"), std::fs::Permissions::from_mode(0o750)).unwrap();
    std::fs::write(directory.join("sub/nothing"), "").unwrap();
    std::fs::write(directory.join("sub/with space"), vec![7_u8; 3_000_000]).unwrap();
}

fn assert_same_tree(one: &Path, other: &Path) {
    let output = Command::new("diff").arg("-r").arg(one).arg(other).run_to_end();
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert_eq!(
        std::fs::metadata(other.join("script")).unwrap().permissions().mode() & 0o777,
        0o750
    );
}

fn sftp_does_what_a_session_needs() {
    let machine = ground().start();
    let directory = ground().scratch("sftp");
    std::fs::write(directory.join("up"), vec![9_u8; 5_000_000]).unwrap();
    let batch = format!(
        "pwd\nmkdir d\nchmod 711 d\nput {0}/up d/up\nrename d/up d/moved\nln -s d/moved link\nln d/moved hard\nget link {0}/down\nls -l d\nrm link\nrm hard\nrm d/moved\nrmdir d\n",
        directory.display()
    );
    let output = sftp(&machine, "ec2-user", &batch);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("Remote working directory: /home/ec2-user"),
        "{}",
        text(&output.stdout)
    );
    assert!(std::fs::read(directory.join("down")).unwrap() == vec![9_u8; 5_000_000]);
    assert_eq!(machine.output("ec2-user", "ls"), "");
}

fn sftp_acts_as_the_login_user_inside() {
    let machine = ground().start();
    let directory = ground().scratch("sftp-inside");
    // Links and `..` that would lead to the host if paths were resolved outside.
    machine.output(
        "ec2-user",
        "ln -s /etc/hostname absolute; ln -s ../../../../../../../etc/hostname relative; ln -s / up",
    );
    for (number, path) in [
        "absolute",
        "relative",
        "up/etc/hostname",
        "/proc/self/root/etc/hostname",
        "../../../../etc/hostname",
    ]
    .iter()
    .enumerate()
    {
        let to = directory.join(number.to_string());
        let output = sftp(&machine, "ec2-user", &format!("get {path} {}\n", to.display()));
        assert!(output.status.success(), "{path}: {}", text(&output.stderr));
        assert_eq!(
            std::fs::read_to_string(to).unwrap().trim(),
            machine.spec.hostname,
            "{path}"
        );
    }
    let output = sftp(
        &machine,
        "ec2-user",
        &format!("put {} /etc/planted\n", directory.join("0").display()),
    );
    assert_eq!(
        output.status.success(),
        !machine.has_users(),
        "{}",
        text(&output.stderr)
    );
    assert!(!Path::new("/etc/planted").exists());
    let secret = directory.join("secret");
    std::fs::write(&secret, "host").unwrap();
    let output = sftp(&machine, "root", &format!("get {0} {0}.copy\n", secret.display()));
    assert!(!output.status.success());
}

fn round_trip(machine: &Running, name: &str, options: &[&str]) {
    let directory = ground().scratch(name);
    tree(&directory.join("tree"));
    let local = directory.join("tree").display().to_string();
    let back = directory.join("back").display().to_string();
    let remote = format!("{}:/tmp/{name}", machine.host("ec2-user"));
    let output = scp(machine, &[options, &["-rp", &local, &remote]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = scp(machine, &[options, &["-rp", &remote, &back]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_same_tree(&directory.join("tree"), &directory.join("back"));
    let owner = if machine.has_users() { "ec2-user" } else { "root" };
    assert_eq!(
        machine.output("root", &format!("ls -ld /tmp/{name}/script | cut -d' ' -f3")),
        owner
    );
    // One file, to a name and into a directory.
    for target in ["/tmp/one", "/tmp"] {
        let output = scp(
            machine,
            &[
                options,
                &[
                    &format!("{local}/script"),
                    &format!("{}:{target}", machine.host("ec2-user")),
                ],
            ]
            .concat(),
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(
        machine.output("root", "cat /tmp/one /tmp/script"),
        "#!/bin/sh\n#!/bin/sh"
    );
}

fn scp_by_sftp_round_trip() {
    round_trip(&ground().start(), "modern", &[]);
}

fn scp_by_its_own_protocol_round_trip() {
    round_trip(&ground().start(), "legacy", &["-O"]);
}

fn without_a_remote_scp_its_own_protocol_fails_and_sftp_serves() {
    let machine = ground().start();
    machine.output("root", "rm -f /usr/bin/scp");
    let directory = ground().scratch("no-scp");
    let local = directory.join("file").display().to_string();
    std::fs::write(&local, "content").unwrap();
    let remote = format!("{}:/tmp/file", machine.host("ec2-user"));
    let refused = scp(&machine, &["-O", &local, &remote]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("not found"), "{said}");
    let output = scp(&machine, &[&local, &remote]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(machine.output("root", "cat /tmp/file"), "content");
}
