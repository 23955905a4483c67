//! The data sources of AWS: against Moto, which we did not write, and against the local cloud.

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::tools;

use crate::secrets::{create, on_moto, on_the_local_cloud};

fn aws(context: &TestContext, arguments: &[&str]) -> String {
    let arguments = ["--output", "text"].iter().chain(arguments);
    let output = Ran::of(&mut context.command_of(tools::program("aws"), arguments)).succeeds();
    output.trim().to_owned()
}

/// A template of these data sources that writes these expressions into `got.txt`, a line for each.
fn template(data: &str, expressions: &[&str]) -> String {
    let lines: Vec<String> = expressions.iter().map(|one| format!("${{{one}}}\\n")).collect();
    format!(
        "{data}\nsource \"file\" \"a\" {{\n  content = \"{}\"\n  target = \"got.txt\"\n}}\nbuild {{\n  sources = \
         [\"source.file.a\"]\n}}\n",
        lines.concat()
    )
}

fn got(context: &TestContext, data: &str, expressions: &[&str]) -> Vec<String> {
    context.template(&template(data, expressions));
    let _ = context.run(["build", "-force", "t.pkr.hcl"]).succeeds();
    context.read("got.txt").lines().map(str::to_owned).collect()
}

fn error(context: &TestContext, data: &str) -> String {
    context.template(&template(data, &["1"]));
    context.run(["build", "-force", "t.pkr.hcl"]).fails_with(1)
}

#[test]
fn an_ami_of_moto_is_found_by_its_filters() {
    let (_moto, context) = on_moto();
    let register = |name: &str| {
        let image = aws(
            &context,
            &[
                "ec2",
                "register-image",
                "--name",
                name,
                "--architecture",
                "x86_64",
                "--query",
                "ImageId",
            ],
        );
        aws(
            &context,
            &[
                "ec2",
                "create-tags",
                "--resources",
                &image,
                "--tags",
                "Key=Release,Value=stable",
            ],
        );
        image
    };
    let (one, _two) = (register("base-1"), register("base-2"));
    let data = |name: &str, more: &str| {
        format!("data \"amazon-ami\" \"a\" {{\n  filters = {{ name = \"{name}\" }}\n  owners = [\"self\"]\n{more}}}\n")
    };
    let found = got(
        &context,
        &data("base-1", ""),
        &[
            "data.amazon-ami.a.id",
            "data.amazon-ami.a.name",
            "data.amazon-ami.a.owner",
            "data.amazon-ami.a.tags.Release",
            "length(data.amazon-ami.a.creation_date) > 10",
            "data.amazon-ami.a.owner_name == data.amazon-ami.a.owner_name",
        ],
    );
    assert_eq!(
        found,
        [one.as_str(), "base-1", "123456789012", "stable", "true", "true"]
    );
    let several = error(&context, &data("base-*", ""));
    assert!(
        several.contains("2 AMIs match name = `base-*`") && several.contains("t.pkr.hcl:1"),
        "{several}"
    );
    let newest = got(
        &context,
        &data("base-*", "  most_recent = true\n"),
        &["data.amazon-ami.a.name"],
    );
    assert!(newest[0].starts_with("base-"), "{newest:?}");
    let none = error(&context, &data("nothing", "  include_deprecated = true\n"));
    assert!(none.contains("no AMI of self matches name = `nothing`"), "{none}");
}

#[test]
fn a_parameter_of_moto_is_read_in_each_version() {
    let (_moto, context) = on_moto();
    for (name, kind, value) in [
        ("/images/base", "String", "first"),
        ("/images/base", "String", "second"),
        ("/images/key", "SecureString", "hush"),
    ] {
        aws(
            &context,
            &[
                "ssm",
                "put-parameter",
                "--overwrite",
                "--name",
                name,
                "--type",
                kind,
                "--value",
                value,
            ],
        );
    }
    let data = "data \"amazon-parameterstore\" \"now\" {\n  name = \"/images/base\"\n}\n\
        data \"amazon-parameterstore\" \"before\" {\n  name = \"/images/base:1\"\n}\n\
        data \"amazon-parameterstore\" \"clear\" {\n  name = \"/images/key\"\n  with_decryption = true\n}\n\
        data \"amazon-parameterstore\" \"encrypted\" {\n  name = \"/images/key\"\n}\n";
    let found = got(
        &context,
        data,
        &[
            "data.amazon-parameterstore.now.value",
            "data.amazon-parameterstore.now.version",
            "data.amazon-parameterstore.before.value",
            "data.amazon-parameterstore.before.version",
            "data.amazon-parameterstore.now.arn",
            "data.amazon-parameterstore.clear.value",
            "data.amazon-parameterstore.encrypted.value == \"hush\"",
        ],
    );
    let arn = "arn:aws:ssm:us-east-1:123456789012:parameter/images/base";
    assert_eq!(found, ["second", "2", "first", "1", arn, "hush", "false"]);
    let absent = error(
        &context,
        "data \"amazon-parameterstore\" \"a\" {\n  name = \"/nowhere\"\n}\n",
    );
    assert!(
        absent.contains("there is no parameter `/nowhere` in region `us-east-1`"),
        "{absent}"
    );
    let unnamed = error(&context, "data \"amazon-parameterstore\" \"a\" {\n}\n");
    assert!(unnamed.contains("`name`"), "{unnamed}");
}

#[test]
fn secrets_of_moto_keep_their_digits_and_versions() {
    let (_moto, context) = on_moto();
    secrets_keep_their_digits(&context);
    aws(
        &context,
        &[
            "secretsmanager",
            "put-secret-value",
            "--secret-id",
            "plain",
            "--secret-string",
            "new",
        ],
    );
    std::fs::write(context.work().join("bytes"), [0, 255, 10]).unwrap();
    aws(
        &context,
        &[
            "secretsmanager",
            "create-secret",
            "--name",
            "bytes",
            "--secret-binary",
            "fileb://bytes",
        ],
    );
    let data = "data \"amazon-secretsmanager\" \"now\" {\n  name = \"plain\"\n}\n\
        data \"amazon-secretsmanager\" \"before\" {\n  name = \"plain\"\n  version_stage = \"AWSPREVIOUS\"\n}\n\
        data \"amazon-secretsmanager\" \"at\" {\n  name = \"plain\"\n  version_id = data.amazon-secretsmanager.before.version_id\n}\n\
        data \"amazon-secretsmanager\" \"bytes\" {\n  name = \"bytes\"\n}\n";
    let found = got(
        &context,
        data,
        &[
            "data.amazon-secretsmanager.now.value",
            "data.amazon-secretsmanager.before.value",
            "data.amazon-secretsmanager.now.version_id != data.amazon-secretsmanager.before.version_id",
            "data.amazon-secretsmanager.at.value",
            "data.amazon-secretsmanager.bytes.secret_binary",
        ],
    );
    assert_eq!(found, ["new", "only-a-text", "true", "only-a-text", "AP8K"]);
}

#[test]
fn secrets_of_the_local_cloud_keep_their_digits() {
    let (_cloud, context) = on_the_local_cloud();
    secrets_keep_their_digits(&context);
}

fn secrets_keep_their_digits(context: &TestContext) {
    create(context, "plain", "only-a-text");
    create(
        context,
        "db",
        r#"{"user": "admin", "port": 5432, "ratio": 1.50, "on": true}"#,
    );
    let data =
        |name: &str, more: &str| format!("data \"amazon-secretsmanager\" \"a\" {{\n  name = \"{name}\"\n{more}}}\n");
    let value = "data.amazon-secretsmanager.a.value";
    for (key, expected) in [("user", "admin"), ("port", "5432"), ("ratio", "1.50"), ("on", "true")] {
        let found = got(context, &data("db", &format!("  key = \"{key}\"\n")), &[value]);
        assert_eq!(found, [expected], "{key}");
    }
    let whole = "jsondecode(data.amazon-secretsmanager.a.secret_string).user";
    assert_eq!(got(context, &data("db", "  key = \"port\"\n"), &[whole]), ["admin"]);
    assert_eq!(got(context, &data("plain", ""), &[value]), ["only-a-text"]);
    let several = error(context, &data("db", ""));
    assert!(
        several.contains("secret `db` needs a key; it has user, port, ratio, on"),
        "{several}"
    );
    let absent = error(context, &data("nowhere", ""));
    assert!(
        absent.contains("there is no secret `nowhere` in version `AWSCURRENT`"),
        "{absent}"
    );
}

#[test]
fn what_stores_of_aws_hold_is_masked() {
    let (_cloud, context) = on_the_local_cloud();
    create(&context, "db", r#"{"user": "admin-of-db", "password": "hush-of-db"}"#);
    for (name, kind, value) in [
        ("/images/key", "SecureString", "hush-of-key"),
        ("/images/base", "String", "open-of-base"),
    ] {
        let put = ["ssm", "put-parameter", "--name", name, "--type", kind, "--value", value];
        aws(&context, &put);
    }
    context.template(
        "data \"amazon-secretsmanager\" \"db\" {\n  name = \"db\"\n  key = \"password\"\n}\n\
         data \"amazon-parameterstore\" \"key\" {\n  name = \"/images/key\"\n  with_decryption = true\n}\n\
         data \"amazon-parameterstore\" \"base\" {\n  name = \"/images/base\"\n}\n\
         locals {\n  user = jsondecode(data.amazon-secretsmanager.db.secret_string).user\n}\n\
         source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {\n    \
         inline = [\"echo got ${data.amazon-secretsmanager.db.value} ${local.user} ${data.amazon-parameterstore.key.value} \
         ${data.amazon-parameterstore.base.value}\"]\n  }\n}\n",
    );
    let shown = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert!(
        shown.contains("got <sensitive> <sensitive> <sensitive> open-of-base"),
        "{shown}"
    );
    assert!(!shown.contains("-of-db") && !shown.contains("-of-key"), "{shown}");
}
