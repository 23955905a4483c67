//! What namespaces do not cover: ids, keyrings, cgroups, system calls, limits.
#![expect(clippy::print_stderr, reason = "a test that cannot run on this machine says so")]

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use bakelite_local::Limits;
use bakelite_local::machine::{BaseRoot, Ended, Isolation, Machines};
use bakelite_test_support::ended::RunToEnd as _;

use crate::Test;
use crate::ground::{Running, ground, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "root_of_a_machine_is_never_root_of_the_host",
        root_of_a_machine_is_never_root_of_the_host,
    ),
    ("keyrings_are_closed", keyrings_are_closed),
    (
        "system_calls_of_the_whole_machine_are_refused",
        system_calls_of_the_whole_machine_are_refused,
    ),
    ("newer_system_calls_do_not_exist", newer_system_calls_do_not_exist),
    ("only_covered_socket_families_exist", only_covered_socket_families_exist),
    ("terminals_cannot_be_typed_into", terminals_cannot_be_typed_into),
    ("cgroups_are_out_of_reach", cgroups_are_out_of_reach),
    (
        "files_that_only_root_may_read_stay_closed",
        files_that_only_root_may_read_stay_closed,
    ),
    ("processes_are_bounded", processes_are_bounded),
    ("memory_is_bounded", memory_is_bounded),
    ("disk_is_bounded", disk_is_bounded),
    ("shared_memory_is_bounded", shared_memory_is_bounded),
    ("packages_can_be_added", packages_can_be_added),
];

fn is_root() -> bool {
    text(&Command::new("id").arg("-u").run_to_end().stdout).trim() == "0"
}

fn root_of_a_machine_is_never_root_of_the_host() {
    let machine = ground().start();
    machine.output(
        "root",
        "touch /var/tmp/mine /tmp/tmp; sleep 86398 > /dev/null 2>&1 & true",
    );
    let layer = ground().store().join("machines").join(&machine.spec.id).join("fs");
    let owner = std::fs::metadata(layer.join("var/tmp/mine")).unwrap().uid();
    assert_ne!(owner, 0);
    assert_eq!(
        machine.output("root", "stat -c %u:%g /var/tmp/mine /etc/passwd"),
        "0:0\n0:0"
    );
    let map = machine.output("root", "cat /proc/self/uid_map");
    let outside: Vec<&str> = map.split_whitespace().collect();
    if is_root() {
        assert!(owner >= 0x0008_0000, "{owner}");
        assert_eq!(outside[0], "0", "{map}");
    }
    // Nothing that runs for the machine has an id of root's.
    let processes = Command::new("pgrep").args(["-f", "^sleep 86398"]).run_to_end();
    for process in text(&processes.stdout).lines() {
        if let Ok(found) = std::fs::metadata(format!("/proc/{process}")) {
            assert_ne!(found.uid(), 0, "process {process}");
        }
    }
}

/// Makes a system call in the machine; answers the error's name, or `none`.
fn call(machine: &Running, number: i64, arguments: &str) -> String {
    machine.output(
        "root",
        &format!("perl -MErrno -e '$x = \"x\"; $r = syscall({number}{arguments}); print $r == -1 ? (grep {{ $!{{$_}} }} keys %!)[0] : \"none\"'"),
    )
}

fn keyrings_are_closed() {
    let machine = ground().start();
    assert_eq!(call(&machine, libc::SYS_keyctl, ", 0, -3, 0"), "EPERM");
    assert_eq!(call(&machine, libc::SYS_add_key, ", $x, $x, $x, 1, -4"), "EPERM");
    assert_eq!(call(&machine, libc::SYS_request_key, ", $x, $x, 0, -4"), "EPERM");
}

fn system_calls_of_the_whole_machine_are_refused() {
    let machine = ground().start();
    for (name, number) in [
        ("bpf", libc::SYS_bpf),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("init_module", libc::SYS_init_module),
        ("kexec_load", libc::SYS_kexec_load),
        ("clock_settime", libc::SYS_clock_settime),
        ("swapon", libc::SYS_swapon),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("syslog", libc::SYS_syslog),
    ] {
        assert_eq!(call(&machine, number, ", 0, 0, 0, 0, 0"), "EPERM", "{name}");
    }
}

fn newer_system_calls_do_not_exist() {
    let machine = ground().start();
    // One that no kernel has yet, and an x32 call of `keyctl`.
    for number in [999, 0x4000_0000 + libc::SYS_keyctl] {
        assert_eq!(call(&machine, number, ", 0, 0, 0"), "ENOSYS", "{number}");
    }
    assert_eq!(call(&machine, libc::SYS_clone3, ", 0, 0"), "ENOSYS");
}

fn only_covered_socket_families_exist() {
    let machine = ground().start();
    for family in [
        libc::AF_VSOCK,
        libc::AF_PACKET,
        libc::AF_ALG,
        libc::AF_BLUETOOTH,
        libc::AF_KEY,
        libc::AF_TIPC,
        libc::AF_RDS,
    ] {
        assert_eq!(
            call(&machine, libc::SYS_socket, &format!(", {family}, 1, 0")),
            "EAFNOSUPPORT",
            "{family}"
        );
    }
    for family in [libc::AF_UNIX, libc::AF_INET] {
        assert_eq!(
            call(&machine, libc::SYS_socket, &format!(", {family}, 1, 0")),
            "none",
            "{family}"
        );
    }
    assert_eq!(
        call(&machine, libc::SYS_socket, &format!(", {}, 3, 0", libc::AF_NETLINK)),
        "none"
    );
}

fn terminals_cannot_be_typed_into() {
    let machine = ground().start();
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        assert_eq!(
            call(&machine, libc::SYS_ioctl, &format!(", 0, {request}, $x")),
            "EPERM",
            "{request}"
        );
    }
}

fn cgroups_are_out_of_reach() {
    let machine = ground().start();
    for attempt in [
        "mount -t cgroup2 none /mnt",
        "mount -t cgroup -o freezer none /mnt",
        "mount -t cgroup -o none,name=mine none /mnt",
        "unshare --cgroup true",
        "unshare --cgroup --mount mount -t cgroup2 none /mnt",
        "unshare --user --map-root-user --mount mount -t cgroup2 none /mnt",
    ] {
        machine.refuses(attempt);
    }
    let paths = machine.output("root", "cut -d: -f3- /proc/self/cgroup | sort -u");
    assert_eq!(paths, "/");
}

fn files_that_only_root_may_read_stay_closed() {
    let machine = ground().start();
    let hidden = machine.output(
        "root",
        "for file in slabinfo kpageflags kpagecount kpagecgroup vmallocinfo pagetypeinfo kcore keys; do \
         head -c 1 /proc/$file 2> /dev/null; done | wc -c",
    );
    assert_eq!(hidden, "0");
    // Below the system directories it is the mode that decides, for root of the machine as for everybody.
    let closed = text(
        &Command::new("find")
            .args([
                "/usr",
                "/var/lib/dpkg",
                "-xdev",
                "-type",
                "f",
                "!",
                "-perm",
                "-004",
                "-size",
                "+0",
            ])
            .run_to_end()
            .stdout,
    );
    for file in closed.lines().take(20) {
        let read = machine.run("root", &format!("test -s '{file}' && head -c 1 '{file}'"));
        assert!(read.stdout.is_empty(), "{file} can be read");
    }
}

/// Machines with limits of their own, and one of them.
struct Limited {
    machines: Machines,
    machine: Running,
    directory: tempfile::TempDir,
}

impl Limited {
    fn start(number: u8, limits: Limits) -> Option<Limited> {
        let directory = tempfile::tempdir().unwrap();
        let runtime = &ground().runtime;
        let opened = runtime.block_on(Machines::open(
            &directory.path().join("store"),
            Isolation::Sandbox,
            limits,
        ));
        let machines = match opened {
            Ok(machines) => machines,
            Err(bakelite_local::machine::MachineError::NotLimited(what)) => {
                assert!(!is_root(), "root can limit them: {what}");
                eprintln!("not run: {what}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let host = runtime.block_on(machines.base(&BaseRoot::Host)).unwrap();
        let mut spec = ground().spec(&host);
        spec.address = Ipv4Addr::new(127, 41, 1, number);
        let machine = runtime.block_on(machines.start(spec.clone())).unwrap();
        Some(Limited {
            machine: Running::again_borrowed(ground(), &spec, &machine),
            machines,
            directory,
        })
    }

    fn end(self) {
        self.machine
            .end_with(self.machines, &self.directory.path().join("store"));
    }
}

fn processes_are_bounded() {
    let limits = Limits {
        processes: Some(100),
        ..Limits::default()
    };
    let limited = Limited::start(1, limits).unwrap();
    // Two hundred are wanted, by two users.
    let bomb = "perl -e 'for (1..200) { my $p = fork; last unless defined $p; if (!$p) { sleep 60; exit } push @p, $p } \
                print scalar @p; kill 9, @p'";
    for user in ["root", "ec2-user"] {
        let output = limited.machine.run(user, bomb);
        let started: u32 = text(&output.stdout).trim().parse().unwrap();
        assert!(
            (10..100).contains(&started),
            "{user} started {started}: {}",
            text(&output.stderr)
        );
    }
    // The machine stays of use.
    assert_eq!(limited.machine.output("root", "echo alive"), "alive");
    limited.end();
}

fn memory_is_bounded() {
    let limits = Limits {
        memory: Some(128 << 20),
        ..Limits::default()
    };
    let Some(limited) = Limited::start(2, limits) else {
        return;
    };
    let hungry = limited
        .machine
        .run("root", "perl -e '$x = \"a\" x (512 << 20); print length $x'");
    assert!(!hungry.status.success(), "{}", text(&hungry.stdout));
    assert_eq!(text(&hungry.stdout), "");
    let tmpfs = limited.machine.run(
        "root",
        "mount -t tmpfs -o size=1g none /mnt && head -c 512m /dev/zero > /mnt/file && echo all of it",
    );
    // Files in memory cannot be freed, so this may be the end of the machine: it is the host that must live on.
    assert_eq!(text(&tmpfs.stdout), "");
    limited.end();
}

fn disk_is_bounded() {
    let limits = Limits {
        disk: Some(64 << 20),
        ..Limits::default()
    };
    let limited = Limited::start(3, limits).unwrap();
    // No file is larger. It is not written, so that it does not count.
    limited.machine.refuses("truncate -s 100m /var/tmp/large");
    // Nor are many files together.
    let fill = limited.machine.run(
        "root",
        "for i in $(seq 60); do head -c 10m /dev/urandom > /var/tmp/$i; done; sleep 100",
    );
    assert_eq!(limited.machine.ended(&fill), Ended::OverDisk);
    assert!(!fill.status.success());
    assert!(text(&limited.machine.machine.console_output()).contains("bytes were written"));
    limited.end();
}

fn shared_memory_is_bounded() {
    let machine = ground().start();
    let sizes = machine.output("root", "df --output=size -B1 /dev/shm /run /dev | tail -n +2");
    for size in sizes.lines() {
        let size: u64 = size.trim().parse().unwrap();
        assert!(size > 0 && size < 1 << 40, "{sizes}");
    }
}

fn packages_can_be_added() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        eprintln!("this machine has no dpkg");
        return;
    }
    let machine = ground().start();
    if !machine.has_users() {
        eprintln!("dpkg needs more than one id");
        return;
    }
    machine.output(
        "root",
        "mkdir -p /tmp/p/DEBIAN /tmp/p/opt/hello && echo hi > /tmp/p/opt/hello/world && \
         printf 'Package: hello-world\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@y>\\nDescription: x\\n' > /tmp/p/DEBIAN/control && \
         dpkg-deb --build /tmp/p /tmp/p.deb > /dev/null && dpkg -i /tmp/p.deb && dpkg -s hello-world && cat /opt/hello/world",
    );
}
