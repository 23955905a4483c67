//! Templates of tests: one of a single AMI, and those that must bake as they stand (tests/templates, copied from the project's shared
//! ones), laid out for a test.

use std::path::{Path, PathBuf};

use bakelite_test_support::context::TestContext;
use bakelite_test_support::ended::RunToEnd as _;

/// Where the templates are.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates")
}

/// A template of one AMI of this name, with these lines in its source and its build.
pub(crate) fn ami(name: &str, source: &str, build: &str) -> String {
    format!(
        r#"
        source "amazon-ebs" "{name}" {{
          region        = "us-east-1"
          ami_name      = "{name}"
          instance_type = "t3.micro"
          ssh_username  = "ubuntu"
          {source}
          source_ami_filter {{
            filters     = {{ name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }}
            owners      = ["099720109477"]
            most_recent = true
          }}
        }}
        build {{
          sources = ["source.amazon-ebs.{name}"]
          {build}
        }}
        "#
    )
}

/// `web-server` with the tarball that its pipeline makes.
pub(crate) fn web_server(context: &TestContext) {
    let text = std::fs::read(directory().join("web-server/web-server.pkr.hcl")).unwrap();
    context.file("web-server.pkr.hcl", text);
    context.file("app/bin/healthcheck", "#!/bin/sh\necho \"healthy $*\"\n");
    let packed = context
        .command_of(
            "sh",
            [
                "-c",
                "chmod 755 app/bin/healthcheck && mkdir -p build && tar -czf build/app-1.2.3.tar.gz -C app bin",
            ],
        )
        .status();
    assert!(packed.unwrap().success());
}

/// `learn` with the public key that it installs.
pub(crate) fn learn(context: &TestContext) {
    for name in ["images/image.pkr.hcl", "scripts/setup.sh"] {
        context.file(name, std::fs::read(directory().join("learn").join(name)).unwrap());
    }
    context.file("tf-packer.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 learn\n");
}

/// Bakes the base image of `web-server` on the local cloud (stub `dnf` and `systemctl`, the users) and answers its id.
pub(crate) fn web_server_base(context: &TestContext, flags: &[&str]) -> String {
    context.file("base.pkr.hcl", BASE);
    let mut arguments = vec!["build"];
    arguments.extend(flags);
    arguments.push("base.pkr.hcl");
    context.run(arguments).succeeds();
    image_in(context, "base.json")
}

/// The AMI that the `jq` line of the template's README picks from a manifest.
pub(crate) fn image_in(context: &TestContext, manifest: &str) -> String {
    let pick = format!("jq -r '.builds[-1].artifact_id' {manifest} | cut -d: -f2");
    let output = context.command_of("sh", ["-c", &pick]).run_to_end();
    let image = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(
        image.starts_with("ami-"),
        "{manifest} names no AMI: {image} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    image
}

const BASE: &str = r#"
source "amazon-ebs" "base" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "web-server-base"
  ssh_username  = "ec2-user"
  source_ami_filter {
    filters     = { name = "al2023-ami-2023*-x86_64" }
    owners      = ["amazon"]
    most_recent = true
  }
}
build {
  sources = ["source.amazon-ebs.base"]
  provisioner "shell" {
    inline = [
      "for stub in dnf systemctl; do sudo rm -f /usr/bin/$stub; printf '#!/bin/sh\necho stub: $*\n' | sudo tee /usr/bin/$stub >/dev/null; sudo chmod 755 /usr/bin/$stub; done",
      "id appuser >/dev/null 2>&1 || sudo useradd -m -s /bin/sh appuser",
    ]
  }
  post-processor "manifest" { output = "base.json" }
}
"#;
