//! Attempts to reach the host from a machine, as its root.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

use crate::Test;
use crate::ground::{ground, text};

pub(crate) const TESTS: &[Test] = &[
    ("files_of_the_host_are_out_of_reach", files_of_the_host_are_out_of_reach),
    (
        "writes_to_system_directories_stay_inside",
        writes_to_system_directories_stay_inside,
    ),
    ("links_lead_nowhere", links_lead_nowhere),
    ("init_is_closed_to_the_machine", init_is_closed_to_the_machine),
    ("devices_cannot_be_made", devices_cannot_be_made),
    (
        "device_nodes_of_the_host_keep_their_mode",
        device_nodes_of_the_host_keep_their_mode,
    ),
    (
        "mounts_stay_inside_and_covers_stay_on",
        mounts_stay_inside_and_covers_stay_on,
    ),
    ("kernel_settings_are_read_only", kernel_settings_are_read_only),
    ("nested_namespaces_uncover_nothing", nested_namespaces_uncover_nothing),
    (
        "processes_of_the_host_cannot_be_seen_or_killed",
        processes_of_the_host_cannot_be_seen_or_killed,
    ),
    ("network_of_the_host_is_another", network_of_the_host_is_another),
    (
        "environment_of_the_host_does_not_leak",
        environment_of_the_host_does_not_leak,
    ),
    ("capabilities_end_at_the_namespace", capabilities_end_at_the_namespace),
    ("root_directory_tricks_fail", root_directory_tricks_fail),
];

fn files_of_the_host_are_out_of_reach() {
    let directory = ground().scratch("secrets");
    let secret = directory.join("secret");
    std::fs::write(&secret, "the host's").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o666)).unwrap();
    let machine = ground().start();
    for prefix in [
        "",
        "/..",
        "/../../../../..",
        "/proc/self/root",
        "/proc/self/cwd/../..",
        "/proc/self/root/../..",
    ] {
        machine.refuses(&format!("cat {prefix}{}", secret.display()));
    }
    machine.refuses(&format!("echo x > {}", secret.display()));
    // The store itself, with the layers of all machines, is not visible either.
    machine.refuses(&format!("ls {}", ground().store().display()));
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "the host's");
}

fn writes_to_system_directories_stay_inside() {
    let machine = ground().start();
    let before = std::fs::metadata("/usr/bin/env").unwrap();
    let passwd = std::fs::read("/etc/passwd").unwrap();
    machine.output("root", "rm /usr/bin/env; echo planted > /usr/bin/env; echo planted > /usr/bin/bakelite-planted; echo planted > /etc/passwd.new; mv /etc/passwd.new /etc/passwd");
    let after = std::fs::metadata("/usr/bin/env").unwrap();
    assert_eq!(
        (before.ino(), before.len(), before.mtime()),
        (after.ino(), after.len(), after.mtime())
    );
    assert!(!std::path::Path::new("/usr/bin/bakelite-planted").exists());
    assert_eq!(std::fs::read("/etc/passwd").unwrap(), passwd);
}

fn links_lead_nowhere() {
    let machine = ground().start();
    let directory = ground().scratch("links");
    std::fs::write(directory.join("target"), "untouched").unwrap();
    let target = directory.join("target").display().to_string();
    machine.refuses(&format!("ln -s {target} /tmp/link; echo x > /tmp/link"));
    machine.refuses(&format!("ln {target} /tmp/hard"));
    machine.refuses(&format!(
        "ln -s ../../../../../../../../../../..{target} /tmp/relative; echo x > /tmp/relative"
    ));
    assert_eq!(std::fs::read_to_string(directory.join("target")).unwrap(), "untouched");
}

fn init_is_closed_to_the_machine() {
    let machine = ground().start();
    for file in ["exe", "root", "cwd", "fd/0", "fd/3"] {
        machine.refuses(&format!("readlink /proc/1/{file}"));
        machine.refuses(&format!("stat -L /proc/1/{file}"));
    }
    for file in ["environ", "mem", "maps", "auxv", "exe"] {
        machine.refuses(&format!("head -c 1 /proc/1/{file}"));
    }
    machine.refuses("chmod 777 /proc/1/exe");
    machine.refuses("echo 1000 > /proc/1/oom_score_adj && chown 1 /proc/1/exe");
    machine.output("root", "kill -KILL 1; kill -STOP 1; true"); // init ignores both
    assert_eq!(machine.output("root", "echo alive"), "alive");
}

fn devices_cannot_be_made() {
    let machine = ground().start();
    machine.refuses("mknod /tmp/disk b 8 0");
    machine.refuses("mknod /tmp/memory c 1 1");
    machine.refuses("mknod /dev/disk b 254 0");
    let devices = machine.output(
        "root",
        "stat -c '%F %n' /dev/* /dev/pts/* | grep special | cut -d' ' -f4 | tr '\\n' ' '",
    );
    assert_eq!(
        devices,
        "/dev/full /dev/null /dev/random /dev/tty /dev/urandom /dev/zero /dev/pts/ptmx"
    );
    let work = "head -c 4 /dev/zero | wc -c; echo x > /dev/null; head -c 8 /dev/urandom | wc -c; echo y > /dev/full || echo full";
    assert_eq!(machine.output("root", work), "4\n8\nfull");
}

fn device_nodes_of_the_host_keep_their_mode() {
    let before = std::fs::metadata("/dev/null").unwrap();
    let machine = ground().start();
    machine.refuses("chmod 600 /dev/null");
    machine.refuses("chown 1 /dev/null");
    machine.refuses("chmod 777 /proc/keys");
    machine.run("root", "rm -f /dev/null /dev/zero; touch /dev/tty");
    let after = std::fs::metadata("/dev/null").unwrap();
    assert_eq!(
        (before.mode(), before.uid(), before.ino()),
        (after.mode(), after.uid(), after.ino())
    );
}

fn mounts_stay_inside_and_covers_stay_on() {
    let machine = ground().start();
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(
        machine.output("root", "mount -t tmpfs none /mnt && touch /mnt/file && ls /mnt"),
        "file"
    );
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    machine.refuses("umount /proc/sys");
    machine.refuses("umount -l /proc");
    machine.refuses("umount /usr");
    machine.refuses("mount -o remount,rw,bind /proc/sys");
    machine.refuses("mount -o remount,rw /dev/null");
    machine.refuses("mount -t devtmpfs none /mnt");
    machine.refuses("mount -t ext4 /dev/vda /mnt");
    // A bind of the whole root shows what lies below the covers of this namespace: still nothing of the host.
    machine.run("root", "mkdir /tmp/all; mount --bind / /tmp/all");
    machine.refuses(&format!("ls /tmp/all{}", ground().store().display()));
}

fn kernel_settings_are_read_only() {
    let machine = ground().start();
    let before = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    machine.refuses("echo '|/tmp/x' > /proc/sys/kernel/core_pattern");
    machine.refuses("echo 1 > /proc/sys/vm/drop_caches");
    machine.refuses("echo 1 > /proc/sys/kernel/panic");
    machine.refuses("echo b > /proc/sysrq-trigger");
    machine.refuses("ls /sys/kernel");
    machine.refuses("dmesg");
    assert_eq!(std::fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
}

fn nested_namespaces_uncover_nothing() {
    let machine = ground().start();
    machine.refuses("unshare -Urmpf --mount-proc sh -c 'echo x > /proc/sys/kernel/core_pattern'");
    machine.refuses("unshare -Urm umount /proc/sys");
    machine.refuses("unshare -m umount /proc/sys");
    machine.refuses("unshare -m mount -t proc none /mnt");
    machine.refuses("nsenter -t 1 -m true");
}

fn processes_of_the_host_cannot_be_seen_or_killed() {
    let mut victim = Command::new("sleep").arg("86399").stdin(Stdio::null()).spawn().unwrap();
    let machine = ground().start();
    let seen = machine.output("root", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(!seen.contains("86399"), "{seen}");
    machine.refuses(&format!("kill -KILL {0} 2>&1 && test -d /proc/{0}", victim.id()));
    // Everyone there is, that is: the machine's processes.
    machine.run("root", "kill -KILL -1");
    assert!(victim.try_wait().unwrap().is_none(), "the host's process was killed");
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(machine.output("root", "echo alive"), "alive");
}

fn network_of_the_host_is_another() {
    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    // Nobody else has the port: process ids repeat in the namespaces that this suite also runs in.
    let name = format!("bakelite-test-{port}");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let machine = ground().start();
    machine.refuses(&format!("bash -c 'exec 3<> /dev/tcp/127.0.0.1/{port}'"));
    assert!(!machine.output("root", "cat /proc/net/unix").contains(&name));
    assert_eq!(
        machine.output(
            "root",
            "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' ' | grep -v -e eth0 -e ^metadata$ -e tunl -e sit -e gre -e ip6 -e vti -e erspan"
        ),
        "lo"
    );
    // Its own loopback works.
    assert_eq!(
        machine.output(
            "root",
            "bash -c 'exec 3<> /dev/tcp/127.0.0.1/1' 2>&1 | grep -o refused | head -1"
        ),
        "refused"
    );
}

fn environment_of_the_host_does_not_leak() {
    let machine = ground().start();
    let seen = machine.output(
        "root",
        "env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; true",
    );
    assert!(!seen.contains("CARGO") && !seen.contains("TMPDIR"), "{seen}");
}

fn capabilities_end_at_the_namespace() {
    let machine = ground().start();
    machine.refuses("date -s 2001-01-01");
    machine.refuses("nice -n -20 true 2>&1 | grep -q annot && false");
    machine.refuses("bash -c 'echo 0 > /proc/self/loginuid'; modprobe dummy || insmod /tmp/x");
    machine.output("root", "hostname inside && test $(uname -n) = inside");
    assert_ne!(
        text(&std::fs::read("/proc/sys/kernel/hostname").unwrap()).trim(),
        "inside"
    );
}

fn root_directory_tricks_fail() {
    let machine = ground().start();
    // The classic way out of a chroot: change the root below the working directory, then climb.
    let climb = "mkdir -p /tmp/jail && cd / && perl -e 'chroot(\"/tmp/jail\"); chdir(\"..\") for 1..64; chroot(\".\"); exec(\"/bin/ls\", @ARGV)'";
    machine.refuses(&format!("{climb} {}", ground().store().display()));
    machine.refuses("pivot_root / /mnt");
}
