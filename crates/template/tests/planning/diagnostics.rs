//! What people read when something in a template is wrong.

use crate::Case;

const BUILD: &str = r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
}
"#;

/// The template's own lines come first, so that their numbers are those of the snapshot.
fn shown(text: &str) -> String {
    Case::new(&format!("{}{BUILD}", text.trim_start())).plan().shown
}

#[test]
fn names_that_do_not_exist() {
    insta::assert_snapshot!(
        Case::new(
            r#"
source "nul" "a" {
}
source "null" "web" {
  comunicator = "none"
}
source "file" "f" {
  target  = local.naem
  content = var.nope
}
locals {
  name = "x"
}
build {
  sources = ["source.null.wbe", "source.nul.a", "source.null.web", "source.file.f", "oops"]
  provisioner "shel" {
  }
  provisioner "shell-local" {
    inlin = ["x"]
  }
  post-processor "manifst" {
  }
}
"#
        )
        .plan()
        .shown
    );
}

#[test]
fn options_of_the_wrong_kind() {
    insta::assert_snapshot!(
        Case::new(
            r#"
source "null" "a" {
  communicator = ["none"]
  ssh_port     = 1.5
  ssh_timeout  = "5"
}
source "null" "b" {
  communicator = "none"
  ssh_port     = 70000
  ssh_host {
  }
}
build {
  sources = ["source.null.a", "source.null.b"]
}
"#
        )
        .plan()
        .shown
    );
}

#[test]
fn variables_that_do_not_fit() {
    let mut case = Case::new(&format!(
        r#"
variable "count" {{
  type = number
  validation {{
    condition     = var.count > 3
    error_message = "Take more than three."
  }}
}}
variable "names" {{
  type = list(string)
}}
variable "unset" {{
}}
{BUILD}"#
    ))
    .file("v.pkrvars.hcl", "count = 2\nunste = 1\n");
    case.invocation.variable_files = vec!["v.pkrvars.hcl".to_owned()];
    insta::assert_snapshot!("variables_phase_10", case.plan().shown);
    case.invocation.variables = vec![
        ("names".to_owned(), "[a".to_owned()),
        ("cuont".to_owned(), "1".to_owned()),
    ];
    case.invocation
        .environment
        .insert("PKR_VAR_count".to_owned(), "two".to_owned());
    insta::assert_snapshot!("variables_phase_8", case.plan().shown);
}

#[test]
fn circles_are_told_as_chains() {
    insta::assert_snapshot!(shown(
        r#"
locals {
  a = local.b
  b = "${local.c}!"
  c = [local.a]
  d = local.d
}
"#
    ));
}

#[test]
fn plugins_that_are_not_built_in() {
    insta::assert_snapshot!(shown(
        r#"
packer {
  required_plugins {
    amazon = {
      version = ">= 9.0"
      source  = "github.com/hashicorp/amazon"
    }
    cloud = {
      version = "1.0.0"
      source  = "github.com/example/cloud"
    }
  }
}
"#
    ));
}

#[test]
fn templates_in_braces() {
    insta::assert_snapshot!(
        Case::new(
            r#"
source "file" "f" {
  target  = "{{ build `ID` }}"
  content = "{{ nope }}"
}
build {
  sources = ["source.file.f"]
}
"#
        )
        .plan()
        .shown
    );
}

#[test]
fn meta_arguments() {
    insta::assert_snapshot!(
        Case::new(
            r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline       = ["x"]
    only         = [source.name]
    pause_before = "5 m"
    timeout      = "soon"
    max_retries  = 1.5
    override     = { a = "x" }
  }
  post-processors {
    manifest {
    }
  }
}
"#
        )
        .plan()
        .shown
    );
}

#[test]
fn errors_tell_what_names_stood_for() {
    let shown = Case::new(
        "variable \"x\" {\n  default = \"abc\"\n}\nvariable \"s\" {\n  default   = \"hunter2\"\n  sensitive = true\n}\nlocals {\n  \
         a = var.x - 1\n  b = cidrhost(var.s, 1)\n}\n",
    )
    .plan()
    .shown;
    assert!(shown.contains("Here `var.x` is \"abc\"."), "{shown}");
    assert!(shown.contains("Here `var.s` is sensitive and not shown."), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
