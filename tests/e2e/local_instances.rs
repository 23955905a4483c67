//! Instances of the local cloud from outside of their bake: listed, entered, kept after a failure, ended by a reset.

use std::process::Child;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::test_context;
use serde_json::Value;

/// A bake whose only provisioner runs this command.
fn template(context: &TestContext, command: &str) {
    context.template(&format!(
        r#"
        source "amazon-ebs" "a" {{
          region        = "us-east-1"
          instance_type = "t3.micro"
          ami_name      = "local-instances"
          ssh_username  = "admin"
          source_ami_filter {{
            filters     = {{ name = "debian-12-amd64-*" }}
            owners      = ["136693071363"]
            most_recent = true
          }}
        }}
        build {{
          sources = ["source.amazon-ebs.a"]
          provisioner "shell" {{ inline = ["{command}"] }}
        }}
        "#
    ));
}

/// What `local ps -json` lists.
fn instances(context: &TestContext) -> Vec<Value> {
    let listed = context.run(["local", "ps", "-json"]).succeeds();
    serde_json::from_str(&listed).unwrap()
}

/// Waits for the bake's instance to have a file, and answers its id.
fn instance_with(context: &TestContext, file: &str) -> String {
    let mut id = String::new();
    let found = || {
        let running = instances(context)
            .into_iter()
            .find(|instance| instance["state"] == "running");
        running.is_some_and(|instance| {
            instance["id"].as_str().unwrap().clone_into(&mut id);
            context.run(["local", "exec", &id, "test", "-e", file]).code == Some(0)
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(eventually(LIMIT, "an instance with the file", found));
    id
}

/// Starts a bake that waits in its provisioner, and answers it with the id of its instance.
fn waiting_bake(context: &TestContext, arguments: &[&str]) -> (Child, String) {
    template(context, "touch /tmp/here; sleep 300");
    let bake = context.start([&["build", "-local"], arguments, &["t.pkr.hcl"]].concat());
    (bake, instance_with(context, "/tmp/here"))
}

#[test]
fn an_instance_of_an_aborted_bake_is_reachable_until_gc() {
    let context = test_context!();
    template(&context, "echo made > /tmp/note; exit 3");
    let output = context
        .run(["build", "-local", "-on-error=abort", "t.pkr.hcl"])
        .fails_with(1);
    let listed = instances(&context);
    assert_eq!(listed.len(), 1, "{output}");
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed[0]["state"], "running");
    assert!(
        output.contains(&format!("Still running: {id}. `bakelite local ssh {id}`")),
        "{output}"
    );
    let listed = context.run(["local", "ps"]).succeeds();
    assert!(listed.starts_with(&format!("{id}  running ")), "{listed}");
    let inside = context.run(["local", "exec", id, "--", "sh", "-c", "cat /tmp/note; id -un; exit 7"]);
    assert_eq!(inside.fails_with(7), "made\nroot\n");
    let inside = context.run(["local", "ssh", id, "cat /tmp/note; id -un"]);
    assert_eq!(inside.succeeds(), "made\nadmin\n");
    let refused = context.run(["local", "reset"]).fails_with(1);
    assert!(
        refused.contains(&format!(
            "with instance {id}\nhelp: `bakelite local reset -force` ends them first\n"
        )),
        "{refused}"
    );
    let collected = context.run(["gc"]).succeeds();
    assert!(collected.contains(&format!("instance {id}")), "{collected}");
    assert_eq!(instances(&context), Vec::<Value>::new());
    let gone = context.run(["local", "exec", id, "true"]).fails_with(1);
    assert!(gone.contains(&format!("instance `{id}` ")), "{gone}");
    let _ = context.run(["local", "reset"]).succeeds();
}

#[test]
fn a_bake_that_may_abort_and_succeeds_leaves_no_process() {
    let context = test_context!();
    template(&context, "true");
    let output = context
        .run(["build", "-local", "-on-error=abort", "t.pkr.hcl"])
        .succeeds();
    assert!(!output.contains("Still running"), "{output}");
    // It would refuse while a process uses the state.
    let _ = context.run(["local", "reset"]).succeeds();
}

#[test]
fn a_forced_reset_ends_a_bake_which_reports_it() {
    let context = test_context!();
    for how in [&[][..], &["-on-error=abort"]] {
        let (bake, id) = waiting_bake(&context, how);
        let refused = context.run(["local", "reset"]).fails_with(1);
        assert!(refused.contains(&id), "{refused}");
        let _ = context.run(["local", "reset", "-force"]).succeeds();
        let output = Ran::end_of(bake).fails_with(1);
        assert!(
            output.contains("Cancelling build after receiving a request of `bakelite local reset -force`"),
            "{how:?}: {output}"
        );
        assert_eq!(instances(&context), Vec::<Value>::new());
        // With `abort` a cancelled bake leaves everything as it is: `gc` finds that the reset has taken it.
        let _ = context.run(["gc"]).succeeds();
        assert_eq!(context.journals(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn data_sources_are_read_on_the_local_cloud() {
    let context = test_context!();
    context.template(
        r#"
        data "amazon-ami" "base" {
          region      = "us-east-1"
          filters     = { name = "debian-12-amd64-*" }
          owners      = ["136693071363"]
          most_recent = true
        }
        locals { base = data.amazon-ami.base.name }
        source "null" "a" { communicator = "none" }
        build { sources = ["source.null.a"] }
        "#,
    );
    let _ = context.run(["validate", "-local", "t.pkr.hcl"]).succeeds();
    let inspected = context.run(["inspect", "-local", "t.pkr.hcl"]).succeeds();
    assert!(inspected.contains("local.base: \"debian-12-amd64-"), "{inspected}");
    let mut console = context.command(["console", "-local", "t.pkr.hcl"]);
    let input = context.work().join("input");
    std::fs::write(&input, "local.base\n").unwrap();
    let shown = Ran::of(console.stdin(std::fs::File::open(input).unwrap())).succeeds();
    assert!(shown.starts_with("debian-12-amd64-"), "{shown}");
    for command in ["validate", "inspect", "console"] {
        let refused = context.run([command, "-latency=ec2", "t.pkr.hcl"]).fails_with(1);
        assert!(
            refused.contains("-latency is for the local cloud\nhelp: add -local"),
            "{refused}"
        );
    }
}
