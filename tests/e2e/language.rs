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

/// What `validate` prints about a template with a mistake, without the spaces that wrap it.
fn complaint(template: &str) -> String {
    let context = test_context!();
    context.template(template);
    let printed = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    printed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_mistake_in_an_expression_is_named_with_what_to_write() {
    for (expression, needles) in [
        (
            "1.2.3",
            &["`1.2.3` is not a number", "a version is a string: write `\"1.2.3\"`"][..],
        ),
        (
            "\"echo ${HOME}\"",
            &["the name `HOME` is not defined here", "write `$${HOME}`"],
        ),
        (
            "\"at ${timestamp}\"",
            &["the name `timestamp` is not defined here", "`timestamp()`"],
        ),
        (
            "data.amazon-ami.base.id",
            &[
                "there is no `data.amazon-ami.base`",
                "add a block `data \"amazon-ami\" \"base\" { … }`",
            ],
        ),
        ("var.zone", &["declare it with a block `variable \"zone\" { … }`"]),
        ("local.zone", &["define it in a block: `locals { zone = … }`"]),
        (
            "[amazon-ebs.web]",
            &[
                "the name `amazon-ebs` is not defined here",
                "a source is named in quotes: `\"source.amazon-ebs.web\"`",
            ],
        ),
        (
            "env(\"HOME\")",
            &["there is no function `env`", "call it in the `default` of a variable"],
        ),
        (
            "uppercase(\"x\")",
            &["there is no function `uppercase`", "did you mean `upper`?"],
        ),
        ("tolower(\"x\")", &["did you mean `lower`?"]),
        ("[\"echo \"hi\"\"]", &["a `\"` inside of a string is written `\\\"`"]),
        ("\"echo \"hi\"\"", &["a `\"` inside of a string is written `\\\"`"]),
    ] {
        let printed = complaint(&with_locals(&format!("  x = {expression}")));
        for needle in needles {
            assert!(printed.contains(needle), "{expression}: {printed}");
        }
    }
}

#[test]
fn a_missing_argument_is_reported_at_the_header_of_its_block() {
    let printed = complaint(
        "variable \"x\" {\n  type = string\n  validation {\n    condition = true\n    # and more\n  }\n}\n\
         source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n}\n",
    );
    assert!(
        printed.contains("`error_message` is missing") && printed.contains("t.pkr.hcl:3:3"),
        "{printed}"
    );
}

#[test]
fn a_block_that_is_not_closed_is_told_in_plain_words() {
    let printed = complaint("source \"null\" \"a\" {\n  communicator = \"none\"\n\nbuild {\n}\n");
    assert!(
        printed.contains("the block `source` is never closed")
            && printed.contains("it is indented no further than the block that is not closed"),
        "{printed}"
    );
}

#[test]
fn what_a_template_file_lacks_is_the_headline() {
    let context = test_context!();
    context
        .file("unit.tpl", "user = ${name}\nport = ${port}\n")
        .template(&with_locals("  x = templatefile(\"unit.tpl\", { name = \"web\" })"));
    let printed = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    let headline = printed.lines().next().unwrap();
    assert!(headline.contains("the template needs `port`"), "{printed}");
    assert!(printed.contains("unit.tpl:2:10"), "{printed}");
}

#[test]
fn a_missing_quote_in_json_is_one_error_at_its_line() {
    for (number, line) in [
        (2, "  \"builders\": [{ \"type: \"null\" }],"),
        (2, "  \"builders\": [{ \"type\": null\" }],"),
        (2, "  \"builders\": [{ \"type\": \"null }],"),
        (2, "  \"builders\": [{ type\": \"null\" }],"),
        (2, "  \"builders: [{ \"type\": \"null\" }],"),
    ] {
        let context = test_context!();
        context.file("t.json", format!("{{\n{line}\n  \"provisioners\": []\n}}\n"));
        let printed = context.run(["validate", "t.json"]).fails_with(1);
        assert_eq!(printed.matches("error:").count(), 1, "{line}: {printed}");
        assert!(printed.contains(&format!("t.json:{number}:")), "{line}: {printed}");
        assert!(printed.contains('"'), "{line}: {printed}");
    }
}

#[test]
fn a_string_where_a_list_is_required_gets_its_brackets() {
    let printed = complaint(
        "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n  \
         provisioner \"shell-local\" {\n    inline = \"echo hi\"\n  }\n}\n",
    );
    assert!(
        printed.contains("t.pkr.hcl:7:14") && printed.contains("write `[ … ]` around the value"),
        "{printed}"
    );
}
