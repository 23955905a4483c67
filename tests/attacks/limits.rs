//! What an instance may take of this machine: processes, memory, processors, and room on disks and in memory file systems.

use std::time::{Duration, Instant};

use bakelite_test_support::context::Ran;

use crate::host::{Ground, Host};
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("processes_are_limited", Needs::BothHosts, processes),
    Attack(
        "processes_are_limited_without_a_flag",
        Needs::BothHosts,
        processes_by_default,
    ),
    Attack("memory_is_limited", Needs::BothHosts, memory),
    Attack("processors_are_limited", Needs::RootHost, processors),
    Attack("memory_file_systems_are_limited", Needs::BothHosts, memory_file_systems),
    Attack("disks_are_limited", Needs::BothHosts, disks),
    Attack("a_limit_that_is_no_number_is_told", Needs::Nothing, wrong_limits),
];

const GREEDY: &str = include_str!("scripts/greedy.py");
/// More processes than any limit that is tested; not so many that the host would suffer.
const MANY_PROCESSES: &str = "6000";

/// How much an instance with these flags got of something, as the last line with its name reports, and how that ended.
fn taken(ground: &Ground, flags: &[&str], what: &str, bound: &str) -> (u64, String, Ran) {
    held(ground, flags, what, bound, "0")
}

/// The same, where what was taken is held for so many seconds.
fn held(ground: &Ground, flags: &[&str], what: &str, bound: &str, seconds: &str) -> (u64, String, Ran) {
    let ran = ground.inside(flags, GREEDY, &[what, bound, seconds]);
    let line = ran.stdout.lines().rev().find_map(|line| line.strip_prefix(what));
    let line = line.unwrap_or_else(|| panic!("nothing is told about {what}: {ran:?}"));
    let (amount, end) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    (amount.parse().unwrap(), end.to_owned(), ran)
}

fn processes(host: Host) {
    let ground = host.ground();
    let (made, end, _) = taken(&ground, &["-local-pids", "200"], "processes", MANY_PROCESSES);
    assert!(made < 200 && end == "EAGAIN", "{made} processes, then {end}");
    let (made, _, _) = taken(&ground, &["-local-pids", "400"], "processes", "250");
    assert_eq!(made, 250, "what is within the limit is not refused");
}

fn processes_by_default(host: Host) {
    let (made, end, _) = taken(&host.ground(), &[], "processes", MANY_PROCESSES);
    assert!(made < 6000 && end == "EAGAIN", "{made} processes, then {end}");
}

/// A plain user's instance has a limit of memory where a control group was delegated to the user. Where none was, and a limit is asked
/// for, that is an error.
fn memory(host: Host) {
    let ground = host.ground();
    let image = ground.base_image();
    let asked = ground.run(["local", "run", "-local-memory", "256M", &image, "--", "true"]);
    if !host.is_root() && asked.code == Some(1) {
        assert!(
            asked.stderr.contains("memory") && !asked.stderr.contains("unexpected argument"),
            "{asked:?}"
        );
        return;
    }
    let (mebibytes, end, ran) = taken(&ground, &["-local-memory", "256M"], "memory", "1024");
    assert!(
        mebibytes <= 256 && end.is_empty(),
        "{mebibytes} MiB, then {end}: {ran:?}"
    );
    assert_ne!(ran.code, Some(0), "who takes more ends: {ran:?}");
    let (mebibytes, end, ran) = taken(&ground, &["-local-memory", "512M"], "memory", "256");
    assert!(
        mebibytes == 256 && end == "no end",
        "what is within the limit is not refused: {ran:?}"
    );
}

/// Two processes count for a while; the kernel reports how much processor time they got.
const BUSY: &str = "
import os, resource, time
children = []
end = time.monotonic() + 2
for _ in range(2):
    children.append(os.fork())
    if children[-1] == 0:
        while time.monotonic() < end:
            pass
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print('seconds', used.ru_utime + used.ru_stime)
";

fn processors(host: Host) {
    let started = Instant::now();
    let printed = host.ground().inside(&["-local-cpus", "0.5"], BUSY, &[]).succeeds();
    let used: f64 = printed.trim().strip_prefix("seconds ").unwrap().parse().unwrap();
    let most = 0.75 * started.elapsed().max(Duration::from_secs(2)).as_secs_f64();
    assert!(used < most, "{used} s of processors in {most} s");
}

/// Every file system of memory that the instance may write to, with its size in MiB.
const SIZES: &str = "
import os
for line in open('/proc/mounts'):
    place, kind, options = line.split()[1:4]
    if kind in ('tmpfs', 'ramfs') and 'ro' not in options.split(','):
        found = os.statvfs(place)
        print(place, found.f_blocks * found.f_frsize >> 20 if kind == 'tmpfs' and found.f_blocks else 'unlimited')
";

/// A plain user's may have as much together as an instance has memory by default: three quarters of this machine's.
fn memory_file_systems(host: Host) {
    let ground = host.ground();
    let of_machine = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: u64 = of_machine.split_whitespace().nth(1).unwrap().parse().unwrap();
    let (flags, most) = if host.is_root() {
        (&["-local-memory", "512M"][..], 512)
    } else {
        (&[][..], kib / 1024 * 2 / 5)
    };
    let sizes = ground.inside(flags, SIZES, &[]).succeeds();
    let all = sizes
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap_or(u64::MAX));
    let all = all.fold(0, u64::saturating_add);
    assert!(
        all <= most,
        "{all} MiB in file systems of memory, more than {most}: {sizes}"
    );
    if host.is_root() {
        let (mebibytes, end, ran) = taken(&ground, flags, "/dev/shm", "1024");
        assert!(
            mebibytes <= 512 && end != "no end",
            "{mebibytes} MiB in /dev/shm: {ran:?}"
        );
    }
}

/// Room on the disk is counted now and then: who has taken too much by then ends, or gets no more.
fn disks(host: Host) {
    let ground = host.ground();
    for directory in ["/var/tmp", "/usr/local/lib"] {
        let (mebibytes, end, ran) = held(&ground, &["-local-disk", "64M"], directory, "512", "30");
        assert!(
            ran.code != Some(0) || end != "no end",
            "{mebibytes} MiB in {directory}: {ran:?}"
        );
    }
    let (_, end, ran) = held(&ground, &["-local-disk", "256M"], "/var/tmp", "128", "2");
    assert_eq!(end, "no end", "what is within the limit is not refused: {ran:?}");
}

fn wrong_limits(host: Host) {
    let ground = host.ground();
    let image = ground.base_image();
    for (flag, value) in [
        ("-local-pids", "-1"),
        ("-local-pids", "many"),
        ("-local-memory", "1Q"),
        ("-local-memory", "99999999999999999999G"),
        ("-local-cpus", "NaN"),
        ("-local-cpus", "-1"),
        ("-local-disk", "lots"),
    ] {
        let printed = ground
            .run(["local", "run", flag, value, &image, "--", "true"])
            .fails_with(1);
        assert!(
            printed.contains(flag) && printed.contains(value),
            "{flag} {value}: {printed}"
        );
    }
}
