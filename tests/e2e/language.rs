//! Expressions, as a user of the binary meets them.

use bakelite_test_support::test_context;

/// A template that can be planned, with locals.
fn with_locals(locals: &str) -> String {
    format!(
        "locals {{\n{locals}\n}}\nsource \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n}}\n"
    )
}

#[test]
fn what_the_yaml_library_panics_on_is_an_error_without_a_trace() {
    for yaml in ["[!!str, x]", "[!a!b, x]"] {
        let context = test_context!();
        context.template(&with_locals(&format!(
            "  tried = try(yamldecode(\"{yaml}\"), \"none\")"
        )));
        let tried = context.run(["validate", "t.pkr.hcl"]).succeeds();
        context.template(&with_locals(&format!("  wrong = yamldecode(\"{yaml}\")")));
        let wrong = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
        assert!(wrong.contains("t.pkr.hcl:2:11"), "{wrong}");
        for output in [&tried, &wrong] {
            assert!(
                !output.contains("panicked") && !output.contains("libyaml"),
                "{yaml}: {output}"
            );
        }
    }
}
