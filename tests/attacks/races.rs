//! An instance that changes its directories while the host handles them: it must not lead the host to other files. And what is
//! interrupted is finished later.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bakelite_test_support::clouds::signal;
use bakelite_test_support::eventually::until;

use crate::cloud::Cloud;
use crate::host::{Ground, Host, TIMEOUT};
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack(
        "a_directory_that_becomes_a_link_brings_no_host_file_into_an_image",
        Needs::BothHosts,
        snapshots,
    ),
    Attack(
        "a_directory_that_becomes_a_link_has_no_host_file_removed_by_a_reset",
        Needs::BothHosts,
        resets,
    ),
    Attack(
        "a_directory_that_becomes_a_link_has_no_host_file_removed_by_a_termination",
        Needs::BothHosts,
        terminations,
    ),
    Attack(
        "a_reset_that_is_killed_is_finished_by_the_next",
        Needs::BothHosts,
        killed_resets,
    ),
];

/// How many images are made of an instance that plays this game.
const IMAGES: usize = 6;
/// Stands in the host's file; in no program of the attack.
const HOSTS: &str = "only-the-host-may-read-this-0815";

/// A Python program that boots as user data, aimed at a directory of the host.
fn aimed(program: &str, target: &Path) -> String {
    format!(
        "#!/usr/bin/python3\n{}",
        program.replace("@TARGET@", &target.display().to_string())
    )
}

fn snapshots(host: Host) {
    let ground = host.ground();
    let target = ground.private_directory("target");
    ground.private_file(&target.join("secret"), HOSTS);
    let cloud = Cloud::serve(&ground, &[]);
    let instance = cloud.launch(&aimed(include_str!("scripts/flip.py"), &target));
    instance.has("/var/tmp/flipping");
    let images: Vec<String> = (0..IMAGES)
        .filter_map(|number| instance.image(&format!("race-{number}")))
        .collect();
    for image in &images {
        no_secret_in(&ground, image);
    }
    // An image may be refused as long as the game goes on, and not afterwards.
    let _ = instance.ssh("sudo touch /var/tmp/stop").succeeds();
    let last = instance
        .image("after-the-race")
        .expect("an image of an instance that plays no games");
    no_secret_in(&ground, &last);
}

/// Looks for the host's file in an instance of the image. The links lead nowhere there.
fn no_secret_in(ground: &Ground, image: &str) {
    let look = ["local", "run", image, "--", "grep", "-rls", HOSTS, "/var/tmp/race"];
    let found = ground.run(look);
    assert_eq!(
        (found.code, found.stdout.as_str()),
        (Some(1), ""),
        "the host's file is in {image}: {}",
        found.stderr
    );
}

/// A directory of the host with 20 files that the instance's are named after.
fn victim(ground: &Ground) -> PathBuf {
    let victim = ground.private_directory("victim");
    for number in 0..20 {
        ground.private_file(&victim.join(format!("f{number}")), "precious");
    }
    victim
}

/// The directory is as [`victim`] made it.
fn is_whole(victim: &Path) {
    let left = std::fs::read_dir(victim).unwrap().count();
    assert_eq!(left, 20, "files of the host are gone");
    let mode = std::fs::metadata(victim).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o700, "the mode of the host's directory is {mode:o}");
}

fn resets(host: Host) {
    let ground = host.ground();
    let victim = victim(&ground);
    let cloud = Cloud::serve(&ground, &[]);
    let instance = cloud.launch(&aimed(include_str!("scripts/flip_full.py"), &victim));
    instance.has("/var/tmp/flipping");
    // It may be refused as long as the cloud is in use.
    let _ = ground.run(["local", "reset"]);
    is_whole(&victim);
    drop(cloud);
    let _ = ground.run(["local", "reset"]).succeeds();
    is_whole(&victim);
}

fn terminations(host: Host) {
    let ground = host.ground();
    let victim = victim(&ground);
    let cloud = Cloud::serve(&ground, &[]);
    let instance = cloud.launch(&aimed(include_str!("scripts/flip_full.py"), &victim));
    instance.has("/var/tmp/flipping");
    cloud.call("TerminateInstances", &[("InstanceId.1", &instance.id)]);
    until("the end of the instance", TIMEOUT, || {
        let described = cloud.call("DescribeInstances", &[("InstanceId.1", &instance.id)]);
        described.contains("<name>terminated</name>").then_some(())
    });
    is_whole(&victim);
}

/// Everything down to so many directories below one.
fn tree(directory: &Path, depth: usize) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut found = BTreeSet::new();
    for path in entries.map(|entry| entry.path()) {
        if depth > 0 && path.is_dir() && !path.is_symlink() {
            found.extend(tree(&path, depth - 1));
        }
        found.insert(path);
    }
    found
}

fn killed_resets(host: Host) {
    let ground = host.ground();
    let template = many_files();
    for _ in 0..3 {
        ground.context.template(&template);
        ground.run(["build", "-local", "t.pkr.hcl"]).succeeds();
        let before = tree(&ground.state().join("local"), 3);
        let mut reset = ground.start(["local", "reset"]);
        // Killed as soon as something is gone.
        until("the first thing that the reset removes", TIMEOUT, || {
            before.iter().any(|path| !path.exists()).then_some(())
        });
        signal(reset.id(), "KILL");
        reset.kill();
        let _ = ground.run(["local", "reset"]).succeeds();
        let base = ground.base_image();
        let _ = ground.run(["local", "run", &base, "--", "true"]).succeeds();
        assert_eq!(ground.run(["local", "images", "-json"]).succeeds().trim(), "[]");
    }
}

/// A template whose image takes a while to remove.
fn many_files() -> String {
    r#"
source "amazon-ebs" "many" {
  region        = "us-east-1"
  ami_name      = "many"
  instance_type = "t3.micro"
  ssh_username  = "admin"
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }
}
build {
  sources = ["source.amazon-ebs.many"]
  provisioner "shell" {
    inline = ["mkdir /var/tmp/many && cd /var/tmp/many && seq 15000 | xargs touch"]
  }
}
"#
    .to_owned()
}
