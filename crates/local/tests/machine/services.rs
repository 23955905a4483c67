//! Services that the machine's own init runs, by `systemctl` in it.

use bakelite_local::machine::{BaseRoot, RootId};
use bakelite_test_support::eventually::{LIMIT, until};

use crate::Test;
use crate::ground::{Running, ground, minimal_root};

pub(crate) const TESTS: &[Test] = &[
    ("a_service_starts_and_stops", a_service_starts_and_stops),
    (
        "enabled_services_run_after_a_reboot_and_in_an_image",
        enabled_services_run_after_a_reboot_and_in_an_image,
    ),
    ("each_type_is_up_when_it_should_be", each_type_is_up_when_it_should_be),
    (
        "failures_are_shown_with_their_reason",
        failures_are_shown_with_their_reason,
    ),
    ("options_have_their_effect", options_have_their_effect),
    ("what_a_unit_needs_starts_first", what_a_unit_needs_starts_first),
    ("a_service_that_fails_is_restarted", a_service_that_fails_is_restarted),
    ("systemctl_answers_as_systemds", systemctl_answers_as_systemds),
    ("scripts_of_init_d_go_through", scripts_of_init_d_go_through),
    ("only_root_has_something_done", only_root_has_something_done),
    ("the_manager_bears_nonsense", the_manager_bears_nonsense),
    (
        "units_of_a_root_without_systemd_run",
        units_of_a_root_without_systemd_run,
    ),
];

/// Writes a unit.
fn unit(machine: &Running, name: &str, text: &str) {
    machine.output(
        "root",
        &format!("mkdir -p /etc/systemd/system; cat > /etc/systemd/system/{name} <<'END'\n{text}\nEND"),
    );
}

fn simple(command: &str) -> String {
    format!("[Unit]\nDescription=A test\n[Service]\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n")
}

/// The exit code of a command.
fn code(machine: &Running, command: &str) -> Option<i32> {
    machine.run("root", command).status.code()
}

fn a_service_starts_and_stops() {
    let machine = ground().start();
    unit(
        &machine,
        "web.service",
        &simple("/bin/sh -c 'trap \"echo bye; exit 0\" TERM; echo hello; sleep 1000 & wait'"),
    );
    machine.output(
        "ec2-user",
        "sudo systemctl daemon-reload && sudo systemctl enable --now web",
    );
    assert_eq!(
        machine.output("ec2-user", "systemctl is-active web; systemctl is-enabled web"),
        "active\nenabled"
    );
    let status = machine.output("root", "systemctl status web --no-pager");
    for line in [
        "● web.service - A test",
        "Loaded: loaded (/etc/systemd/system/web.service; enabled)",
        "Active: active (running) since",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let pid = machine.output("root", "systemctl show -p MainPID --value web");
    assert_eq!(machine.output("root", &format!("cat /proc/{pid}/comm")), "sh");
    machine.output("root", "systemctl restart web");
    assert_ne!(machine.output("root", "systemctl show -P MainPID web"), pid);
    machine.output("root", "systemctl stop web; systemctl stop web");
    assert_eq!(machine.output("root", "pgrep -x sleep | wc -l"), "0");
    assert_eq!(code(&machine, "systemctl is-active --quiet web"), Some(3));
    let log = machine.output("root", "journalctl -u web --no-pager");
    assert!(log.contains("hello\n") && log.contains("bye\n"), "{log}");
    machine.output("root", "systemctl disable web");
    assert_eq!(machine.refuses("systemctl is-enabled web"), "disabled\n");
}

fn enabled_services_run_after_a_reboot_and_in_an_image() {
    let machine = ground().start();
    unit(
        &machine,
        "web.service",
        &simple(
            "/bin/sh -c 'trap \"echo stopped >> /root/log; exit 0\" TERM; echo started >> /root/log; sleep 1000 & wait'",
        ),
    );
    unit(&machine, "other.service", &simple("/bin/sleep 1000"));
    machine.output(
        "root",
        "systemctl enable --now web && systemctl start other && touch /run/before",
    );
    machine.run("root", "reboot");
    let is_back = || {
        machine
            .run("root", "test ! -e /run/before && systemctl is-active web")
            .status
            .success()
    };
    until("the service, after the reboot", LIMIT, || is_back().then_some(()));
    assert_eq!(machine.output("root", "cat /root/log"), "started\nstopped\nstarted");
    assert_eq!(code(&machine, "systemctl is-active other"), Some(3));
    machine.stop();
    let root = ground()
        .runtime
        .block_on(ground().machines.snapshot(&machine.spec.id))
        .unwrap();
    let again = ground().start_on(&root);
    until("the service, in an instance of the image", LIMIT, || {
        (code(&again, "systemctl is-active web") == Some(0)).then_some(())
    });
    assert_eq!(
        again.output("root", "tail -n 2 /root/log"),
        "stopped\nstarted",
        "stopping the machine has stopped the service"
    );
}

fn each_type_is_up_when_it_should_be() {
    let machine = ground().start();
    let service = |kind: &str, more: &str| format!("[Service]\nType={kind}\n{more}\n");
    unit(
        &machine,
        "once.service",
        &service(
            "oneshot",
            "ExecStart=/bin/sh -c 'echo one > /root/once'\nExecStart=/bin/sh -c 'echo two >> /root/once'\nRemainAfterExit=yes",
        ),
    );
    unit(
        &machine,
        "fork.service",
        &service(
            "forking",
            "PIDFile=/run/fork.pid\nExecStart=/bin/sh -c 'setsid sleep 1000 & echo $! > /run/fork.pid'",
        ),
    );
    let script = "use IO::Socket::UNIX; select(undef, undef, undef, 0.3); my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}); \
        open(my $f, \">\", \"/root/ready\"); print $s \"READY=1\\nSTATUS=serving\"; sleep 1000";
    machine.output("root", &format!("cat > /root/notify.pl <<'END'\n{script}\nEND"));
    unit(
        &machine,
        "tells.service",
        &service("notify", "ExecStart=/usr/bin/perl /root/notify.pl"),
    );
    machine.output("root", "systemctl start once fork tells && test -e /root/ready");
    assert_eq!(
        machine.output("root", "cat /root/once; systemctl show -P SubState once"),
        "one\ntwo\nexited"
    );
    assert_eq!(
        machine
            .output("root", "systemctl show -P MainPID fork; cat /run/fork.pid")
            .lines()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        1
    );
    assert_eq!(machine.output("root", "systemctl show -P StatusText tells"), "serving");
    // What has daemonized is stopped all the same.
    machine.output("root", "systemctl stop fork tells once");
    assert_eq!(
        machine.output("root", "pgrep -x sleep | wc -l; pgrep perl | wc -l"),
        "0\n0"
    );
}

fn failures_are_shown_with_their_reason() {
    let machine = ground().start();
    unit(
        &machine,
        "bad.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the reason >&2; exit 3'",
    );
    let shown = machine.refuses("systemctl start bad");
    for part in [
        "Job for bad.service failed because the control process exited with error code.",
        "the reason",
        "status=3/FAILURE",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_eq!(code(&machine, "systemctl is-failed bad"), Some(0));
    assert_eq!(
        machine.output("root", "systemctl show -P ExecMainStatus,Result bad"),
        "3\nexit-code"
    );
    machine.output("root", "systemctl reset-failed");
    assert_eq!(machine.run("root", "systemctl is-active bad").stdout, b"inactive\n");
    unit(&machine, "none.service", "[Service]\nExecStart=/no/such/program");
    assert!(
        machine
            .refuses("systemctl start none")
            .contains("Failed to locate executable /no/such/program")
    );
    unit(
        &machine,
        "slow.service",
        "[Service]\nType=notify\nExecStart=/bin/sleep 1000\nTimeoutStartSec=500ms",
    );
    assert!(
        machine
            .refuses("systemctl start slow")
            .contains("a timeout was exceeded")
    );
    unit(
        &machine,
        "needs.service",
        "[Unit]\nRequires=bad.service\nAfter=bad.service\n[Service]\nExecStart=/bin/true",
    );
    assert!(
        machine
            .refuses("systemctl start needs")
            .contains("A dependency job for needs.service failed")
    );
    unit(
        &machine,
        "when.timer",
        "[Timer]\nOnBootSec=1\n[Install]\nWantedBy=timers.target",
    );
    assert!(
        machine
            .refuses("systemctl enable --now when.timer")
            .contains("timer units are not supported by the init of the local cloud")
    );
    assert_eq!(machine.output("root", "systemctl is-enabled when.timer"), "enabled");
}

fn options_have_their_effect() {
    let machine = ground().start();
    machine.output("root", "printf 'FROM_FILE=\"a b\"\\n' > /etc/default/opts");
    unit(
        &machine,
        "opts@.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=ec2-user\nWorkingDirectory=/var/tmp\nUMask=0027\nRuntimeDirectory=opts/%i\nStateDirectory=opts\n\
         Environment=ONE=1 \"TWO=2 3\"\nEnvironmentFile=-/etc/default/missing\nEnvironmentFile=/etc/default/opts\nLimitNOFILE=512\nPrivateTmp=yes\n\
         ExecStartPre=+/bin/sh -c 'id -u > /run/opts-root'\nExecStart=/bin/sh -c 'echo %i $$TWO ${FROM_FILE} $RUNTIME_DIRECTORY $(pwd) $(umask) $(ulimit -n); id -un; echo x > /run/opts/%i/mine' arg $ONE\n\
         StandardOutput=file:/tmp/opts.out\n",
    );
    machine.output("root", "mkdir -p /etc/systemd/system/opts@.service.d; printf '[Service]\\nEnvironment=TWO=4\\n' > /etc/systemd/system/opts@.service.d/a.conf");
    machine.output("root", "systemctl start opts@five");
    let user = if machine.has_users() { "ec2-user" } else { "root" };
    assert_eq!(
        machine.output("root", "cat /tmp/opts.out /run/opts-root"),
        format!("five 4 a b /run/opts/five /var/tmp 0027 512\n{user}\n0")
    );
    let status = machine.output("root", "systemctl status opts@five");
    assert!(
        status.contains("Ignored: PrivateTmp (without effect in the local cloud)"),
        "{status}"
    );
    assert_eq!(machine.output("root", "stat -c %U /run/opts/five/mine"), user);
    machine.output(
        "root",
        "systemctl stop opts@five && test ! -e /run/opts/five && test -d /var/lib/opts",
    );
}

fn what_a_unit_needs_starts_first() {
    let machine = ground().start();
    let step = |name: &str, more: &str| {
        format!(
            "[Unit]\n{more}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo {name} >> /root/order'\nExecStop=/bin/sh -c 'echo -{name} >> /root/order'"
        )
    };
    unit(
        &machine,
        "a.service",
        &step(
            "a",
            "Requires=b.service\nAfter=b.service c.service\nWants=c.service gone.service a.socket",
        ),
    );
    unit(&machine, "b.service", &step("b", "After=c.service"));
    unit(&machine, "c.service", &step("c", "After=a.service"));
    unit(
        &machine,
        "skipped.service",
        &step("skipped", "ConditionPathExists=/no/such/file"),
    );
    machine.output("root", "systemctl start a skipped");
    let order = machine.output("root", "sort /root/order");
    assert_eq!(order, "a\nb\nc");
    assert_eq!(code(&machine, "systemctl is-active skipped"), Some(3));
    machine.output("root", "> /root/order; systemctl stop b");
    assert_eq!(
        machine.output("root", "cat /root/order; systemctl is-active c"),
        "-a\n-b\nactive"
    );
}

fn a_service_that_fails_is_restarted() {
    let machine = ground().start();
    unit(
        &machine,
        "again.service",
        "[Service]\nExecStart=/bin/sh -c 'echo x >> /root/runs; [ $(wc -l < /root/runs) -ge 3 ] && exec sleep 1000; exit 1'\nRestart=on-failure\nRestartSec=0",
    );
    machine.output("root", "systemctl start again");
    until("the third start", LIMIT, || {
        (machine.output("root", "systemctl show -P NRestarts again") == "2").then_some(())
    });
    unit(
        &machine,
        "never.service",
        "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=0",
    );
    machine.run("root", "systemctl start never");
    until("the limit of starts", LIMIT, || {
        (machine.output("root", "systemctl show -P Result never") == "start-limit-hit").then_some(())
    });
    assert_eq!(machine.run("root", "systemctl is-active never").stdout, b"failed\n");
}

fn systemctl_answers_as_systemds() {
    let machine = ground().start();
    unit(&machine, "web.service", &simple("/bin/sleep 1000"));
    for (command, status) in [
        ("start none", 5),
        ("status none", 4),
        ("status web", 3),
        ("is-active web", 3),
        ("is-active none", 4),
        ("is-enabled web", 1),
        ("is-failed web", 1),
        ("try-restart web", 0),
        ("stop web", 0),
        ("stop none", 5),
        ("reload web", 1),
        ("reload-or-restart web", 0),
        ("is-active web", 0),
        ("kill -s KILL web", 0),
        ("isolate rescue.target", 1),
        ("mask --now web", 1),
        ("show nothing -p LoadState", 0),
        ("is-active network-online.target", 0),
        ("--version", 0),
        ("start", 1),
    ] {
        assert_eq!(
            code(&machine, &format!("systemctl {command}")),
            Some(status),
            "{command}"
        );
    }
    assert_eq!(
        machine.output("root", "systemctl show none -p LoadState,ActiveState"),
        "LoadState=not-found\nActiveState=inactive"
    );
    assert!(
        machine
            .output("root", "systemctl list-units --type=service --all --no-legend")
            .starts_with("web.service loaded")
    );
    assert!(
        machine
            .output("root", "systemctl cat web")
            .starts_with("# /etc/systemd/system/web.service\n[Unit]\n")
    );
    assert_eq!(
        machine.output("root", "systemctl list-unit-files 'web*' --no-legend"),
        "web.service disabled"
    );
    machine.output("root", "rm /etc/systemd/system/web.service; systemctl mask web");
    assert!(
        machine
            .refuses("systemctl start web")
            .contains("Unit web.service is masked.")
    );
    assert_eq!(machine.output("root", "systemctl set-default multi-user.target > /dev/null 2>&1; readlink /etc/systemd/system/default.target | sed 's,.*/,,'"), "multi-user.target");
}

fn scripts_of_init_d_go_through() {
    let machine = ground().start();
    machine.output("root", "cat > /etc/init.d/old <<'END'\n#!/bin/sh\n. /lib/lsb/init-functions 2> /dev/null\ncase $1 in start) setsid sleep 1000 > /dev/null 2>&1 & ;; stop) pkill -x sleep ;; esac\nEND\nchmod +x /etc/init.d/old");
    machine.output("root", "systemctl start old");
    assert_eq!(
        machine.output("root", "systemctl is-active old; pgrep -x sleep | wc -l"),
        "active\n1"
    );
    machine.output("root", "systemctl stop old");
    assert_eq!(machine.output("root", "pgrep -x sleep | wc -l"), "0");
    unit(&machine, "new.service", &simple("/bin/sleep 1000"));
    machine.output("root", "if command -v service > /dev/null; then service new start; else systemctl start new; fi; systemctl is-active new");
}

fn only_root_has_something_done() {
    let machine = ground().start();
    unit(&machine, "web.service", &simple("/bin/sleep 1000"));
    if machine.has_users() {
        let refused = machine.run(
            "ec2-user",
            "systemctl start web; systemctl enable web; systemctl poweroff; systemctl cat web",
        );
        let shown = crate::ground::text(&refused.stderr);
        assert_eq!(shown.matches("Access denied").count(), 4, "{shown}");
        assert_eq!(
            machine.output(
                "ec2-user",
                "systemctl is-enabled web || systemctl is-active web || true"
            ),
            "disabled\ninactive"
        );
    }
    machine.output(
        "ec2-user",
        "sudo systemctl start web && systemctl is-active web && systemctl status web",
    );
}

/// What a process in the machine can do to the socket, to unit files and to the manager itself.
fn the_manager_bears_nonsense() {
    let machine = ground().start();
    let script = "use Socket; my @kept; for my $i (1..300) { socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0); \
        connect($s, pack_sockaddr_un(\"/run/bakelite/services\")) or last; \
        send($s, $i % 3 ? join(\"\", map { chr(rand 256) } 1..1000) : \"x\" x 100000, 0) if $i % 2; push @kept, $s if $i < 60 } print scalar(@kept)";
    machine.output("root", &format!("timeout 60 perl -e '{script}'"));
    machine.output(
        "root",
        "cd /etc/systemd/system; mkfifo pipe.service; ln -s /dev/zero zero.service; head -c 3000000 /dev/zero | tr '\\0' '[' > long.service; \
         mkdir directory.service; ln -s self.service self.service; head -c 5000 /dev/urandom > random.service",
    );
    for name in [
        "pipe",
        "zero",
        "long",
        "directory",
        "self",
        "random",
        "../../../etc/passwd",
        "'a b'",
        "-- -x",
        "@.service",
    ] {
        let shown = machine.run(
            "root",
            &format!("timeout 20 systemctl start {name}; timeout 20 systemctl status {name}"),
        );
        assert_ne!(shown.status.code(), Some(124), "{name}");
        assert_ne!(shown.status.code(), Some(0), "{name}");
    }
    // A service that leaves processes behind faster than they are looked at is still stopped.
    unit(
        &machine,
        "many.service",
        "[Service]\nExecStart=/bin/sh -c 'for i in $(seq 100); do (setsid sleep 1000 &) ; done; exec sleep 1000'\nTimeoutStopSec=5",
    );
    machine.output("root", "systemctl start many && sleep 0.5 && systemctl stop many");
    assert_eq!(machine.output("root", "pgrep -x sleep | wc -l"), "0");
    machine.output("root", "pkill -KILL -x services");
    until("another manager", LIMIT, || {
        machine
            .run("root", "systemctl is-system-running")
            .status
            .success()
            .then_some(())
    });
}

fn units_of_a_root_without_systemd_run() {
    let root = ground().scratch("services");
    minimal_root(&root);
    let units = root.join("usr/lib/systemd/system");
    std::fs::create_dir_all(&units).unwrap();
    std::fs::create_dir_all(root.join("etc/systemd/system/multi-user.target.wants")).unwrap();
    std::fs::write(units.join("web.service"), simple("/bin/sleep 1000")).unwrap();
    let link = root.join("etc/systemd/system/multi-user.target.wants/web.service");
    std::os::unix::fs::symlink("/usr/lib/systemd/system/web.service", link).unwrap();
    let base: RootId = ground()
        .runtime
        .block_on(ground().machines.base(&BaseRoot::Directory(root)))
        .unwrap();
    let machine = ground().start_on(&base);
    until("the service that the root has enabled", LIMIT, || {
        (code(&machine, "systemctl is-active web") == Some(0)).then_some(())
    });
    assert_eq!(
        machine.output(
            "root",
            "systemctl is-enabled web; systemctl stop web; systemctl is-active web || true"
        ),
        "enabled\ninactive"
    );
    assert!(
        machine
            .refuses("systemctl preset web")
            .contains("the image has no systemd")
    );
}
