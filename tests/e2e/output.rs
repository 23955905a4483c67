//! What a script prints reaches people as text, and waits for those who read it.

use std::process::ChildStdout;

use bakelite_test_support::clouds::signal;
use bakelite_test_support::context::Ran;
use bakelite_test_support::ended::ended_within;
use bakelite_test_support::eventually::{LIMIT, until};
use bakelite_test_support::test_context;

/// As much as a pipe holds that nobody reads, less a page that may not fit.
const FULL_PIPE: u64 = 60 << 10;

/// A title, a clipboard, a moved cursor with a forged line, C1, a turned direction, and a colour.
const HOSTILE: &str = "\\033]0;title\\007 \\033]52;c;ZXZpbA==\\007 \\033[1A\\033[2K==> Builds finished. \\302\\233 \\342\\200\\256 \\033[35mcolour\\n";

fn template(script: &str) -> String {
    let script = script.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "source \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {{\n    inline = [\"{script}\"]\n  }}\n}}\n"
    )
}

#[test]
fn what_a_script_prints_is_text() {
    let context = test_context!();
    context.template(&template(&format!("printf '{HOSTILE}'")));
    let line = "==> null.a: \\x1b]0;title\\x07 \\x1b]52;c;ZXZpbA==\\x07 \\x1b[1A\\x1b[2K==> Builds finished. \\u{9b} \\u{202e} ";
    let shown = context.run(["build", "-color=false", "t.pkr.hcl"]).succeeds();
    assert!(shown.contains(&format!("\n{line}colour\n")), "{shown:?}");
    let shown = context.run(["build", "-color=true", "t.pkr.hcl"]).succeeds();
    assert!(shown.contains(&format!("{line}\u{1b}[35mcolour\u{1b}[0m")), "{shown:?}");
    let shown = context.run(["-machine-readable", "build", "t.pkr.hcl"]).succeeds();
    assert!(shown.contains("\u{1b}]0;title\u{7}"), "{shown:?}");
}

/// Waits until what nobody reads has filled the pipe.
fn fills(pipe: &ChildStdout) {
    let is_full = || rustix::io::ioctl_fionread(pipe).unwrap() >= FULL_PIPE;
    until("a full pipe", LIMIT, || is_full().then_some(()));
}

#[test]
fn a_stopped_reader_does_not_keep_a_bake_from_being_cancelled() {
    let context = test_context!();
    context.template(&template(
        "while :; do echo 0123456789012345678901234567890123456789; done",
    ));
    let mut child = context.start(["build", "-color=false", "t.pkr.hcl"]);
    let output = child.stdout.take().unwrap();
    fills(&output);
    signal(child.id(), "INT");
    let ended = ended_within(&mut child, LIMIT).expect("it ends");
    assert_eq!(ended.code(), Some(1));
    assert_eq!(context.journals(), Vec::<std::path::PathBuf>::new());
    let left = std::fs::read_dir(context.root().join("tmp")).unwrap().count();
    assert_eq!(left, 0, "temporary files are gone");
    drop(output);
}

#[test]
fn all_of_it_comes_to_a_reader_that_begins_late() {
    let context = test_context!();
    let lines = 400_000;
    context.template(&template(&format!("seq -f 'line %015.0f' {lines}")));
    let child = context.start(["build", "-color=false", "t.pkr.hcl"]);
    fills(child.stdout.as_ref().unwrap());
    let shown = Ran::end_of(child).succeeds();
    assert_eq!(shown.matches("null.a: line ").count(), lines);
}

#[test]
fn a_secret_on_the_cut_of_an_endless_line_is_masked() {
    let context = test_context!();
    // Lines are cut after a megabyte.
    let script =
        r#"for before in 1 4 8 12 15; do head -c $((1048576 - before)) /dev/zero | tr '\0' .; echo "$S"; done"#;
    let variables = "    environment_vars = [\"S=${var.secret}\"]\n    inline = [";
    let text = template(script).replace("    inline = [", variables);
    let declared = "variable \"secret\" {\n  default   = \"AlphaSecret01xyz\"\n  sensitive = true\n}\n";
    context.template(&(declared.to_owned() + &text));
    let shown = context.run(["build", "-color=false", "t.pkr.hcl"]).succeeds();
    assert_eq!(shown.matches("<sensitive>").count(), 5);
    for half in ["Al", "Secr", "ret", "xyz"] {
        assert!(!shown.contains(half), "{half}");
    }
}
