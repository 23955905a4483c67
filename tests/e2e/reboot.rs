//! An instance that restarts in the middle of provisioning.

use bakelite_test_support::test_context;

use crate::templates::ami;

/// A template whose provisioners are these.
fn template(provisioners: &str) -> String {
    ami("restarted", "skip_create_ami = true", provisioners)
}

#[test]
fn provisioning_goes_on_after_an_announced_restart() {
    let context = test_context!();
    context.file("note", "over\n");
    context.template(&template(
        r#"
        provisioner "shell" {
          inline            = ["touch /dev/shm/before", "sudo reboot", "sleep 60"]
          expect_disconnect = true
        }
        provisioner "file" {
          source      = "note"
          destination = "/tmp/note"
        }
        provisioner "shell" {
          inline = ["test ! -e /dev/shm/before", "cat /tmp/note", "echo restarted"]
        }
        "#,
    ));
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    assert!(
        output.contains("restarted: over\n") && output.contains("restarted: restarted\n"),
        "{output}"
    );
}

#[test]
fn a_restart_that_has_only_been_asked_for_is_waited_for() {
    let context = test_context!();
    // As with systemd: `reboot` returns at once, and until it happens systemctl says that it will.
    context.file(
        "systemctl",
        "#!/bin/sh\n[ \"$1\" = is-system-running ] && [ -e /dev/shm/before ] && echo stopping\n",
    );
    context.template(&template(
        r#"
        provisioner "file" {
          source      = "systemctl"
          destination = "/tmp/systemctl"
        }
        provisioner "shell" {
          inline = [
            "sudo install /tmp/systemctl /usr/local/bin/systemctl",
            "touch /dev/shm/before",
            "(sleep 2; sudo reboot) > /dev/null 2>&1 < /dev/null &",
          ]
          expect_disconnect = true
        }
        provisioner "shell" { inline = ["test ! -e /dev/shm/before", "echo restarted"] }
        "#,
    ));
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("restarted: restarted\n"), "{output}");
}

#[test]
fn a_restart_that_was_not_announced_is_told_as_one() {
    let context = test_context!();
    context.template(&template(
        r#"provisioner "shell" { inline = ["sudo reboot", "sleep 60"] }"#,
    ));
    let output = context.run(["build", "-local", "t.pkr.hcl"]).fails_with(1);
    // Which of the two goes first, the script or the connection, is up to the instance.
    let outcomes = [
        "disconnected unexpectedly",
        "non-zero exit status: 143",
        "non-zero exit status: 129",
    ];
    assert!(outcomes.iter().any(|outcome| output.contains(outcome)), "{output}");
    assert!(context.journals().is_empty());
}
