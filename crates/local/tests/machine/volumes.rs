//! Volumes besides the root: devices of their size, what is mounted in their place, what snapshots keep of them, and that a device leads to its own
//! file alone.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bakelite_local::Limits;
use bakelite_local::machine::{BaseRoot, Ended, Isolation, MachineSpec, Machines, VolumeSpec};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::eventually::{LIMIT, until};
use bakelite_test_support::server::Server;

use crate::Test;
use crate::ground::{Running, ground, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_volume_has_its_size_and_is_mounted",
        a_volume_has_its_size_and_is_mounted,
    ),
    ("a_new_file_system_is_empty", a_new_file_system_is_empty),
    ("snapshots_keep_what_volumes_hold", snapshots_keep_what_volumes_hold),
    ("other_mounts_are_the_roots_own", other_mounts_are_the_roots_own),
    ("a_device_leads_to_its_own_file", a_device_leads_to_its_own_file),
    ("volumes_count_for_the_disk", volumes_count_for_the_disk),
    (
        "a_killed_parent_leaves_no_loop_device",
        a_killed_parent_leaves_no_loop_device,
    ),
    ("impossible_names_are_left_out", impossible_names_are_left_out),
];

const GIB: u64 = 1 << 30;

fn volume(id: &str, device: &str) -> VolumeSpec {
    VolumeSpec {
        id: id.into(),
        device: device.into(),
        size: GIB,
    }
}

fn with_volumes(volumes: &[VolumeSpec]) -> Running {
    let mut spec = ground().spec(&ground().host);
    spec.volumes = volumes.to_vec();
    ground().start_with(spec)
}

/// Starts the machine again.
fn again(machine: Running) -> Running {
    machine.stop();
    let spec = machine.spec.clone();
    let next = ground()
        .runtime
        .block_on(ground().machines.restart(&spec.id, spec.clone()));
    Running::again(ground(), machine, next.unwrap())
}

/// Whether volumes are block devices here.
fn has_loop_devices() -> bool {
    text(&Command::new("id").arg("-u").run_to_end().stdout).trim() == "0" && Path::new("/dev/loop-control").exists()
}

fn forget(volumes: &[VolumeSpec]) {
    for volume in volumes {
        ground()
            .runtime
            .block_on(ground().machines.remove_volume(&volume.id))
            .unwrap();
    }
}

fn a_volume_has_its_size_and_is_mounted() {
    let volumes = [volume("vol-00a1", "/dev/xvdb"), volume("vol-00a2", "/dev/sdf")];
    let machine = with_volumes(&volumes);
    let sizes = machine.output(
        "root",
        "stat -Lc %s /dev/sdf; blockdev --getsize64 /dev/sdf 2>/dev/null; true",
    );
    assert!(sizes.contains("1073741824"), "{sizes}");
    assert_eq!(
        machine.output(
            "root",
            "readlink -f /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol00a2"
        ),
        "/dev/sdf"
    );
    machine.output(
        "ec2-user",
        "sudo mkfs.ext4 -q -L data /dev/xvdb && sudo mkdir /data && sudo mount /dev/xvdb /data",
    );
    machine.output(
        "root",
        "echo kept > /data/file; mkdir /data/of-user; chown ec2-user /data/of-user || true",
    );
    assert_eq!(machine.output("root", "umount /data; ls /data"), "");
    assert_eq!(
        machine.output("root", "mount -t ext4 -o noatime LABEL=data /data; cat /data/file"),
        "kept"
    );
    // A new boot finds what `/etc/fstab` names.
    machine.output(
        "root",
        "echo \"UUID=$(blkid -s UUID -o value /dev/xvdb) /data ext4 defaults,nofail 0 2\" >> /etc/fstab",
    );
    let machine = again(machine);
    assert_eq!(machine.output("root", "cat /data/file"), "kept");
    if has_loop_devices() {
        assert_eq!(machine.machine.complaints(), &[] as &[String]);
        assert_eq!(
            machine.output("root", "test -b /dev/xvdb && test -b /dev/sdf && echo block"),
            "block"
        );
        let size: u64 = machine
            .output("root", "df --output=size -B1 /data | tail -1")
            .trim()
            .parse()
            .unwrap();
        assert!((GIB * 9 / 10..=GIB).contains(&size), "{size}");
        let full = machine.refuses("dd if=/dev/zero of=/data/full bs=1M count=1100");
        assert!(full.contains("No space left on device"), "{full}");
    } else {
        assert!(machine.machine.complaints()[0].contains("`/dev/xvdb`: it is a file and not a block device"));
    }
    drop(machine);
    forget(&volumes);
}

fn a_new_file_system_is_empty() {
    let volumes = [volume("vol-00b1", "/dev/xvdb")];
    let machine = with_volumes(&volumes);
    let blank = machine.refuses("mount /dev/xvdb /mnt");
    assert!(blank.contains("wrong fs type"), "{blank}");
    machine.output(
        "root",
        "mkfs.ext4 -q /dev/xvdb; mount /dev/xvdb /mnt; touch /mnt/old; umount /mnt",
    );
    machine.output("root", "mkfs.ext4 -q -F /dev/xvdb; mount -o ro /dev/xvdb /mnt");
    assert_eq!(machine.output("root", "ls /mnt"), "lost+found");
    assert!(machine.refuses("touch /mnt/new").contains("Read-only"));
    // What was put there in another way is not mounted as if it were missing.
    machine.output(
        "root",
        "umount /mnt; mkdir /tmp/tree; echo x > /tmp/tree/file; mkfs.ext4 -q -F -d /tmp/tree /dev/xvdb",
    );
    assert!(
        machine
            .refuses("mount /dev/xvdb /mnt")
            .contains("not written by way of a mount")
    );
    drop(machine);
    forget(&volumes);
}

fn snapshots_keep_what_volumes_hold() {
    let one = volume("vol-00c1", "/dev/xvdb");
    let other = VolumeSpec {
        size: 2 * GIB,
        ..volume("vol-00c2", "/dev/xvdc")
    };
    let machine = with_volumes(std::slice::from_ref(&one));
    machine.output(
        "root",
        "mkfs.ext4 -q /dev/xvdb; mount /dev/xvdb /mnt; echo kept > /mnt/file; printf raw | dd of=/dev/xvdb bs=1 seek=1000000000 conv=notrunc,fsync 2>&1",
    );
    let machines = &ground().machines;
    let root = ground()
        .runtime
        .block_on(machines.snapshot_volume(&one.id))
        .unwrap()
        .unwrap();
    ground()
        .runtime
        .block_on(machines.make_volume(&other, Some(&root)))
        .unwrap();
    let copy = with_volumes(std::slice::from_ref(&other));
    assert_eq!(copy.output("root", "mount /dev/xvdc /mnt; cat /mnt/file"), "kept");
    assert_eq!(
        copy.output("root", "dd if=/dev/xvdc bs=1 skip=1000000000 count=3 2>/dev/null"),
        "raw"
    );
    // The copy takes what is written and not its size.
    let disk = ground().store().join("volumes/vol-00c2/fs/disk");
    let found = std::fs::metadata(disk).unwrap();
    assert_eq!(found.len(), 2 * GIB);
    assert!(found.blocks() * 512 < 128 << 20, "{}", found.blocks());
    // Nothing can start from it, and it goes.
    assert!(ground().runtime.block_on(machines.start(ground().spec(&root))).is_err());
    ground().runtime.block_on(machines.remove_root(&root)).unwrap();
    assert!(!ground().store().join("layers").join(&root.0).exists());
    assert_eq!(
        ground().runtime.block_on(machines.snapshot_volume("vol-none")).unwrap(),
        None
    );
    drop((machine, copy));
    forget(&[one, other]);
}

fn other_mounts_are_the_roots_own() {
    let volumes = [volume("vol-00d1", "/dev/xvdb")];
    let machine = with_volumes(&volumes);
    let script = "mkdir /tmp/a /tmp/b; echo x > /tmp/a/f; mount --bind /tmp/a /tmp/b; cat /tmp/b/f; umount /tmp/b; mount -t tmpfs none /tmp/b; \
                  stat -f -c %T /tmp/b; mount | grep -c ' /tmp/b '";
    assert_eq!(machine.output("root", script), "x\ntmpfs\n1");
    machine.output(
        "root",
        "mkfs.ext4 -q /dev/xvdb; mkdir /one /two; echo '/dev/xvdb /one ext4 defaults 0 0' > /etc/fstab",
    );
    machine.output(
        "root",
        "echo 'tmpfs /two tmpfs defaults 0 0' >> /etc/fstab; mount -a; mount -a",
    );
    assert_eq!(
        machine.output("root", "ls /one; stat -f -c %T /two; umount /one; mount /one; ls /one"),
        "lost+found\ntmpfs\nlost+found"
    );
    drop(machine);
    forget(&volumes);
}

fn a_device_leads_to_its_own_file() {
    let volumes = [volume("vol-00e1", "/dev/xvdb")];
    let machine = with_volumes(&volumes);
    // LOOP_SET_FD, LOOP_CLR_FD, LOOP_SET_STATUS64, LOOP_CHANGE_FD, LOOP_CONFIGURE; the upper half of a request does not count.
    for request in ["0x4c00", "0x4c01", "0x4c04", "0x4c06", "0x4c0a", "0x100004c01"] {
        let answer = machine.output(
            "root",
            &format!("perl -e 'open my $f, q(+<), q(/dev/xvdb) or die; my $b = qq(\\0) x 512; ioctl($f, {request}, $b); print $!+0'"),
        );
        assert_eq!(answer, libc::EPERM.to_string(), "{request}");
    }
    // The kernel does not read what the instance has written there.
    machine.output("root", "mkfs.ext4 -q /dev/xvdb");
    machine.refuses("mount.real -t ext4 /dev/xvdb /mnt");
    machine.refuses("mknod /tmp/loop b 7 0 && head -c 1 /tmp/loop");
    assert_eq!(machine.output("root", "ls /dev | grep loop; ls /dev/.volumes"), "xvdb");
    machine.refuses("umount /dev/.volumes/xvdb");
    machine.refuses("umount /dev/xvdb");
    // Users of the instance have no more of it than on EC2.
    if machine.has_users() {
        assert_eq!(machine.run("ec2-user", "head -c 1 /dev/xvdb").status.code(), Some(1));
    }
    drop(machine);
    forget(&volumes);
}

fn volumes_count_for_the_disk() {
    let directory = ground().scratch("volumes-disk");
    let limits = Limits {
        disk: Some(64 << 20),
        ..Limits::default()
    };
    let volumes = [volume("vol-00f1", "/dev/xvdb")];
    let machines = ground()
        .runtime
        .block_on(Machines::open(&directory.join("store"), Isolation::Sandbox, limits))
        .unwrap();
    let base = ground().runtime.block_on(machines.base(&BaseRoot::Host)).unwrap();
    let mut spec = ground().spec(&base);
    spec.volumes = volumes.to_vec();
    let started = ground().runtime.block_on(machines.start(spec.clone())).unwrap();
    let machine = Running::again_borrowed(ground(), &spec, &started);
    let output = machine.run(
        "root",
        "dd if=/dev/zero of=/dev/xvdb bs=1M count=200 conv=fsync,notrunc; sleep 60",
    );
    assert_eq!(machine.ended(&output), Ended::OverDisk);
    machine.end_with(machines, &directory.join("store"));
}

fn impossible_names_are_left_out() {
    let volumes =
        ["/dev/null", "/dev/../etc/x", "/dev/a/b", "", "/dev/xvdb", "xvdb"].map(|device| volume("vol-0101", device));
    let machine = with_volumes(&volumes);
    let complaints = machine.machine.complaints();
    assert_eq!(
        complaints
            .iter()
            .filter(|line| line.contains("cannot be that of a device"))
            .count(),
        5
    );
    assert_eq!(machine.output("root", "test -c /dev/null; ls /dev/.volumes"), "xvdb");
    drop(machine);
    forget(&volumes[..1]);
}

/// Holds a machine with a volume when this program was started for that.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "how a test talks to its child"
)]
pub(crate) fn hold_volume_if_asked() -> bool {
    let Ok(directory) = std::env::var("BAKELITE_TEST_HOLD_VOLUME") else {
        return false;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machines = Machines::open(Path::new(&directory), Isolation::Sandbox, Limits::default())
            .await
            .unwrap();
        let spec = MachineSpec {
            id: "i-held".into(),
            root: machines.base(&BaseRoot::Host).await.unwrap(),
            hostname: "held".into(),
            users: Vec::new(),
            authorized_keys: Vec::new(),
            operator_key: None,
            user_data: Some(
                b"#!/bin/sh\nmkfs.ext4 -q /dev/xvdb; mount /dev/xvdb /mnt; exec 3<>/dev/xvdb; sleep 3600".to_vec(),
            ),
            address: std::net::Ipv4Addr::new(127, 41, 7, 8),
            ssh_port: 0,
            volumes: vec![volume("vol-held", "/dev/xvdb")],
        };
        let machine = machines.start(spec).await.unwrap();
        println!("ready");
        machine.gone().await;
    });
    true
}

fn a_killed_parent_leaves_no_loop_device() {
    let store = ground().scratch("volume-held").join("store");
    let count = || {
        let backing = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let backing =
            backing.filter_map(|device| std::fs::read_to_string(device.path().join("loop/backing_file")).ok());
        backing.filter(|file| file.contains("vol-held")).count()
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("BAKELITE_TEST_HOLD_VOLUME", &store).stdin(Stdio::null());
    let (holder, ()) = Server::start(&mut command, |line| (line == "ready").then_some(()));
    let expected = if has_loop_devices() { 2 } else { 0 };
    assert_eq!(count(), expected);
    drop(holder);
    until("the end of all loop devices", LIMIT, || (count() == 0).then_some(()));
    ground().runtime.block_on(Machines::reset(&store)).unwrap();
}
