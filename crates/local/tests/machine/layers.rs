//! What the host does with the files of an instance stays in them: snapshots and removal against an instance that means
//! harm.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bakelite_local::machine::{BaseRoot, Isolation, Machines, RootId};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::ended::status_of;

use crate::Test;
use crate::ground::{Running, ground, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "racing_links_bring_no_file_of_the_host_into_a_snapshot",
        racing_links_bring_no_file_of_the_host_into_a_snapshot,
    ),
    ("racing_links_keep_a_removal_inside", racing_links_keep_a_removal_inside),
    ("deep_trees_are_copied_and_removed", deep_trees_are_copied_and_removed),
    (
        "twenty_snapshots_take_their_root_once",
        twenty_snapshots_take_their_root_once,
    ),
    (
        "special_files_are_copied_or_left_out",
        special_files_are_copied_or_left_out,
    ),
];

/// Exchanges directories with links to a directory of the host for as long as it lives. Perl, because it is on every Debian and
/// Amazon Linux; `renameat2` has no shell command.
const EXCHANGE: &str = r"
use strict;
my ($target, $directories, $files, $pause) = @ARGV;
my $renameat2 = `uname -m` =~ /x86_64/ ? 316 : 276;
mkdir '/var/tmp/race'; chdir '/var/tmp/race' or die;
for my $i (0 .. $directories - 1) { mkdir qq(d$i); symlink $target, qq(l$i) }
for my $i (0 .. $files - 1) { open my $f, '>', qq(d0/a$i) }
for my $i (1 .. 20) { open my $f, '>', qq(d0/f$i) }
$| = 1; print qq(ready\n);
while (1) {
    for my $i (0 .. $directories - 1) {
        my ($one, $other) = (qq(d$i), qq(l$i));
        syscall($renameat2, -100, $one, -100, $other, 2);
    }
    select undef, undef, undef, $pause if $pause > 0;
}
";

/// Starts the exchange and returns when it is going on; it ends with its machine.
fn exchange(machine: &Running, target: &Path, directories: u32, files: u32, pause: &str) {
    let mut put = machine.ssh("root");
    let mut put = put
        .arg("cat > /root/exchange.pl")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    put.stdin.take().unwrap().write_all(EXCHANGE.as_bytes()).unwrap();
    assert!(status_of(&mut put).success());
    machine.output(
        "root",
        &format!(
            "mkfifo /root/ready; setsid perl /root/exchange.pl {} {directories} {files} {pause} > /root/ready 2>&1 < /dev/null & head -1 /root/ready",
            target.display()
        ),
    );
}

fn snapshot(machine: &Running) -> RootId {
    ground()
        .runtime
        .block_on(ground().machines.snapshot(&machine.spec.id))
        .unwrap()
}

/// The files of a root's own layer.
fn layer(root: &RootId) -> PathBuf {
    ground().store().join("layers").join(&root.0).join("fs")
}

/// All regular files below a directory; links are not followed. What belongs to another user of a machine may be closed to a plain user
/// here; root of the machine, who attacks, is that user himself.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => continue,
            entries => entries.unwrap(),
        };
        for entry in entries.map(Result::unwrap) {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => waiting.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

fn racing_links_bring_no_file_of_the_host_into_a_snapshot() {
    let secret = ground().scratch("race-secret");
    std::fs::write(secret.join("secret.txt"), "the host's own").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o700)).unwrap();
    let machine = ground().start();
    exchange(&machine, &secret, 60, 0, "0");
    for _ in 0..20 {
        let image = ground().runtime.block_on(ground().machines.snapshot(&machine.spec.id));
        let layers = ground().store().join("layers");
        let brought: Vec<_> = files_below(&layers)
            .into_iter()
            .filter(|file| file.ends_with("secret.txt"))
            .collect();
        assert!(brought.is_empty(), "{brought:?}");
        ground()
            .runtime
            .block_on(ground().machines.remove_root(&image.unwrap()))
            .unwrap();
    }
}

fn racing_links_keep_a_removal_inside() {
    let directory = ground().scratch("race-removal");
    let victim = directory.join("victim");
    std::fs::create_dir(&victim).unwrap();
    for number in 1..=20 {
        std::fs::write(victim.join(format!("f{number}")), "precious").unwrap();
    }
    let runtime = &ground().runtime;
    let store = directory.join("store");
    let machines = runtime
        .block_on(Machines::open(
            &store,
            Isolation::Sandbox,
            bakelite_local::Limits::default(),
        ))
        .unwrap();
    let spec = ground().spec(&runtime.block_on(machines.base(&BaseRoot::Host)).unwrap());
    let machine = runtime.block_on(machines.start(spec.clone())).unwrap();
    let running = Running::again_borrowed(ground(), &spec, &machine);
    exchange(&running, &victim, 1, 60_000, "0.06");
    std::mem::forget(running);
    // The instance still runs: what it does meanwhile may keep the store from going, but leads nowhere else.
    let outcome = runtime.block_on(Machines::reset(&store));
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 20, "{outcome:?}");
    runtime.block_on(machine.stop());
    runtime.block_on(Machines::reset(&store)).unwrap();
    assert!(!store.exists());
}

fn deep_trees_are_copied_and_removed() {
    /// Deeper than the longest path, and than the limit on open files.
    const DEPTH: usize = 5000;
    let machine = ground().start();
    machine.output(
        "root",
        &format!("perl -e 'chdir q(/var/tmp); for (1..{DEPTH}) {{ mkdir q(d) or die; chdir q(d) or die }} open F, q(>bottom)'"),
    );
    let image = snapshot(&machine);
    let found = Command::new("find")
        .arg(layer(&image).join("var/tmp"))
        .args(["-name", "bottom", "-printf", "%d"])
        .run_to_end();
    assert_eq!(text(&found.stdout), (DEPTH + 1).to_string());
    let runtime = &ground().runtime;
    runtime.block_on(ground().machines.remove_root(&image)).unwrap();
    assert!(!layer(&image).exists());
    let id = machine.spec.id.clone();
    drop(machine);
    assert!(!ground().store().join("machines").join(id).exists());
}

fn twenty_snapshots_take_their_root_once() {
    const ROOT: u64 = 20 << 20;
    const CHANGE: u64 = 100 << 10;
    let directory = ground().scratch("twenty");
    let root = directory.join("root");
    std::fs::create_dir_all(root.join("opt")).unwrap();
    std::fs::write(root.join("opt/large"), vec![7; usize::try_from(ROOT).unwrap()]).unwrap();
    let tarball = directory.join("root.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(&tarball)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let (runtime, store) = (&ground().runtime, directory.join("store"));
    let machines = Machines::open(&store, Isolation::Sandbox, bakelite_local::Limits::default());
    let machines = runtime.block_on(machines).unwrap();
    let used = || {
        let store = Command::new("du")
            .args(["-s", "-B1"])
            .arg(store.join("layers"))
            .output()
            .unwrap();
        let bytes = text(&store.stdout).split_whitespace().next().unwrap().to_owned();
        bytes.parse::<u64>().unwrap()
    };
    let before = used();
    let base = runtime.block_on(machines.base(&BaseRoot::Tarball(tarball))).unwrap();
    let spec = ground().spec(&base);
    let mut roots = Vec::new();
    for _ in 0..20 {
        let machine = runtime.block_on(machines.start(spec.clone())).unwrap();
        runtime.block_on(machine.stop());
        let files = store.join("machines").join(&spec.id).join("fs");
        std::fs::write(files.join("change"), vec![7; usize::try_from(CHANGE).unwrap()]).unwrap();
        roots.push(runtime.block_on(machines.snapshot(&spec.id)).unwrap());
        runtime.block_on(machines.discard(&spec.id)).unwrap();
    }
    // What a boot writes into a root comes on top.
    let taken = used() - before;
    assert!((ROOT..ROOT + 20 * (CHANGE + (128 << 10))).contains(&taken), "{taken}");
    for root in roots.iter().chain([&base]) {
        runtime.block_on(machines.remove_root(root)).unwrap();
    }
    assert_eq!(used(), before);
    drop(machines);
    runtime.block_on(Machines::reset(&store)).unwrap();
}

fn special_files_are_copied_or_left_out() {
    let machine = ground().start();
    machine.output(
        "root",
        "cd /root && mkfifo -m 640 pipe && perl -MSocket -e 'socket S, PF_UNIX, SOCK_STREAM, 0; bind S, sockaddr_un(q(socket)) or die' \
         && truncate -s 10G sparse && printf end | dd of=sparse bs=1 seek=1M conv=notrunc 2> /dev/null \
         && touch one && ln one other && ln -s /etc/shadow link && rm /etc/debian_version \
         && perl -e 'mkdir q(odd); open F, q(>odd/) . chr($_) for (1..46, 48..255)' && mkdir closed && chmod 0 closed && touch closed/in",
    );
    // An instance cannot make devices; should one get into its files all the same, it does not get any further.
    let files = ground().store().join("machines").join(&machine.spec.id).join("fs/root");
    let is_root = Command::new("mknod")
        .arg(files.join("disk"))
        .args(["b", "8", "0"])
        .status()
        .unwrap()
        .success();
    let image = snapshot(&machine);
    let copied = layer(&image).join("root");
    let look = |name: &str| std::fs::symlink_metadata(copied.join(name)).unwrap();
    assert!(look("pipe").file_type().is_fifo());
    assert_eq!(look("pipe").mode() & 0o777, 0o640);
    assert!(!copied.join("socket").exists());
    if is_root {
        assert!(
            std::fs::symlink_metadata(files.join("disk"))
                .unwrap()
                .file_type()
                .is_block_device()
        );
        assert!(std::fs::symlink_metadata(copied.join("disk")).is_err());
    }
    assert_eq!(look("sparse").len(), 10 << 30);
    assert!(look("sparse").blocks() < 1000, "{}", look("sparse").blocks());
    assert_eq!((look("one").ino(), look("one").nlink()), (look("other").ino(), 2));
    assert_eq!(
        std::fs::read_link(copied.join("link")).unwrap(),
        Path::new("/etc/shadow")
    );
    assert_eq!(look("closed").mode() & 0o777, 0);
    let gone = std::fs::symlink_metadata(layer(&image).join("etc/debian_version")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let next = ground().start_on(&image);
    let seen = "ls /root/odd | wc -l; ls -A /root/closed; test -e /etc/debian_version || echo gone; tail -c +1048577 /root/sparse | head -c 3";
    let inside = next.output("root", seen);
    assert!(inside.ends_with("in\ngone\nend"), "{inside}");
}
