//! What an instance's root asks of the kernel: nothing that namespaces do not divide, and all that a script needs to set up a machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::Duration;

use crate::cloud::Cloud;
use crate::host::{Ground, Host};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("keyrings_are_out_of_reach", Needs::BothHosts, keyrings),
    Attack(
        "calls_that_reach_beyond_namespaces_are_refused",
        Needs::BothHosts,
        calls,
    ),
    Attack(
        "protocols_that_reach_beyond_namespaces_are_refused",
        Needs::BothHosts,
        protocols,
    ),
    Attack("file_systems_of_the_kernel_cannot_be_mounted", Needs::BothHosts, mounts),
    Attack("a_volume_is_a_device_of_its_own_bytes", Needs::BothHosts, volume),
    Attack("a_key_of_the_host_cannot_be_read", Needs::BothHosts, a_key),
    Attack("a_machine_can_still_be_set_up", Needs::BothHosts, work),
];

/// What each call of scripts/calls.py answers in an instance.
fn answers(ground: &Ground) -> BTreeMap<String, String> {
    let printed = ground.inside(&[], include_str!("scripts/calls.py"), &[]).succeeds();
    let pairs = printed.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, answer)| (name.to_owned(), answer.to_owned()))
        .collect()
}

/// All of these end before they do anything.
#[track_caller]
fn refused(host: Host, names: &[&str], as_what: &[&str]) {
    let answers = answers(&host.ground());
    let wrong: Vec<String> = names
        .iter()
        .map(|name| (name, answers.get(*name).map_or("not tried", String::as_str)))
        .filter(|(_, answer)| !as_what.contains(answer))
        .map(|(name, answer)| format!("{name}: {answer}"))
        .collect();
    assert!(wrong.is_empty(), "not refused: {}", wrong.join(", "));
}

fn keyrings(host: Host) {
    refused(host, &["keyctl", "add_key", "request_key"], &["EPERM", "ENOSYS"]);
}

/// That of a call without a right, and that of one that is not there. Any other would show that it looked at its arguments.
fn calls(host: Host) {
    let names = [
        "bpf",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "userfaultfd",
        "perf_event_open",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "clock_settime",
        "settimeofday",
        "clock_adjtime",
        "adjtimex",
        "swapon",
        "swapoff",
        "reboot",
        "acct",
        "open_by_handle_at",
        "lookup_dcookie",
        "quotactl",
        "syslog",
    ];
    refused(host, &names, &["EPERM", "ENOSYS"]);
}

fn protocols(host: Host) {
    let names = [
        "AF_VSOCK",
        "AF_PACKET",
        "AF_ALG",
        "AF_KEY",
        "AF_RDS",
        "AF_TIPC",
        "AF_BLUETOOTH",
        "AF_CAN",
        "AF_X25",
        "AF_XDP",
    ];
    refused(host, &names, &["EPERM", "EACCES", "EAFNOSUPPORT", "ENOSYS"]);
}

fn mounts(host: Host) {
    let names = [
        "mount-cgroup",
        "mount-cgroup2",
        "mount-debugfs",
        "mount-tracefs",
        "mount-securityfs",
        "mount-bpf",
        "mount-devtmpfs",
        "mount-configfs",
        "mount-efivarfs",
        "mount-pstore",
    ];
    refused(host, &names, &["EPERM", "EACCES", "ENOSYS", "ENODEV", "EBUSY"]);
}

/// A volume cannot be attached to another file or cut into devices of the host, and the kernel reads no file system on it.
fn volume(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let parameters = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvdf"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
    ];
    let instance = cloud.launch_with("#!/bin/sh\ntouch /tmp/booted\n", &parameters);
    instance.has("/tmp/booted");
    let attack = include_str!("scripts/volume.py").replace('\'', "'\\''");
    let printed = instance.ssh(&format!("sudo python3 -c '{attack}'")).succeeds();
    assert!(
        printed.ends_with("tried\n") && printed.contains(&format!("size {}\n", 1 << 30)),
        "{printed}"
    );
    let done: Vec<&str> = printed.lines().filter(|line| line.starts_with("DONE")).collect();
    assert!(done.is_empty(), "{done:?}");
}

/// In a session keyring of its own: a key, its serial number printed, and bakelite beside it as a child.
const WITH_A_KEY: &str = include_str!("scripts/with_a_key.py");

/// The review's attack on keyrings, with a key in a session keyring that the test makes for itself.
fn a_key(host: Host) {
    let ground = host.ground();
    let image = ground.base_image();
    let attack = include_str!("scripts/read_key.py");
    let bakelite = ground
        .context
        .command(["local", "run", &image, "--", "/usr/bin/python3", "-c", attack]);
    let words = [OsStr::new("-c"), OsStr::new(WITH_A_KEY), bakelite.get_program()];
    let command = ground.command_of("/usr/bin/python3", words.into_iter().chain(bakelite.get_args()));
    let printed = Started::of(command).end(Duration::from_secs(30)).succeeds();
    assert!(printed.contains("tried\n"), "{printed}");
    assert!(!printed.contains("secret-of-a-host-key"), "{printed}");
}

/// What set-up scripts do, as far as it works with one id.
const WITH_ONE_ID: &str = "\
mkdir -p /mnt/memory
mount -t tmpfs none /mnt/memory
touch /mnt/memory/file
umount /mnt/memory
unshare -Ur true
unshare -m true
hostname inside
mkfifo /var/tmp/fifo
ln -s a /var/tmp/link
python3 -c 'import multiprocessing, socket; socket.socket().bind((\"127.0.0.1\", 0)); multiprocessing.Lock()'
";
/// Needs more than one id, which a plain user has with `/etc/subuid` only.
const WITH_USERS: &str = "\
useradd -m baker
su baker -c 'touch ~/by-baker'
chown 123:456 /home/baker/by-baker
test \"$(stat -c %u:%g /home/baker/by-baker)\" = 123:456
sudo -u baker true
if command -v dpkg-deb > /dev/null; then
  mkdir -p /tmp/package/DEBIAN
  echo 'Package: wall\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.example>\nDescription: a package' > /tmp/package/DEBIAN/control
  dpkg-deb --root-owner-group --build /tmp/package /tmp/wall.deb
  dpkg -i /tmp/wall.deb
fi
";

fn work(host: Host) {
    let ground = host.ground();
    let image = ground.base_image();
    let users = if host.is_root() { WITH_USERS } else { "" };
    let script = format!("set -e\n{WITH_ONE_ID}{users}echo all of it\n");
    let ran = ground.run(["local", "run", &image, "--", "sh", "-c", &script]);
    assert!(ran.stdout.ends_with("all of it\n"), "{ran:?}");
}
