//! Clients that we did not write, on the local cloud: AWS CLI, boto3, OpenSSH's client.

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::context::Ran;
use bakelite_test_support::{test_context, tools};

/// Launch, SSH, stop, image, relaunch, all by the AWS CLI and OpenSSH's client.
#[test]
fn the_aws_cli_and_ssh_make_an_image() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let context = context
        .on(&cloud)
        .with("TOOLS", tools::folder().display().to_string())
        .with("AWS_DEFAULT_REGION", "us-east-1");
    let script = include_str!("clients/aws_cli.sh");
    let output = Ran::of(&mut context.command_of("bash", ["-euo", "pipefail", "-c", script])).succeeds();
    assert!(output.ends_with("made by the AWS CLI\n"), "{output}");
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
