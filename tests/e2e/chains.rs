//! What becomes of a builder's artifact when a chain replaces it.

use bakelite_test_support::context::TestContext;
use bakelite_test_support::test_context;

/// Bakes a file `old`, which artifice replaces by `new`.
fn replaced(option: &str) -> TestContext {
    let context = test_context!();
    context.file("new", "new").template(&format!(
        "source \"file\" \"web\" {{\n  content = \"old\"\n  target  = \"old\"\n}}\nbuild {{\n  sources = [\"source.file.web\"]\n  \
         post-processor \"artifice\" {{\n    files = [\"new\"]\n    {option}\n  }}\n}}\n"
    ));
    context.run(["build", "t.pkr.hcl"]).succeeds();
    context
}

#[test]
fn artifice_keeps_what_it_replaces_unless_told_otherwise() {
    for (option, is_kept) in [
        ("", true),
        ("keep_input_artifact = true", true),
        ("keep_input_artifact = false", false),
    ] {
        let context = replaced(option);
        assert_eq!(context.work().join("old").exists(), is_kept, "{option}");
        assert_eq!(context.read("new"), "new");
    }
}
