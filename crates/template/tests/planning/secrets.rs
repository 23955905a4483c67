//! Whatever a template makes of a secret is hidden, whatever the secret is.

use std::fmt::Write as _;

use bakelite_template::secrets::{MASK, Secrets};
use proptest::prelude::*;

use crate::Case;

/// What a template can make of `var.s` and `var.n`; each is put into a longer text.
const MADE: &[&str] = &[
    "var.s",
    "var.n",
    "var.n + 1",
    "var.o.p",
    "var.o.n",
    "jsonencode(var.s)",
    "jsonencode({ a = var.s, b = \"open\", n = var.n })",
    "jsonencode(jsonencode([var.s]))",
    "yamlencode({ a = var.s, b = upper(var.s) })",
    "urlencode(var.s)",
    "base64encode(var.s)",
    "base64encode(\"login:${var.s}:more\")",
    "base64gzip(var.s)",
    "format(\"%q\", var.s)",
    "format(\"%s/%s\", \"https://host\", var.s)",
    "replace(var.s, \"a\", \"-a-\")",
    "replace(replace(var.s, \"a\", \"-\"), \"-\", \"_\")",
    "substr(var.s, 0, 6)",
    "upper(var.s)",
    "lower(upper(var.s))",
    "title(var.s)",
    "strrev(var.s)",
    "join(\",\", [var.s, \"other\"])",
    "join(\"-\", split(\"\", var.s))",
    "indent(4, var.s)",
    "trimspace(\" ${var.s} \")",
    "sha256(var.s)",
    "md5(upper(var.s))",
    "upper(substr(var.s, 0, 5))",
    "join(\"\", [for c in split(\"\", var.s) : \"${c}.\"])",
    "var.s == \"\" ? \"x\" : strrev(var.s)",
];

/// A template with a sensitive text, number and object, and a source for everything that is made of them.
fn template(secret: &str, number: u64) -> String {
    let quoted = serde_json::to_string(secret).unwrap();
    let quoted = quoted.replace("${", "$${").replace("%{", "%%{");
    let mut text = format!(
        "variable \"s\" {{\n  type = string\n  sensitive = true\n  default = {quoted}\n}}\n\
         variable \"n\" {{\n  type = number\n  sensitive = true\n  default = {number}\n}}\n\
         variable \"o\" {{\n  type = object({{ p = string, n = number }})\n  sensitive = true\n  \
         default = {{ p = {quoted}, n = {number} }}\n}}\n"
    );
    let mut names = Vec::new();
    for (index, made) in MADE.iter().enumerate() {
        let _ = write!(
            text,
            "source \"file\" \"f{index}\" {{\n  target = \"o\"\n  content = \"in:${{{made}}}:out\"\n}}\n"
        );
        names.push(format!("\"source.file.f{index}\""));
    }
    let _ = write!(text, "build {{\n  sources = [{}]\n}}\n", names.join(", "));
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_that_a_template_makes_of_a_secret_is_shown(
        secret in "[A-Za-z0-9\"'<>&\\\\ ${}é日%/+=!`#\n]{8,40}",
        number in 10_000_u64..,
    ) {
        // A text that begins or ends with spaces is still itself without them.
        prop_assume!(secret.trim().chars().count() >= 8);
        // In an option, `{{` begins a template of its own, which a secret is not.
        prop_assume!(!secret.contains("{{"));
        let planned = Case::new(&template(&secret, number)).plan();
        prop_assert_eq!(&planned.shown, "");
        let mut secrets = Secrets::default();
        secrets.extend(planned.plan.secrets.clone());
        for (build, made) in planned.plan.builds.iter().zip(MADE) {
            let content = build.options.options["content"].as_str().unwrap();
            prop_assert_eq!(secrets.mask(content), format!("in:{MASK}:out"), "{} as {:?}", made, content);
            // As a line of its own, and between the quotes of a JSON text.
            let inner = content.strip_prefix("in:").and_then(|rest| rest.strip_suffix(":out")).unwrap();
            for line in inner.lines().map(str::trim).filter(|line| line.chars().count() >= 8) {
                prop_assert_eq!(secrets.mask(line), MASK, "a line of {}: {:?}", made, line);
            }
            let json = serde_json::to_string(content).unwrap();
            prop_assert_eq!(secrets.mask(&json), format!("\"in:{MASK}:out\""), "{} as {:?}", made, json);
        }
    }
}

#[test]
fn what_a_template_writes_around_a_secret_stays_readable() {
    let planned = Case::new(
        r##"
variable "pw" {
  default   = "s3cret-of-db"
  sensitive = true
}
variable "optional" {
  default   = ""
  sensitive = true
}
locals {
  url = "https://admin:${var.pw}@host/${var.optional}"
}
source "file" "f" {
  target  = "o"
  content = "#!/bin/sh\nset -e\ncurl ${local.url}\nif true; then\n  exit 0\nfi\n"
}
build {
  sources = ["source.file.f"]
}
"##,
    )
    .plan();
    let mut secrets = Secrets::default();
    secrets.extend(planned.plan.secrets);
    let shown = "#!/bin/sh\nset -e\ncurl https://admin:s3cret-of-db@host/\nif true; then\n  exit 0\nfi";
    assert_eq!(secrets.mask(shown), shown.replace("s3cret-of-db", MASK));
}

#[test]
fn secrets_of_the_environment_are_known() {
    let mut case =
        Case::new("source \"file\" \"f\" {\n  target = \"o\"\n}\nbuild {\n  sources = [\"source.file.f\"]\n}\n");
    let environment = &mut case.invocation.environment;
    environment.insert("AWS_SECRET_ACCESS_KEY".into(), "wJalrXUtnFEMI/K7MDENG".into());
    environment.insert("AWS_SESSION_TOKEN".into(), "test".into());
    assert_eq!(case.plan().plan.secrets, ["wJalrXUtnFEMI/K7MDENG"]);
}
