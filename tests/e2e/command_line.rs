//! Flags, exit codes, and the name it is called by.

use bakelite_test_support::test_context;

const NULL: &str = r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline = ["echo hello"]
  }
}
"#;

#[test]
fn one_dash_and_two_are_the_same() {
    let context = test_context!();
    context.template(NULL);
    for flag in ["-color=false", "--color=false"] {
        let output = context.run(["build", flag, "t.pkr.hcl"]).succeeds();
        assert!(output.contains("==> null.a: hello\n"), "{output}");
    }
}

#[test]
fn flags_after_the_template_are_refused() {
    let context = test_context!();
    context.template(NULL);
    let output = context.run(["build", "t.pkr.hcl", "-force"]).fails_with(1);
    assert!(output.contains("-force"), "{output}");
}

#[test]
fn exit_codes_tell_what_happened() {
    let context = test_context!();
    context
        .template(NULL)
        .file("bad.pkr.hcl", "source \"null\" \"a\" {\n")
        .file("ugly.pkr.hcl", "a  = 1\n");
    context.run(["validate", "t.pkr.hcl"]).succeeds();
    let error = context.run(["validate", "bad.pkr.hcl"]).fails_with(1);
    assert!(error.contains("bad.pkr.hcl:"), "{error}");
    let _ = context.run(["fmt", "-check", "ugly.pkr.hcl"]).fails_with(3);
    let _ = context.run(["frobnicate"]).fails_with(127);
    let _ = context.run::<&str>([]).fails_with(127);
}

#[test]
fn called_packer_it_is_the_same() {
    let context = test_context!();
    context.template(NULL);
    let link = context.root().join("packer");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bakelite"), &link).unwrap();
    let ran =
        bakelite_test_support::context::Ran::of(&mut context.command_of(&link, ["build", "-color=false", "t.pkr.hcl"]));
    assert!(ran.succeeds().contains("==> null.a: hello\n"));
}

#[test]
fn a_missing_plugin_is_named_and_a_native_one_is_there() {
    let context = test_context!();
    let template = |name: &str, source: &str| {
        format!(
            "packer {{\n  required_plugins {{\n    {name} = {{\n      version = \">= 1.0.0\"\n      source  = \"{source}\"\n    }}\n  }}\n}}\n"
        )
    };
    context.template(&template("amazon", "github.com/hashicorp/amazon"));
    context.run(["init", "t.pkr.hcl"]).succeeds();
    context.template(&template("googlecompute", "github.com/hashicorp/googlecompute"));
    let error = context.run(["init", "t.pkr.hcl"]).fails_with(1);
    assert!(
        error.contains("googlecompute") && error.contains("t.pkr.hcl:3"),
        "{error}"
    );
}

#[test]
fn machine_readable_lines_name_the_artifact() {
    let context = test_context!();
    context.template(NULL);
    let output = context.run(["build", "-machine-readable", "t.pkr.hcl"]).succeeds();
    let artifact = output.lines().find(|line| line.ends_with(",null.a,artifact,0,id,Null"));
    assert!(artifact.is_some(), "{output}");
}
