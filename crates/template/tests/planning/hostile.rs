//! Texts that nobody writes by hand.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::Case;

#[test]
fn a_circle_of_a_thousand_is_told_in_short() {
    let mut text = String::from("locals {\n");
    for index in 0..1000 {
        let _ = writeln!(text, "  l{index} = local.l{}", (index + 1) % 1000);
    }
    text.push_str("}\n");
    let shown = Case::new(&text).plan().shown;
    assert!(shown.contains("1000 values refer to each other in a circle"), "{shown}");
    assert!(shown.len() < 4000, "{} bytes", shown.len());
}

#[test]
fn a_chain_of_thousands_is_no_deep_recursion() {
    let mut text = String::from("locals {\n  l0 = 1\n");
    for index in 1..20_000 {
        let _ = writeln!(text, "  l{index} = local.l{} + 1", index - 1);
    }
    text.push_str("}\nsource \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.a\"]\n}\n");
    let planned = Case::new(&text).plan();
    assert_eq!(planned.shown, "");
}

#[test]
fn thousands_of_unknown_names_do_not_hang() {
    let mut text = String::from("locals {\n");
    for index in 0..5000 {
        let _ = writeln!(text, "  some_long_name_{index} = local.some_long_nmae_{index}");
    }
    text.push_str("}\n");
    assert_eq!(
        Case::new(&text).plan().shown.matches("there is no `local.").count(),
        5000
    );
}

#[test]
fn locals_that_double_or_nest_at_each_step_are_an_error() {
    for wrap in ["[local.lX, local.lX]", "[local.lX]", "{ a = local.lX, b = local.lX }"] {
        let mut text = String::from("locals {\n  l0 = \"x\"\n");
        for index in 1..2000 {
            let _ = writeln!(text, "  l{index} = {}", wrap.replace('X', &(index - 1).to_string()));
        }
        text.push_str("}\n");
        let shown = Case::new(&text).plan().shown;
        assert!(shown.contains("is too large"), "{shown}");
    }
}

#[test]
fn deep_json_is_an_error() {
    let text = format!("{{\"builders\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Case::new(&text).plan().shown.contains("error"));
}

#[test]
fn ten_thousand_brackets_are_an_error() {
    let many = 10_000;
    let deep = [
        format!("locals {{\n  a = {}\n}}\n", "[".repeat(many)),
        format!("locals {{\n  a = {}{}\n}}\n", "(".repeat(many), ")".repeat(many)),
        format!("locals {{\n  a = {}1{}\n}}\n", "\"${".repeat(many), "}\"".repeat(many)),
        "build {\n".repeat(many),
        format!("{{\"builders\":{}{}}}", "[".repeat(many), "]".repeat(many)),
        format!("{}1{}", "{\"a\":".repeat(many), "}".repeat(many)),
    ];
    for text in deep {
        let shown = Case::new(&text).plan().shown;
        assert!(shown.contains("error at t."), "{shown:.500}");
        assert!(shown.len() < 100_000, "{} bytes", shown.len());
    }
}

#[test]
fn deep_texts_in_braces_are_an_error() {
    let many = 10_000;
    let texts = [
        format!("{{{{ {}1{} }}}}", "(".repeat(many), ")".repeat(many)),
        format!("{}x{}", "{{ if true }}".repeat(many), "{{ end }}".repeat(many)),
        format!("{}x{}", "{{ range $x := . }}".repeat(many), "{{ end }}".repeat(many)),
        "{{ define `t` }}{{ template `t` }}{{ end }}{{ template `t` }}".to_owned(),
        format!(
            "{{{{ $x := `xxxxxxxxxxxxxxxx` }}}}{}{{{{ $x }}}}",
            "{{ $x = printf `%s%s` $x $x }}".repeat(40)
        ),
    ];
    for text in texts {
        let native = format!(
            "source \"file\" \"a\" {{\n  target  = \"x\"\n  content = \"{text}\"\n}}\nbuild {{\n  sources = [\"file.a\"]\n}}\n"
        );
        let legacy = format!("{{\"builders\":[{{\"type\":\"file\",\"target\":\"x\",\"content\":\"{text}\"}}]}}");
        for template in [native, legacy] {
            let shown = Case::new(&template).plan().shown;
            assert!(shown.contains("error at t."), "{text:.60}: {shown:.500}");
        }
    }
}

/// A legacy template whose variables are given by number.
fn legacy_variables(count: usize, default: impl Fn(usize) -> String) -> String {
    let variables: Vec<String> = (0..count)
        .map(|index| format!("\"v{index}\":\"{}\"", default(index)))
        .collect();
    format!(
        "{{\"variables\":{{{}}},\"builders\":[{{\"type\":\"null\",\"communicator\":\"none\"}}]}}",
        variables.join(",")
    )
}

#[test]
fn legacy_variables_that_double_at_each_step_are_an_error() {
    let text = legacy_variables(1000, |index| match index {
        0 => "xxxxxxxx".to_owned(),
        _ => format!("{{{{user `v{0}`}}}}{{{{user `v{0}`}}}}", index - 1),
    });
    let shown = Case::new(&text).plan().shown;
    assert!(shown.contains("error at t."), "{shown:.500}");
    assert!(shown.len() < 1000, "{} bytes", shown.len());
}

#[test]
fn legacy_variables_in_a_long_chain_or_circle() {
    let chain = legacy_variables(3000, |index| match index {
        2999 => "x".to_owned(),
        _ => format!("{{{{user `v{}`}}}}", index + 1),
    });
    assert_eq!(Case::new(&chain).plan().shown, "");
    let circle = legacy_variables(1000, |index| format!("{{{{user `v{}`}}}}", (index + 1) % 1000));
    let shown = Case::new(&circle).plan().shown;
    assert!(shown.contains("in a circle") && shown.len() < 1000, "{shown:.500}");
}

#[test]
fn fifty_megabytes_are_an_error() {
    let size = 50 << 20;
    for text in [
        format!("locals {{\n  a = \"{}\"\n}}\n", "x".repeat(size)),
        "a = 1\n".repeat(size / 6),
        format!("{{\"_a\":\"{}\"}}", "x".repeat(size)),
        format!("{{\"builders\":[{}1]}}", "1,".repeat(size / 2)),
    ] {
        let shown = Case::new(&text).plan().shown;
        assert!(shown.contains("error at t."), "{shown:.500}");
    }
}

#[test]
fn what_is_not_utf_8_is_an_error() {
    for name in ["t.pkr.hcl", "t.json", "t.pkr.json"] {
        let mut case = Case::new("");
        case = case.file(name, "");
        case.invocation.path = name.to_owned();
        std::fs::write(case.invocation.working_directory.join(name), b"{ \"a\xff\xfe\": 1 }").unwrap();
        let shown = case.plan().shown;
        assert!(shown.contains("error"), "{name}: {shown}");
    }
}

#[test]
fn thousands_of_complaints_are_cut_short() {
    let shown = Case::new(&"a = \n".repeat(100_000)).plan().shown;
    assert!(shown.contains("too many errors"), "{shown:.500}");
    let shown = Case::new(&format!("{{{}", "\"a\" 1 ".repeat(100_000))).plan().shown;
    assert!(shown.len() < 100_000, "{} bytes", shown.len());
}

/// Pieces that make templates of all kinds of brokenness.
const PIECES: &[&str] = &[
    "variable \"a\" {",
    "locals {",
    "local \"b\" {",
    "source \"null\" \"a\" {",
    "source \"file\" \"f\" {",
    "build {",
    "}",
    "\n",
    "sources = [\"null.a\", \"file.f\"]",
    "provisioner \"shell-local\" {",
    "post-processor \"manifest\" {",
    "post-processors {",
    "dynamic \"provisioner\" {",
    "for_each = [1, var.a]",
    "labels = [\"shell-local\"]",
    "content {",
    "inline = [\"{{ build_name }}\"]",
    "default = 1",
    "type = list(string)",
    "validation {",
    "condition = var.a != 1",
    "error_message = \"No.\"",
    "a = local.b",
    "b = local.a",
    "expression = data.null.d.output",
    "data \"null\" \"d\" {",
    "input = \"x\"",
    "communicator = \"none\"",
    "only = [\"null.a\"]",
    "override = { a = { inline = [] } }",
    "name = \"x\"",
    "target = build.ID",
    "packer {",
    "required_version = \">= 1\"",
    "required_plugins {",
    "sensitive = true",
    "\"${",
    "{{",
    "[",
    "\"",
    "ssh_port = null",
];

const JSON_PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"builders\"",
    "\"type\"",
    "\"null\"",
    "\"provisioners\"",
    "\"shell-local\"",
    "\"inline\"",
    "\"{{ user `a` }}\"",
    "\"variables\"",
    "\"a\"",
    "\"{{\"",
    "null",
    "1",
    "true",
    "\"override\"",
    "\"only\"",
    "\"post-processors\"",
    "\"communicator\": \"none\"",
    "{\"builders\":[{\"type\":\"null\",\"communicator\":\"none\"}],",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_template_panics(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        let _ = Case::new(&format!("\n{}", pieces.join("\n"))).plan();
    }

    #[test]
    fn no_legacy_template_panics(pieces in proptest::collection::vec(proptest::sample::select(JSON_PIECES), 0..30)) {
        let _ = Case::new(&format!("{{{}", pieces.join(" "))).plan();
    }
}
