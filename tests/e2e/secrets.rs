//! Secrets of AWS's Secrets Manager in a template: against Moto, which we did not write, and against the local cloud.

use std::process::Stdio;

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::server::Server;
use bakelite_test_support::{test_context, tools};

/// Moto, and a context whose programs talk to it.
pub(crate) fn on_moto() -> (Server, TestContext) {
    let script = format!("{}/tests/support/moto_server.py", env!("CARGO_MANIFEST_DIR"));
    let context = test_context!();
    // It says where it listens on standard error.
    let words = ["-c", "exec \"$0\" \"$1\" -p 0 2>&1"].map(str::to_owned);
    let python = tools::program("python").display().to_string();
    let mut command = context.command_of("sh", words.into_iter().chain([python, script]));
    let (server, endpoint) = Server::start(command.stdin(Stdio::null()), |line| {
        let (_, endpoint) = line.split_once("Running on ")?;
        Some(endpoint.trim().to_owned())
    });
    let context = context
        .with("AWS_ENDPOINT_URL", endpoint)
        .with("AWS_ACCESS_KEY_ID", "test")
        .with("AWS_SECRET_ACCESS_KEY", "test")
        .with("AWS_REGION", "us-east-1")
        .with("AWS_DEFAULT_REGION", "us-east-1");
    (server, context)
}

pub(crate) fn create(context: &TestContext, name: &str, secret: &str) {
    let arguments = [
        "secretsmanager",
        "create-secret",
        "--name",
        name,
        "--secret-string",
        secret,
    ];
    let _ = Ran::of(&mut context.command_of(tools::program("aws"), arguments)).succeeds();
}

/// The local cloud, and a context whose programs talk to it.
pub(crate) fn on_the_local_cloud() -> (Cloud, TestContext) {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let context = context.on(&cloud).with("AWS_DEFAULT_REGION", "us-east-1");
    (cloud, context)
}

#[test]
fn secrets_of_moto_are_read_and_never_shown() {
    let (_moto, context) = on_moto();
    secrets_are_read_and_never_shown(&context);
}

#[test]
fn secrets_of_the_local_cloud_are_read_and_never_shown() {
    let (_cloud, context) = on_the_local_cloud();
    secrets_are_read_and_never_shown(&context);
}

fn secrets_are_read_and_never_shown(context: &TestContext) {
    create(context, "db", r#"{"user": "admin-of-db", "password": "tr0ub4dor"}"#);
    create(context, "plain", "only-a-text");
    context.template(
        r#"
locals {
  password = aws_secretsmanager("db", "password")
  plain    = aws_secretsmanager("plain", null)
  raw      = jsondecode(aws_secretsmanager_raw("db"))
}
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline = ["echo ${local.password} ${local.plain} ${local.raw.user} | tee got.txt"]
  }
}
"#,
    );
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert_eq!(context.read("got.txt"), "tr0ub4dor only-a-text admin-of-db\n");
    assert!(
        output.contains("==> null.a: <sensitive> <sensitive> <sensitive>\n"),
        "{output}"
    );
}

#[test]
fn what_is_not_there_is_told_with_its_place() {
    let (_moto, context) = on_moto();
    create(&context, "db", r#"{"user": "admin-of-db", "password": "tr0ub4dor"}"#);
    for (call, reason) in [
        (r#"aws_secretsmanager("nowhere", null)"#, "nowhere"),
        (r#"aws_secretsmanager("db", "pass")"#, "it has user, password"),
        (r#"aws_secretsmanager("db", null)"#, "needs a key"),
    ] {
        context.template(&format!("locals {{\n  x = {call}\n}}\nsource \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n}}\n"));
        let error = context.run(["build", "t.pkr.hcl"]).fails_with(1);
        assert!(error.contains(reason) && error.contains("t.pkr.hcl:2:"), "{error}");
        assert!(!error.contains("tr0ub4dor"), "{error}");
    }
}
