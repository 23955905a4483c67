//! `-local-image`, `local export` and well-known AMIs of other distributions, on the command line.

use bakelite_test_support::context::TestContext;
use bakelite_test_support::registry::{Door, Registry};
use bakelite_test_support::test_context;

use crate::templates::image_in;

/// A proxy that refuses at once whatever is not on this machine.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A template on an AMI that is found by this filter, with one script.
fn template(filter: &str, script: &str) -> String {
    format!(
        r#"
        source "amazon-ebs" "a" {{
          region        = "us-east-1"
          instance_type = "t3.micro"
          ami_name      = "made"
          ssh_username  = "root"
          source_ami_filter {{
            filters     = {{ name = "{filter}" }}
            owners      = ["amazon", "123456789012"]
            most_recent = true
          }}
        }}
        build {{
          sources = ["source.amazon-ebs.a"]
          provisioner "shell" {{
            inline = [{script:?}]
          }}
          post-processor "manifest" {{ output = "m.json" }}
        }}
        "#
    )
}

/// A root of busybox as a tarball: a shell, its tools with their libraries, and accounts.
fn busybox_root(context: &TestContext, name: &str) -> Vec<u8> {
    let script = "set -e; mkdir -p root/bin root/etc root/root root/tmp root/home; cp /bin/busybox root/bin/; \
                  for library in $(ldd /bin/busybox | grep -o '/[^ ]*'); do cp --parents $library root; done; \
                  for tool in sh cat test chmod rm mkdir ls id env true; do ln -s busybox root/bin/$tool; done; \
                  echo root:x:0:0:root:/root:/bin/sh > root/etc/passwd; echo root:x:0: > root/etc/group; echo given > root/etc/given; \
                  tar --numeric-owner --owner 0 --group 0 -C root -cf root.tar .";
    let directory = context.work().join(name);
    std::fs::create_dir(&directory).unwrap();
    let made = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(&directory)
        .status();
    assert!(made.unwrap().success());
    std::fs::read(directory.join("root.tar")).unwrap()
}

#[test]
fn a_given_image_is_found_before_the_built_in_one_and_exported_again() {
    let context = test_context!();
    let registry = Registry::start();
    registry.close(Door::Token("me", "secret"));
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    registry.put("team/base", "1", architecture, &[busybox_root(&context, "base")]);
    let address = registry.address();
    let image = format!("al2023-ami-*-x86_64=oci:{address}/team/base:1");
    context.template(&template(
        "al2023-ami-*-x86_64",
        "cat /etc/given; echo baked > /etc/baked",
    ));
    let denied = context
        .run(["build", "-local", "-local-image", &image, "t.pkr.hcl"])
        .fails_with(1);
    assert!(
        denied.contains(&format!(
            "`-local-image {image}`: registry {address} denied access to `team/base` (without credentials)"
        )),
        "{denied}"
    );
    assert!(
        denied.contains("help: check the name of the repository, and log in: `docker login"),
        "{denied}"
    );
    std::fs::create_dir(context.root().join("home/.docker")).unwrap();
    let config = format!(r#"{{"auths": {{"{address}": {{"username": "me", "password": "secret"}}}}}}"#);
    std::fs::write(context.root().join("home/.docker/config.json"), config).unwrap();
    let ran = context.run(["build", "-local", "-local-image", &image, "t.pkr.hcl"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("==> amazon-ebs.a: given\n"), "{ran:?}");
    // What takes its time is reported, apart from what programs read.
    assert!(
        ran.stderr.starts_with(&format!("Pulling {address}/team/base:1: ")),
        "{ran:?}"
    );
    let baked = image_in(&context, "m.json");
    context
        .run(["local", "export", &baked, &format!("oci:{address}/team/web:2")])
        .succeeds();
    assert!(registry.manifest("team/web", "2").is_some());
    let exported = context.run(["local", "export", "made", "web.tar"]).succeeds();
    assert!(exported.starts_with("Exported made to "), "{exported}");
    let again = context.run(["local", "export", "made", "web.tar"]).fails_with(1);
    assert!(again.contains("web.tar` exists already\nhelp: remove it"), "{again}");
    let unknown = context.run(["local", "export", "made", "web.qcow2"]).fails_with(1);
    assert!(
        unknown.contains("error: failed to export `made`: `web.qcow2` does not say what to write\nhelp: "),
        "{unknown}"
    );
    // What was written is an image again.
    let given = context.run([
        "local",
        "run",
        "-local-image",
        "again=tar:web.tar",
        "again",
        "cat",
        "/etc/baked",
    ]);
    assert_eq!(given.succeeds(), "baked\n");
}

#[test]
fn a_missing_package_manager_of_a_stand_in_is_explained() {
    let context = test_context!()
        .with("BAKELITE_LOCAL_PULL", "auto")
        .with("HTTPS_PROXY", NOWHERE);
    // No machine that has run tests for years is of this release.
    context.template(&template(
        "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*",
        "microdnf install nginx",
    ));
    let output = context.run(["build", "-local", "t.pkr.hcl"]).fails_with(1);
    let warning = "stands in for Ubuntu 16.04: programs and packages are those of this machine";
    let help = "give the AMI its own root with `-local-image 'ubuntu/images/";
    assert!(output.contains("==> local cloud: Warning: "), "{output}");
    assert!(
        output.find(warning) < output.find("microdnf"),
        "before it starts: {output}"
    );
    assert_eq!(output.matches(help).count(), 2, "the warning and the error: {output}");
    assert!(
        output.contains("=oci:public.ecr.aws/docker/library/ubuntu:16.04'`"),
        "{output}"
    );
}

#[test]
fn the_quickstart_asks_no_registry() {
    let context = test_context!()
        .with("BAKELITE_LOCAL_PULL", "auto")
        .with("HTTPS_PROXY", NOWHERE);
    let template = format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    let output = context.run(["build", "-local", &template]).succeeds();
    assert!(!output.contains("stands in") && !output.contains("Pulling"), "{output}");
}
