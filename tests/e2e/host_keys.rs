//! `ssh_host_key = "console"`: the instance is the one whose console shows its host key.

use bakelite_test_support::test_context;

#[test]
fn an_instance_proves_itself_by_its_console() {
    let context = test_context!();
    context.template(
        r#"
        source "amazon-ebs" "checked" {
          region          = "us-east-1"
          ami_name        = "checked"
          instance_type   = "t3.micro"
          ssh_username    = "ubuntu"
          ssh_host_key    = "console"
          skip_create_ami = true
          source_ami_filter {
            filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
            owners      = ["099720109477"]
            most_recent = true
          }
        }
        build {
          sources = ["source.amazon-ebs.checked"]
          provisioner "shell" { inline = ["echo hello"] }
        }
        "#,
    );
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    for wanted in [
        "amazon-ebs.checked: Waiting for the host keys on the console of the instance...",
        "amazon-ebs.checked: hello\n",
    ] {
        assert!(output.contains(wanted), "{wanted} is not in {output}");
    }
}

#[test]
fn a_machine_without_a_cloud_has_no_console() {
    let context = test_context!();
    context.template(
        r#"
        source "null" "machine" {
          ssh_host     = "127.0.0.1"
          ssh_username = "me"
          ssh_password = "secret"
          ssh_host_key = "console"
        }
        build {
          sources = ["source.null.machine"]
        }
        "#,
    );
    let output = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    assert!(
        output.contains("t.pkr.hcl:6:") && output.contains("needs a builder that can read a console"),
        "{output}"
    );
}
