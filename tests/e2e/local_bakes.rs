//! Whole bakes on the local cloud, and what is in the images.

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::context::TestContext;
use bakelite_test_support::inventory::Inventory;
use bakelite_test_support::test_context;

use crate::templates::{image_in, learn, web_server, web_server_base};

/// What a command in an instance of the image prints.
fn in_image(context: &TestContext, image: &str, command: &[&str]) -> String {
    let mut arguments = vec!["local", "run", image, "--"];
    arguments.extend(command);
    context.run(arguments).succeeds()
}

#[test]
fn the_quickstart_bakes_and_its_image_holds_the_greeting() {
    let context = test_context!();
    let template = format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    let output = context.run(["build", "-local", &template]).succeeds();
    assert!(
        output.contains("--> amazon-ebs.quickstart: AMIs were created:\nus-east-1: ami-"),
        "{output}"
    );
    let image = image_in(&context, "packer-manifest.json");
    assert_eq!(
        in_image(&context, &image, &["cat", "/opt/quickstart/greeting"]),
        "Hello from bakelite\n"
    );
    assert_eq!(context.journals(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_command_in_an_image_decides_about_the_exit_code() {
    let context = test_context!();
    let template = format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    context.run(["build", "-local", &template]).succeeds();
    let image = image_in(&context, "packer-manifest.json");
    let _ = context
        .run(["local", "run", &image, "sh", "-c", "exit 7"])
        .fails_with(7);
    let missing = context
        .run(["local", "run", &image, "--", "no-such-command"])
        .fails_with(1);
    assert!(missing.contains("no-such-command"), "{missing}");
}

#[test]
fn the_web_server_example_bakes() {
    let context = test_context!();
    let template = format!("{}/examples/web-server", env!("CARGO_MANIFEST_DIR"));
    let output = context
        .run(["build", "-local", "-var", "app_version=2.0.1", &template])
        .succeeds();
    assert!(
        output.contains("==> web.amazon-ebs.web: self-test passed, version 2.0.1\n"),
        "{output}"
    );
    let image = image_in(&context, "packer-manifest.json");
    assert_eq!(in_image(&context, &image, &["cat", "/opt/app/VERSION"]), "2.0.1\n");
}

#[test]
fn web_server_bakes_as_it_stands() {
    let context = test_context!();
    web_server(&context);
    let base = web_server_base(&context, &["-local"]);
    let output = context.run([
        "build",
        "-local",
        "-var",
        "app_version=1.2.3",
        "-var",
        &format!("base_ami={base}"),
        "web-server.pkr.hcl",
    ]);
    assert!(
        output
            .succeeds()
            .contains("==> amazon-ebs.webserver: healthy --self-test\n")
    );
    let image = image_in(&context, "packer-manifest.json");
    let owner = in_image(
        &context,
        &image,
        &[
            "sh",
            "-c",
            "stat -c %U /opt/app/bin/healthcheck && /opt/app/bin/healthcheck now",
        ],
    );
    assert_eq!(owner, "appuser\nhealthy now\n");
}

#[test]
fn learn_bakes_as_it_stands() {
    let context = test_context!();
    learn(&context);
    let mut command = context.command(["build", "-local", "image.pkr.hcl"]);
    let output = bakelite_test_support::context::Ran::of(command.current_dir(context.work().join("images"))).succeeds();
    let image = output.split("us-east-1: ").nth(1).unwrap().trim().to_owned();
    let key = in_image(&context, &image, &["cat", "/home/terraform/.ssh/authorized_keys"]);
    assert_eq!(key, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 learn\n");
}

#[test]
fn a_bake_leaves_the_image_and_nothing_else() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    let template = format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    context.run(["build", &template]).succeeds();
    let after = Inventory::of(&cloud.endpoint);
    assert_eq!(after.images.len(), before.images.len() + 1);
    assert_eq!(after.temporary(), before.temporary());
}

#[test]
fn a_failing_provisioner_fails_the_bake_and_leaves_nothing() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    let quickstart = std::fs::read_to_string(format!(
        "{}/examples/quickstart/quickstart.pkr.hcl",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    context.template(&quickstart.replace("\"cat /opt/quickstart/greeting\",", "\"exit 7\","));
    let output = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    assert!(
        output.contains("Script exited with non-zero exit status: 7"),
        "{output}"
    );
    assert_eq!(Inventory::of(&cloud.endpoint), before);
    assert_eq!(context.journals(), Vec::<std::path::PathBuf>::new());
}
