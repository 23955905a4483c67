//! `ssh_host_key = "console"`: the instance is the one whose console shows its host key.

use bakelite_test_support::test_context;

use crate::templates::ami;

#[test]
fn an_instance_proves_itself_by_its_console() {
    let context = test_context!();
    context.template(&ami(
        "checked",
        "ssh_host_key = \"console\"\nskip_create_ami = true",
        r#"provisioner "shell" { inline = ["echo hello"] }"#,
    ));
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
