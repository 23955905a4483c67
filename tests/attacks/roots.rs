//! What of the host's files an instance gets to see and to change, who its own files belong to there, and base images that are tarballs
//! made to harm.

use bakelite_test_support::eventually::until;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cloud::Cloud;
use crate::host::Host;
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack(
        "files_below_usr_that_root_alone_may_read_are_not_read",
        Needs::RootHost,
        below_usr,
    ),
    Attack(
        "files_of_proc_that_root_alone_may_read_are_not_read",
        Needs::BothHosts,
        below_proc,
    ),
    Attack("its_root_is_not_root_of_the_host", Needs::RootHost, own_ids),
    Attack(
        "set_user_id_bits_give_nothing_on_the_host",
        Needs::RootHost,
        set_user_id,
    ),
    Attack("a_tarball_changes_no_file_of_the_host", Needs::BothHosts, tarballs),
];

const HOSTS: &str = "only-the-hosts-root-may-read-this-4711";

/// A directory below /usr/local that is gone with the value.
struct BelowUsr(PathBuf);

impl BelowUsr {
    fn make() -> BelowUsr {
        let directory = tempfile::Builder::new()
            .prefix("bakelite-attack-")
            .tempdir_in("/usr/local/lib")
            .unwrap();
        BelowUsr(directory.keep())
    }
}

impl Drop for BelowUsr {
    fn drop(&mut self) {
        // A directory that stays would be seen: its name shows whose it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads files and lists directories; prints what it got.
const READ: &str = "
import os, sys
for path in sys.argv[1:]:
    try:
        got = os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(4096)
        print('READ' if got else 'nothing', path, got)
    except OSError as error:
        print('refused', path, error.strerror)
print('tried')
";

fn below_usr(host: Host) {
    let ground = host.ground();
    let place = BelowUsr::make();
    let directory = |name: &str, mode: u32| {
        let directory = place.0.join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
        directory
    };
    let file = |path: PathBuf, mode: u32| {
        std::fs::write(&path, HOSTS).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    std::fs::set_permissions(&place.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let closed = directory("closed", 0o700);
    let paths = [
        file(place.0.join("for-root"), 0o600),
        file(place.0.join("for-a-group"), 0o640),
        file(place.0.join("for-nobody"), 0o000),
        file(closed.join("open-below-closed"), 0o644),
        closed.display().to_string(),
        "/usr/share/polkit-1/rules.d".to_owned(),
        "/etc/shadow".to_owned(),
    ];
    let open = file(place.0.join("for-all"), 0o644);
    let arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
    let printed = ground.inside(&[], READ, &arguments).succeeds();
    let read = printed
        .lines()
        .filter(|line| line.starts_with("READ") && !line.starts_with("READ /etc/shadow"));
    assert_eq!(read.collect::<Vec<_>>(), Vec::<&str>::new(), "{printed}");
    // An instance has a /etc/shadow of its own.
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
    let secret = shadow.lines().find(|line| line.contains(":$"));
    assert!(secret.is_none_or(|line| !printed.contains(line)), "{printed}");
    let printed = ground.inside(&[], READ, &[&open]).succeeds();
    assert!(printed.contains(HOSTS), "what all may read is read: {printed}");
}

fn below_proc(host: Host) {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let closed: Vec<String> = entries
        .filter(|entry| {
            entry
                .metadata()
                .is_ok_and(|found| found.is_file() && found.mode() & 0o004 == 0)
        })
        .map(|entry| entry.path().display().to_string())
        .chain(["/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"].map(str::to_owned))
        .collect();
    let arguments: Vec<&str> = closed.iter().map(String::as_str).collect();
    let printed = host.ground().inside(&[], READ, &arguments).succeeds();
    let read: Vec<&str> = printed.lines().filter(|line| line.starts_with("READ")).collect();
    assert!(read.is_empty() && printed.contains("tried"), "{read:?}");
}

/// A process of an instance that the host can find, by the command line that it was started with.
fn process_of(mark: &str) -> PathBuf {
    until("a process of the instance", Duration::from_secs(30), || {
        let entries = std::fs::read_dir("/proc")
            .ok()?
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        let line = format!("sleep\0{mark}\0");
        entries
            .filter(|path| std::fs::read_to_string(path.join("cmdline")).is_ok_and(|found| found == line))
            .last()
    })
}

/// A length of sleep that is no other test's: the id of this process is in it.
fn mark(kind: u32) -> String {
    format!("{kind}{}", std::process::id())
}

fn own_ids(host: Host) {
    let ground = host.ground();
    let image = ground.base_image();
    let mark = mark(86_401);
    let script = format!("touch /var/tmp/made /usr/local/lib/made /etc/made && exec sleep {mark}");
    let mut command = ground.start(["local", "run", &image, "--", "sh", "-c", &script]);
    let process = process_of(&mark);
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let owner = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    for id in owner.split_whitespace().skip(1) {
        assert!(
            id.parse::<u32>().unwrap() >= 65_536,
            "a process of the instance has {owner} on the host"
        );
    }
    for made in ["var/tmp/made", "usr/local/lib/made", "etc/made"] {
        let found = std::fs::metadata(process.join("root").join(made)).unwrap();
        assert!(
            found.uid() >= 65_536 && found.gid() >= 65_536,
            "/{made} belongs to {} on the host",
            found.uid()
        );
    }
    command.kill();
}

/// A shell with the set-user-id bit that an instance leaves in its layer: on the host it must not make anyone root.
fn set_user_id(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let instance = cloud
        .launch("#!/bin/sh\ncp /bin/sh /var/tmp/become-root\nchmod 6755 /var/tmp/become-root\ntouch /var/tmp/done\n");
    instance.has("/var/tmp/done");
    let mut find = std::process::Command::new("find");
    find.arg(ground.state())
        .args(["-name", "become-root", "-perm", "-4000", "-uid", "0"]);
    let found = Started::of(find).end(Duration::from_secs(30)).succeeds();
    assert_eq!(found, "", "a program that makes everyone root is on the host");
}

/// Malicious tarballs, each aimed at a directory of the host.
const TARBALLS: &str = include_str!("scripts/tarballs.py");

fn tarballs(host: Host) {
    let ground = host.ground();
    let victim = ground.private_directory("victim");
    let file = victim.join("file");
    ground.private_file(&file, "as it was");
    let tarballs = ground.private_directory("tarballs");
    let mut make = std::process::Command::new("/usr/bin/python3");
    make.args(["-c", TARBALLS]).arg(&tarballs).arg(&victim);
    Started::of(make).end(Duration::from_secs(30)).succeeds();
    let state = |path: &Path| {
        let found = std::fs::symlink_metadata(path).unwrap();
        (found.mode(), found.uid(), found.gid(), found.nlink())
    };
    let before = (state(&victim), state(&file));
    for tarball in std::fs::read_dir(&tarballs).unwrap().map(|entry| entry.unwrap().path()) {
        ground.give(&tarball);
        let image = format!("ami-00000000000000001={}", tarball.display());
        // It may be refused, or unpacked without what leads out of it.
        let ran = ground.run([
            "local",
            "run",
            "-local-image",
            &image,
            "ami-00000000000000001",
            "--",
            "true",
        ]);
        let shown = format!("{}: {ran:?}", tarball.display());
        assert_eq!((state(&victim), state(&file)), before, "{shown}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was", "{shown}");
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1, "{shown}");
        assert!(!ground.context.root().join("evil").exists(), "{shown}");
    }
}
