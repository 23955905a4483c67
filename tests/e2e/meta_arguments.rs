//! What every provisioner takes: pauses, limits, retries, and going on after a failure.

use bakelite_test_support::context::TestContext;
use bakelite_test_support::test_context;

/// A build with one provisioner that runs on this machine, and one after it.
fn template(context: &TestContext, command: &str, arguments: &str) {
    context.template(&format!(
        r#"
source "null" "a" {{
  communicator = "none"
}}
build {{
  sources = ["source.null.a"]
  provisioner "shell-local" {{
    inline = ["{command}"]
    {arguments}
  }}
  provisioner "shell-local" {{
    inline = ["echo next"]
  }}
}}
"#
    ));
}

/// Counts its runs in a file, and fails with the number.
const COUNTS: &str = "echo x >> runs; exit $(wc -l < runs)";

#[test]
fn a_limit_holds_after_a_pause_too() {
    let context = test_context!();
    template(
        &context,
        "exec sleep 60",
        "pause_before = \"10ms\"\n timeout = \"200ms\"",
    );
    let said = context.run(["build", "-color=false", "t.pkr.hcl"]).fails_with(1);
    let order = [
        "Pausing 10ms before the next provisioner...",
        "Setting a 200ms timeout for the next provisioner...",
        "Cancelling provisioner after a timeout...",
        "provisioner ran longer than its timeout of 200ms",
    ];
    let mut rest = said.as_str();
    for text in order {
        let (_, after) = rest
            .split_once(text)
            .unwrap_or_else(|| panic!("`{text}` is not in {said}"));
        rest = after;
    }
    assert!(!said.contains("next\n"), "{said}");
}

#[test]
fn retries_are_counted_and_the_last_error_is_the_one_that_counts() {
    let context = test_context!();
    template(&context, COUNTS, "max_retries = 2\n pause_before = \"1ms\"");
    let said = context.run(["build", "-color=false", "t.pkr.hcl"]).fails_with(1);
    assert_eq!(context.read("runs").lines().count(), 3);
    assert_eq!(
        said.matches("Pausing 1ms before").count(),
        3,
        "the pause is part of a try: {said}"
    );
    assert!(
        said.contains("trying again (2 tries left): Script exited with non-zero exit status: 1."),
        "{said}"
    );
    assert!(
        said.contains("trying again (1 try left): Script exited with non-zero exit status: 2."),
        "{said}"
    );
    let (_, end) = said.split_once("Build 'null.a' errored").unwrap();
    assert!(
        end.contains("exit status: 3") && !end.contains("exit status: 1"),
        "{said}"
    );
}

#[test]
fn every_try_has_the_whole_limit() {
    let context = test_context!();
    let command = "test -e tried || { touch tried; exec sleep 60; }";
    template(&context, command, "max_retries = 1\n timeout = \"1s\"");
    let ran = context.run(["build", "-color=false", "t.pkr.hcl"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout.matches("Setting a 1s timeout").count(), 2, "{ran:?}");
    assert!(ran.stdout.contains("null.a: next"), "{ran:?}");
}

#[test]
fn a_failure_that_may_be_does_not_end_the_build() {
    let context = test_context!();
    template(&context, COUNTS, "max_retries = 1\n continue_on_error = true");
    let ran = context.run(["build", "-color=false", "t.pkr.hcl"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        context.read("runs").lines().count(),
        2,
        "it is tried again before it is let go"
    );
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains("exit status: 2") && said.contains("continue_on_error is set"),
        "{said}"
    );
    assert!(ran.stdout.contains("null.a: next"), "{ran:?}");
}
