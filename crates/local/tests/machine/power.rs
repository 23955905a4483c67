//! Powering off, rebooting, first-boot scripts, and the end of the parent.

use std::process::{Command, Stdio};

use bakelite_local::Limits;
use bakelite_local::machine::{BaseRoot, Ended, Isolation, Machines};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::eventually::{LIMIT, until};
use bakelite_test_support::server::Server;

use crate::Test;
use crate::ground::{ground, text};

pub(crate) const TESTS: &[Test] = &[
    ("poweroff_ends_the_machine", poweroff_ends_the_machine),
    ("reboot_brings_it_back", reboot_brings_it_back),
    ("user_data_runs_once_as_root", user_data_runs_once_as_root),
    ("killed_parent_leaves_no_process", killed_parent_leaves_no_process),
    (
        "stop_does_not_wait_for_the_stubborn",
        stop_does_not_wait_for_the_stubborn,
    ),
    ("taken_port_is_replaced", taken_port_is_replaced),
    ("unisolated_machines_run_commands", unisolated_machines_run_commands),
];

fn poweroff_ends_the_machine() {
    for command in ["sudo poweroff", "sudo shutdown -h now", "sudo halt"] {
        let machine = ground().start();
        let output = machine.run("ec2-user", command);
        assert_eq!(machine.ended(&output), Ended::ByItself);
        assert!(!machine.machine.is_running(), "{command}");
        assert_ne!(machine.run("ec2-user", "true").status.code(), Some(0));
    }
}

fn reboot_brings_it_back() {
    let machine = ground().start();
    machine.output(
        "root",
        "touch /run/before /dev/shm/before /root/kept; nohup sleep 1000 > /dev/null 2>&1 < /dev/null &",
    );
    let output = machine.run("ec2-user", "sudo reboot; sleep 1000");
    assert_ne!(output.status.code(), Some(0));
    let is_back = || {
        machine
            .run("root", "test ! -e /run/before -a ! -e /dev/shm/before")
            .status
            .success()
    };
    until("the machine, back", LIMIT, || is_back().then_some(()));
    assert_eq!(
        machine.output("root", "ls /root; cat /proc/[0-9]*/comm | grep -c sleep; true"),
        "kept\n0"
    );
    assert!(machine.machine.is_running());
}

fn user_data_runs_once_as_root() {
    let mut spec = ground().spec(&ground().host);
    spec.user_data = Some(b"#!/bin/sh\necho hello from $(id -un)\necho ran >> /root/count\n".to_vec());
    let machine = ground().start_with(spec.clone());
    let is_on_the_console = || text(&machine.machine.console_output()).contains("hello from root");
    until("what it prints, on the console", LIMIT, || {
        is_on_the_console().then_some(())
    });
    let has_run = || machine.output("root", "cat /root/count 2>/dev/null || true") == "ran";
    until("its run", LIMIT, || has_run().then_some(()));
    machine.stop();
    let again = ground()
        .runtime
        .block_on(ground().machines.restart(&spec.id, spec.clone()))
        .unwrap();
    let again = crate::ground::Running::again(ground(), machine, again);
    assert_eq!(again.output("root", "cat /root/count"), "ran");
}

/// The child side of the test below: holds a machine until it is killed.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "how a test talks to its child"
)]
pub(crate) fn hold_machine_if_asked() -> bool {
    let Ok(directory) = std::env::var("BAKELITE_TEST_HOLD") else {
        return false;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machines = Machines::open(std::path::Path::new(&directory), Isolation::Sandbox, Limits::default())
            .await
            .unwrap();
        let base = machines.base(&BaseRoot::Host).await.unwrap();
        let mark = std::env::var("BAKELITE_TEST_MARK").unwrap();
        println!("ready");
        machines
            .run(
                &base,
                &["sh".into(), "-c".into(), format!("sleep {mark} & sleep {mark}")],
            )
            .await
            .unwrap();
    });
    true
}

fn count_processes(mark: &str) -> usize {
    let found = Command::new("pgrep")
        .args(["-c", "-f", &format!("^sleep {mark}$")])
        .run_to_end();
    text(&found.stdout).trim().parse().unwrap()
}

fn killed_parent_leaves_no_process() {
    let mark = format!("77{}", std::process::id());
    let store = ground().scratch("held").join("store");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env("BAKELITE_TEST_HOLD", &store)
        .env("BAKELITE_TEST_MARK", &mark)
        .stdin(Stdio::null());
    let (holder, ()) = Server::start(&mut command, |line| (line == "ready").then_some(()));
    until("both processes", LIMIT, || (count_processes(&mark) == 2).then_some(()));
    drop(holder);
    until("the end of all processes", LIMIT, || {
        (count_processes(&mark) == 0).then_some(())
    });
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&store.display().to_string()));
    ground().runtime.block_on(Machines::reset(&store)).unwrap();
    assert!(!store.exists());
}

fn stop_does_not_wait_for_the_stubborn() {
    let machine = ground().start();
    machine.output(
        "root",
        "(trap '' TERM HUP; while :; do sleep 1000; done) > /dev/null 2>&1 < /dev/null &",
    );
    machine.stop();
    assert!(!machine.machine.is_running());
}

fn taken_port_is_replaced() {
    let mut spec = ground().spec(&ground().host);
    let taken = std::net::TcpListener::bind((spec.address, 0)).unwrap();
    spec.ssh_port = taken.local_addr().unwrap().port();
    let machine = ground().start_with(spec);
    assert_ne!(machine.machine.ssh_address().port(), taken.local_addr().unwrap().port());
    assert_eq!(machine.output("root", "echo here"), "here");
}

fn unisolated_machines_run_commands() {
    let directory = ground().scratch("unisolated");
    let runtime = &ground().runtime;
    let machines = runtime
        .block_on(Machines::open(
            &directory.join("store"),
            Isolation::Unisolated,
            Limits::default(),
        ))
        .unwrap();
    assert_eq!(machines.limits().len(), 1);
    let base = runtime.block_on(machines.base(&BaseRoot::Host)).unwrap();
    assert!(
        runtime
            .block_on(machines.base(&BaseRoot::Directory("/".into())))
            .is_err()
    );
    let spec = ground().spec(&base);
    let machine = runtime.block_on(machines.start(spec.clone())).unwrap();
    let run = |machine: &bakelite_local::machine::Machine, command: &str| {
        let running = crate::ground::Running::again_borrowed(ground(), &spec, machine);
        let shown = running.run("ec2-user", command);
        std::mem::forget(running);
        text(&shown.stdout)
    };
    assert_eq!(
        run(
            &machine,
            "echo made > file; echo $USER; sleep 7654321 > /dev/null 2>&1 &"
        ),
        "ec2-user\n"
    );
    runtime.block_on(machine.stop());
    until("the end of its processes", LIMIT, || {
        (count_processes("7654321") == 0).then_some(())
    });
    let image = runtime.block_on(machines.snapshot(&spec.id)).unwrap();
    let next = bakelite_local::machine::MachineSpec {
        id: "i-next".into(),
        root: image,
        ..spec.clone()
    };
    let second = runtime.block_on(machines.start(next)).unwrap();
    assert_eq!(run(&second, "cat file"), "made\n");
    for id in [&spec.id, "i-next"] {
        runtime.block_on(machines.discard(id)).unwrap();
    }
    runtime.block_on(Machines::reset(&directory.join("store"))).unwrap();
}
