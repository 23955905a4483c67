//! Base roots, snapshots and what is left of them.

use std::process::Command;

use bakelite_local::machine::{BaseRoot, RootId};
use bakelite_test_support::ended::RunToEnd as _;

use crate::Test;
use crate::ground::{ground, minimal_root, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "snapshot_of_a_stopped_machine_has_what_was_made",
        snapshot_of_a_stopped_machine_has_what_was_made,
    ),
    (
        "snapshot_of_a_running_machine_has_what_was_made",
        snapshot_of_a_running_machine_has_what_was_made,
    ),
    (
        "removed_files_stay_removed_through_layers",
        removed_files_stay_removed_through_layers,
    ),
    (
        "stand_ins_never_become_part_of_an_image",
        stand_ins_never_become_part_of_an_image,
    ),
    (
        "restarted_machine_keeps_its_files_and_host_key",
        restarted_machine_keeps_its_files_and_host_key,
    ),
    (
        "directory_is_a_base_and_stays_untouched",
        directory_is_a_base_and_stays_untouched,
    ),
    ("tarballs_are_bases", tarballs_are_bases),
    ("roots_go_when_nobody_needs_them", roots_go_when_nobody_needs_them),
    ("run_returns_the_exit_status", run_returns_the_exit_status),
    ("host_base_shows_no_secrets", host_base_shows_no_secrets),
];

fn snapshot(machine: &crate::ground::Running) -> RootId {
    ground()
        .runtime
        .block_on(ground().machines.snapshot(&machine.spec.id))
        .unwrap()
}

fn base(base: &BaseRoot) -> RootId {
    ground().runtime.block_on(ground().machines.base(base)).unwrap()
}

fn snapshot_of_a_stopped_machine_has_what_was_made() {
    let first = ground().start();
    first.output("ec2-user", "echo baked > /tmp/file; sudo sh -c 'echo program > /usr/local/bin/baked; chmod 4755 /usr/local/bin/baked; ln /usr/local/bin/baked /usr/local/bin/same'");
    first.stop();
    let image = snapshot(&first);
    let second = ground().start_on(&image);
    assert_eq!(
        second.output(
            "ec2-user",
            "cat /tmp/file /usr/local/bin/baked; stat -c '%a %h' /usr/local/bin/baked"
        ),
        "baked\nprogram\n4755 2"
    );
    assert_eq!(
        second.output("root", "cat /etc/hostname; grep -c ip-10 /etc/hosts"),
        format!("{}\n1", second.spec.hostname)
    );
}

fn snapshot_of_a_running_machine_has_what_was_made() {
    let first = ground().start();
    first.output("root", "echo baked > /root/file; ln -s file /root/link; touch -d 2001-02-03 /root/old; mkfifo /root/pipe; rm -f /etc/debian_version; sync");
    let image = snapshot(&first);
    first.output("root", "echo later > /root/file");
    let second = ground().start_on(&image);
    assert_eq!(second.output("root", "cat /root/link; date -r /root/old +%F; test -p /root/pipe && echo pipe; test -e /etc/debian_version || echo gone"), "baked\n2001-02-03\npipe\ngone");
    assert_eq!(first.output("root", "cat /root/file"), "later");
}

fn removed_files_stay_removed_through_layers() {
    let mut image = ground().host.clone();
    let steps = [
        "mkdir -p /var/tree/a/b; touch /var/tree/a/one /var/tree/a/b/two; rm -f /usr/bin/cmp",
        "rm -r /var/tree/a; mkdir /var/tree/a; touch /var/tree/a/three; touch /usr/bin/cmp",
        "rm /var/tree/a/three; rm /usr/bin/cmp",
    ];
    let expected = ["/var/tree/a/b\n/var/tree/a/one", "/usr/bin/cmp\n/var/tree/a/three", ""];
    for (index, (step, expected)) in steps.iter().zip(expected).enumerate() {
        let machine = ground().start_on(&image);
        machine.output("root", step);
        // Both ways of taking a snapshot must keep what is gone.
        if index != 1 {
            machine.stop();
        }
        image = snapshot(&machine);
        let next = ground().start_on(&image);
        assert_eq!(
            next.output("root", "ls -d /usr/bin/cmp /var/tree/a/* 2>/dev/null; true"),
            expected,
            "after step {index}"
        );
    }
}

fn stand_ins_never_become_part_of_an_image() {
    let root = ground().scratch("bare-root");
    minimal_root(&root);
    let machine = ground().start_on(&base(&BaseRoot::Directory(root)));
    assert_eq!(
        machine.output("ec2-user", "sudo sh -c 'ls /usr/bin/sudo /usr/sbin/poweroff'"),
        "/usr/bin/sudo\n/usr/sbin/poweroff"
    );
    machine.stop();
    let image = snapshot(&machine);
    let layer = ground().store().join("layers").join(&image.0).join("fs");
    let found = text(
        &Command::new("find")
            .arg(&layer)
            .args(["-name", "sudo", "-o", "-name", "poweroff", "-o", "-name", "elevate"])
            .run_to_end()
            .stdout,
    );
    assert_eq!(found, "");
}

fn restarted_machine_keeps_its_files_and_host_key() {
    let first = ground().start();
    first.output("root", "echo kept > /root/file; touch /run/gone");
    let key = first.machine.host_key();
    first.stop();
    assert!(!first.machine.is_running());
    let again = ground()
        .runtime
        .block_on(ground().machines.restart(&first.spec.id, first.spec.clone()))
        .unwrap();
    assert_eq!(again.host_key(), key);
    let again = crate::ground::Running::again(ground(), first, again);
    assert_eq!(
        again.output("root", "cat /root/file; test -e /run/gone || echo fresh"),
        "kept\nfresh"
    );
}

fn directory_is_a_base_and_stays_untouched() {
    let root = ground().scratch("directory:with,odd\\letters");
    minimal_root(&root);
    let machine = ground().start_on(&base(&BaseRoot::Directory(root.clone())));
    assert_eq!(
        machine.output(
            "ec2-user",
            "cat /etc/motd; echo changed | sudo sh -c 'cat > /etc/motd'; cat /etc/motd"
        ),
        "minimal\nchanged"
    );
    assert_eq!(std::fs::read_to_string(root.join("etc/motd")).unwrap(), "minimal\n");
    assert_eq!(
        std::fs::read_to_string(root.join("etc/passwd"))
            .unwrap()
            .lines()
            .count(),
        1
    );
    assert!(!root.join("proc").exists());
}

fn tarballs_are_bases() {
    let directory = ground().scratch("tarballs");
    minimal_root(&directory.join("root"));
    for (name, option) in [
        ("root.tar", None),
        ("root.tar.gz", Some("--gzip")),
        ("root.tar.zst", Some("--zstd")),
    ] {
        let packed = Command::new("tar")
            .args(option)
            .arg("-cf")
            .arg(directory.join(name))
            .arg("-C")
            .arg(directory.join("root"))
            .arg(".")
            .status()
            .unwrap();
        assert!(packed.success());
        let machine = ground().start_on(&base(&BaseRoot::Tarball(directory.join(name))));
        assert_eq!(
            machine.output("ec2-user", "cat /etc/motd; sudo id -u"),
            "minimal\n0",
            "{name}"
        );
    }
}

fn roots_go_when_nobody_needs_them() {
    let first = ground().start();
    first.stop();
    let image = snapshot(&first);
    let layer = ground().store().join("layers").join(&image.0);
    drop(first);
    let second = ground().start_on(&image);
    ground()
        .runtime
        .block_on(ground().machines.remove_root(&image))
        .unwrap();
    assert_eq!(second.output("root", "echo alive"), "alive");
    assert!(layer.exists());
    drop(second);
    assert!(!layer.exists());
    ground()
        .runtime
        .block_on(ground().machines.remove_root(&image))
        .unwrap();
}

fn run_returns_the_exit_status() {
    let run = |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        ground()
            .runtime
            .block_on(ground().machines.run(&ground().host, &command))
            .unwrap()
    };
    assert_eq!(run(&["sh", "-c", "test $(id -u) = 0 && exit 42"]), 42);
    assert_eq!(run(&["sh", "-c", "kill -KILL $$"]), 128 + 9);
    assert_eq!(run(&["test", "a b", "=", "a b"]), 0);
}

fn host_base_shows_no_secrets() {
    let machine = ground().start();
    let shadow = machine.output("root", "cat /etc/shadow");
    assert!(!shadow.contains('$'), "{shadow}");
    assert_eq!(
        machine.output("root", "ls -A /srv /mnt /opt /var/log; ls /home"),
        "/mnt:\n\n/opt:\n\n/srv:\n\n/var/log:\nec2-user"
    );
    machine.refuses("ls /work || ls /etc/ssh/ssh_host_ed25519_key || ls /etc/machine-id || ls /etc/ssl/private || ls /var/lib/docker");
}
