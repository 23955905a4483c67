//! What the local cloud takes on disk, and making room.

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::test_context;
use bakelite_test_support::tools::is_root;
use serde_json::Value;

use crate::templates::image_in;

/// What `local du -json` reports.
fn usage(context: &TestContext) -> Value {
    serde_json::from_str(&context.run(["local", "du", "-json"]).succeeds()).unwrap()
}

fn used<'a>(usage: &'a Value, kind: &str) -> Vec<&'a Value> {
    let used = usage["used"].as_array().unwrap().iter();
    used.filter(|one| one["kind"] == kind).collect()
}

#[test]
fn images_take_what_their_bakes_change_and_can_be_removed() {
    let context = test_context!();
    let template = format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    let large = format!("greeting={}", "x".repeat(100_000));
    let _ = context.run(["build", "-local", "-var", &large, &template]).succeeds();
    let image = image_in(&context, "packer-manifest.json");
    let taken = usage(&context);
    let images = used(&taken, "image");
    assert_eq!(images.len(), 1, "{taken}");
    assert_eq!(images[0]["id"], image.as_str());
    let bytes = images[0]["bytes"].as_u64().unwrap();
    assert!((100_000..4_000_000).contains(&bytes), "{taken}");
    assert_eq!(used(&taken, "base").len(), 1, "{taken}");
    let listed = context.run(["local", "du"]).succeeds();
    assert!(listed.contains(&image) && listed.contains(" free\n"), "{listed}");

    let unknown = context.run(["local", "rm", "ami-0123456789abcdef0"]).fails_with(1);
    assert!(
        unknown.contains("does not exist in the local cloud\nhelp: `bakelite local images`"),
        "{unknown}"
    );
    let removed = context.run(["local", "rm", &image]).succeeds();
    assert!(removed.starts_with(&format!("{image} is gone, ")), "{removed}");
    assert_eq!(used(&usage(&context), "image"), Vec::<&Value>::new());

    let before = usage(&context);
    let listed = context.run(["local", "prune", "-dry-run"]).succeeds();
    assert!(
        listed.contains("unused base") && listed.ends_with("  would be freed\n"),
        "{listed}"
    );
    assert_eq!(used(&before, "unused base").len(), 1);
    let _ = context.run(["local", "prune"]).succeeds();
    let after = usage(&context);
    assert_eq!(
        (after["used"].as_array().unwrap().len(), after["total"].as_u64()),
        (0, Some(0)),
        "{after}"
    );
    // The base is made again.
    let _ = context.run(["build", "-local", &template]).succeeds();
}

/// A plain user cannot make a small file system.
#[test]
fn a_full_disk_fails_a_bake_at_once() {
    if !is_root() {
        return;
    }
    let context = test_context!();
    let template = format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    let in_small = "mkdir small && mount -t tmpfs -o size=16m tmpfs small && exec \"$@\"";
    let mut command = context.command_of(
        "unshare",
        ["-m", "sh", "-c", in_small, "sh", env!("CARGO_BIN_EXE_bakelite")],
    );
    command.args(["build", "-local", "-local-state", "small/state", &template]);
    let started = std::time::Instant::now();
    let output = Ran::of(&mut command).fails_with(1);
    assert!(
        output.contains("LocalDiskFull") && output.contains("bakelite local du"),
        "{output}"
    );
    // Retries of an error that passes with time take five minutes.
    assert!(started.elapsed() < std::time::Duration::from_mins(1));
}

/// A bake that fills a volume, whose image has it in an instance, and what is on disk of it.
#[test]
fn an_image_carries_what_its_volumes_hold() {
    let context = test_context!();
    context.template(
        r#"
source "amazon-ebs" "data" {
  region        = "us-east-1"
  ami_name      = "with-data"
  instance_type = "m5.large"
  ssh_username  = "admin"

  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvdb"
    volume_size           = 1
    delete_on_termination = true
  }
}

build {
  sources = ["source.amazon-ebs.data"]

  provisioner "shell" {
    inline = [
      "sudo mkfs.ext4 -q -L data /dev/xvdb",
      "sudo mkdir /data && echo 'LABEL=data /data ext4 defaults,nofail 0 2' | sudo tee -a /etc/fstab",
      "sudo mount /data && echo kept | sudo tee /data/file && df /data",
    ]
  }

  post-processor "manifest" {}
}
"#,
    );
    let baked = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    let is_said = baked.contains("volume `/dev/xvdb`: it is a file and not a block device");
    assert_eq!(is_said, !is_root(), "{baked}");
    let image = image_in(&context, "packer-manifest.json");
    let held = context
        .run(["local", "run", &image, "--", "cat", "/data/file"])
        .succeeds();
    assert_eq!(held, "kept\n");
    // A bake on top of it finds it, too, and its image has what it adds.
    let template = context.read("t.pkr.hcl");
    let (before, _) = template.split_once("  source_ami_filter {").unwrap();
    let (_, mapping) = template.split_once("  launch_block").unwrap();
    let (mapping, _) = mapping.split_once("build {").unwrap();
    context.file(
        "next.pkr.hcl",
        format!(
            r#"{}  source_ami = "{image}"
  launch_block{mapping}
build {{
  sources = ["source.amazon-ebs.data"]

  provisioner "shell" {{
    inline = ["cat /data/file", "echo more | sudo tee -a /data/file"]
  }}

  post-processor "manifest" {{}}
}}
"#,
            before.replace("with-data", "with-more")
        ),
    );
    let baked = context.run(["build", "-local", "next.pkr.hcl"]).succeeds();
    assert!(baked.contains("amazon-ebs.data: kept"), "{baked}");
    let next = image_in(&context, "packer-manifest.json");
    let held = context
        .run(["local", "run", &next, "--", "cat", "/data/file"])
        .succeeds();
    assert_eq!(held, "kept\nmore\n");
    let _ = context.run(["local", "rm", &next]).succeeds();
    let taken = usage(&context);
    assert_eq!(used(&taken, "image").len(), 2, "{taken}");
    assert_eq!(
        used(&taken, "volume").len() + used(&taken, "loose volume").len(),
        0,
        "{taken}"
    );
    let _ = context.run(["local", "rm", &image]).succeeds();
    let _ = context.run(["local", "prune"]).succeeds();
    assert_eq!(usage(&context)["total"].as_u64(), Some(0));
}
