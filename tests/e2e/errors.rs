//! An error of a component at run time: its message, what to do and the place in the template, in everything that is printed.

use bakelite_test_support::test_context;
use serde_json::Value;

const PROVISIONER: &str = r#"source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline          = ["true"]
    execute_command = ["/nosuch/shell", "{{.Script}}"]
  }
}
"#;

const POST_PROCESSOR: &str = r#"source "file" "a" {
  content = "x"
  target  = "made"
}
build {
  sources = ["source.file.a"]
  post-processor "manifest" {
    strip_time = true
    output     = "notes.txt"
  }
}
"#;

/// Bakes, and checks that the error is in the terminal's output, in the records and in the events.
fn check(template: &str, message: &str, help: &str, place: &str) {
    let context = test_context!();
    context.file("notes.txt", "not JSON").template(template);
    let shown = context.run(["build", "-color=false", "t.pkr.hcl"]).fails_with(1);
    for part in [message, &format!("--> {place}\n"), &format!("= help: {help}\n")] {
        assert!(shown.contains(part), "`{part}` is not in {shown}");
    }
    let flags = ["build", "-machine-readable", "-log-events", "events.jsonl", "t.pkr.hcl"];
    let records = context.run(flags).fails_with(1);
    let record = records
        .lines()
        .find(|line| line.contains(",diagnostic,error,"))
        .unwrap();
    let help_field = help.replace(',', "%!(PACKER_COMMA)");
    assert!(
        record.contains(message) && record.ends_with(&format!(",{help_field},{place}")),
        "{record}"
    );
    let events = context.read("events.jsonl");
    let mut events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let error = events.find_map(|event| event.pointer("/what/build/errored/error").cloned());
    let error = error.unwrap();
    assert!(error["text"].as_str().unwrap().contains(message), "{error}");
    assert_eq!(
        (&error["kind"], &error["help"]),
        (&Value::from("failed"), &Value::from(help))
    );
    let location = &error["location"];
    let event_place = format!("t.pkr.hcl:{}:{}", location["line"], location["column"]);
    assert_eq!(event_place, place);
}

#[test]
fn of_a_provisioner() {
    check(
        PROVISIONER,
        "failed to start `/nosuch/shell`: No such file or directory",
        "install `/nosuch/shell`, or name it by its whole path",
        "t.pkr.hcl:8:5",
    );
}

#[test]
fn of_a_post_processor() {
    check(
        POST_PROCESSOR,
        "notes.txt` is not a manifest: ",
        "move it away, or set `output` to another file",
        "t.pkr.hcl:9:5",
    );
}
