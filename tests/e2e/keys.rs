//! Which keys an instance of the cloud lets in, and which of them stay in its image.

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::inventory::{Inventory, aws};
use bakelite_test_support::test_context;

use crate::templates::{ami, image_in};

#[test]
fn the_temporary_key_has_the_name_and_type_of_the_template() {
    let context = test_context!();
    context.template(&ami(
        "keys",
        r#"
        temporary_key_pair_name = "mine"
        temporary_key_pair_type = "ED25519"
        skip_create_ami         = true
        "#,
        r#"provisioner "shell" { inline = ["cat ~/.ssh/authorized_keys"] }"#,
    ));
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("Creating temporary keypair: mine"), "{output}");
    let key = output.lines().find(|line| line.contains("keys: ssh-ed25519 "));
    assert!(key.is_some_and(|key| key.ends_with(" mine")), "{output}");
}

#[test]
fn the_temporary_key_stays_in_the_image_unless_it_is_cleared() {
    for (clear, stays) in [(false, true), (true, false)] {
        let context = test_context!();
        let line = format!("ssh_clear_authorized_keys = {clear}\ntemporary_key_pair_name = \"mine\"");
        context.template(&ami(
            "keys",
            &line,
            r#"
            provisioner "shell" {
              inline = [
                "echo ssh-ed25519 AAAA of-a-user >> ~/.ssh/authorized_keys",
                "sudo mkdir -p /root/.ssh",
                "sudo cp ~/.ssh/authorized_keys /root/.ssh/authorized_keys",
              ]
            }
            post-processor "manifest" {}
            "#,
        ));
        context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
        let image = image_in(&context, "packer-manifest.json");
        for file in ["/home/ubuntu/.ssh/authorized_keys", "/root/.ssh/authorized_keys"] {
            let keys = context.run(["local", "run", &image, "--", "cat", file]).succeeds();
            assert!(keys.contains("of-a-user"), "{file}: {keys}");
            assert_eq!(keys.contains(" mine\n"), stays, "{file}: {keys}");
        }
    }
}

#[test]
fn a_key_pair_of_the_account_is_used_and_left_alone() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let key = context.work().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let imported = aws(&cloud.endpoint)
        .args(["ec2", "import-key-pair", "--key-name", "ours", "--public-key-material"])
        .arg(format!("fileb://{}.pub", key.display()))
        .output();
    assert!(imported.unwrap().status.success());
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    context.template(&ami(
        "keys",
        r#"
        ssh_keypair_name     = "ours"
        ssh_private_key_file = "key"
        skip_create_ami      = true
        "#,
        r#"provisioner "shell" { inline = ["echo hello"] }"#,
    ));
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("amazon-ebs.keys: hello\n"), "{output}");
    assert!(!output.contains("temporary key pair"), "{output}");
    assert_eq!(Inventory::of(&cloud.endpoint).temporary(), before.temporary());
}

#[test]
fn the_size_of_a_key_that_ec2_makes_cannot_be_chosen_and_that_is_said() {
    let context = test_context!();
    context.template(&ami("keys", "temporary_key_pair_bits = 2048", ""));
    let ran = context.run(["validate", "t.pkr.hcl"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.contains("warning: `temporary_key_pair_bits` has no effect") && ran.stderr.contains("t.pkr.hcl:7:"),
        "{}",
        ran.stderr
    );
}
