//! Clients that we did not write, on the local cloud: AWS CLI, boto3, OpenSSH's client.

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::context::Ran;
use bakelite_test_support::inventory::Inventory;
use bakelite_test_support::{test_context, tools};

/// Launch, SSH, stop, image, relaunch, all by the AWS CLI and OpenSSH's client.
#[test]
fn the_aws_cli_and_ssh_make_an_image() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let context = context
        .on(&cloud)
        .with("TOOLS", tools::directory().display().to_string())
        .with("AWS_DEFAULT_REGION", "us-east-1");
    let script = include_str!("clients/aws_cli.sh");
    let output = Ran::of(&mut context.command_of("bash", ["-euo", "pipefail", "-c", script])).succeeds();
    assert!(output.ends_with("made by the AWS CLI\n"), "{output}");
}

/// Temporary keys of its STS, the services with JSON, and keys that are none: the AWS CLI says what it would say of AWS.
#[test]
fn the_aws_cli_needs_the_right_key() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let context = context
        .on(&cloud)
        .with("TOOLS", tools::directory().display().to_string())
        .with("AWS_DEFAULT_REGION", "us-east-1");
    let script = include_str!("clients/aws_cli_keys.sh");
    let output = Ran::of(&mut context.command_of("bash", ["-euo", "pipefail", "-c", script])).succeeds();
    assert_eq!(output, "done\n");
}

/// The same by boto3, with its waiters.
#[test]
fn boto3_makes_an_image() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let context = context.on(&cloud).with("AWS_DEFAULT_REGION", "us-east-1");
    let script = include_str!("clients/boto3_client.py");
    let output = Ran::of(&mut context.command_of(tools::program("python"), ["-c", script])).succeeds();
    assert_eq!(output, "made by boto3\n");
}

/// Debian's `packer` (1.6.6, the last free one) bakes on the local cloud. tests/prepare does not install it. It knows no other port for
/// SSH than 22, which takes root.
#[test]
#[ignore = "needs root and `apt-get install packer`: run it with `-- --ignored debians_packer`"]
fn debians_packer_bakes_on_the_local_cloud() {
    let context = test_context!();
    let packer = std::path::Path::new("/usr/bin/packer");
    assert!(packer.exists() && tools::is_root());
    let cloud = Cloud::local(&context, &[]);
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud).with("CHECKPOINT_DISABLE", "1");
    context.file("peer.pkr.hcl", include_str!("clients/packer_1_6.pkr.hcl"));
    let endpoint = format!("endpoint={}", cloud.endpoint);
    let output = Ran::of(&mut context.command_of(packer, ["build", "-var", &endpoint, "peer.pkr.hcl"])).succeeds();
    let after = Inventory::of(&cloud.endpoint);
    let made: Vec<&String> = after.images.difference(&before.images).collect();
    assert!(
        made.len() == 1 && output.contains(&format!("us-east-1: {}", made[0])),
        "{output}"
    );
    assert_eq!(after.temporary(), before.temporary());
}
