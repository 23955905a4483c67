//! What is reported of mistakes that are no errors of the language.

use bakelite_template::ConfigType;

use crate::Case;

const TWO_BUILDS: &str = r#"
packer {
  required_plugins {
    docker = {
      version = ">= 1.0.0"
      source  = "github.com/hashicorp/docker"
    }
  }
}
source "null" "a" {
  communicator = "none"
}
source "docker" "b" {
  image = "debian"
}
build {
  sources = ["null.a", "docker.b"]
}
"#;

#[test]
fn a_plugin_is_needed_only_where_a_build_that_is_wanted_uses_it() {
    let mut case = Case::new(TWO_BUILDS);
    let planned = case.plan();
    let shown = planned.shown;
    assert!(
        shown.contains("builder `docker` of plugin `github.com/hashicorp/docker` is not available"),
        "{shown}"
    );
    assert!(!shown.contains("warning"), "{shown}");
    assert_eq!(planned.plan.builds.len(), 0);
    case.invocation.only = vec!["null.*".to_owned()];
    let planned = case.plan();
    assert!(
        planned
            .shown
            .starts_with("warning at t.pkr.hcl:4:5: plugin `github.com/hashicorp/docker` is not built in\n"),
        "{}",
        planned.shown
    );
    assert!(!planned.shown.contains("error"), "{}", planned.shown);
    assert_eq!(planned.plan.builds.len(), 1);
    case.invocation.only = vec!["docker.*".to_owned()];
    insta::assert_snapshot!(case.plan().shown, @r"
    error at t.pkr.hcl:13:8: builder `docker` of plugin `github.com/hashicorp/docker` is not available
        Packer has it, bakelite has not.
        used here: t.pkr.hcl:17:24
        by this build: t.pkr.hcl:16:1
        help: leave its builds out with `-only` or `-except`
    ");
}

#[test]
fn a_step_counts_only_where_it_runs_in_a_build_that_is_wanted() {
    let steps = "  provisioner \"chef-solo\" {\n    only = [\"docker.b\"]\n  }\n  post-processors {\n    post-processor \"manifest\" {\n    }\n    post-processor \"docker-push\" {\n      name = \"push\"\n    }\n  }\n}\n";
    let text = TWO_BUILDS.trim_end().trim_end_matches('}').to_owned() + steps;
    let mut case = Case::new(&text);
    case.invocation.only = vec!["null.*".to_owned()];
    let shown = case.plan().shown;
    assert!(
        shown.contains("post-processor `docker-push`") && !shown.contains("chef-solo"),
        "{shown}"
    );
    case.invocation.except = vec!["push".to_owned()];
    let planned = case.plan();
    assert!(!planned.shown.contains("error"), "{}", planned.shown);
    assert_eq!(planned.plan.builds.len(), 1);
}

#[test]
fn a_member_that_is_not_for_the_source_does_not_end_its_chain() {
    let steps = "  post-processors {\n    post-processor \"manifest\" {\n      name = \"list\"\n      only = [\"docker.b\"]\n    }\n    post-processor \"docker-push\" {\n    }\n  }\n}\n";
    let text = TWO_BUILDS.trim_end().trim_end_matches('}').to_owned() + steps;
    let mut case = Case::new(&text);
    case.invocation.only = vec!["null.*".to_owned()];
    case.invocation.except = vec!["list".to_owned()];
    let shown = case.plan().shown;
    assert!(shown.contains("post-processor `docker-push`"), "{shown}");
}

#[test]
fn what_is_required_of_another_plugin_is_not_the_built_in_component() {
    let text = "packer {\n  required_plugins {\n    null = {\n      version = \">= 1.0.0\"\n      source  = \"github.com/example/null\"\n    }\n  }\n}\n\
                source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.a\"]\n}\n";
    let shown = Case::new(text).plan().shown;
    assert!(
        shown.contains("builder `null` of plugin `github.com/example/null` is not available"),
        "{shown}"
    );
}

#[test]
fn another_version_than_the_built_in_one_is_a_warning() {
    let text = TWO_BUILDS
        .replace("docker = {", "ansible = {")
        .replace("hashicorp/docker", "hashicorp/ansible")
        .replace(">= 1.0.0", "~> 9.0")
        .replace("sources = [\"null.a\", \"docker.b\"]", "sources = [\"null.a\"]");
    let planned = Case::new(&text).plan();
    assert!(
        planned
            .shown
            .starts_with("warning at t.pkr.hcl:4:5: plugin `ansible` is required in version `~> 9.0`, built in is 1."),
        "{}",
        planned.shown
    );
    assert_eq!(planned.plan.builds.len(), 1);
}

#[test]
fn a_refusal_is_reported_once_however_many_builds_use_the_source() {
    let text = "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  name    = \"one\"\n  sources = [\"null.a\"]\n  provisioner \"shell-local\" {\n  }\n}\n\
                source \"null\" \"b\" {\n  communicator = \"none\"\n}\nbuild {\n  name    = \"two\"\n  sources = [\"null.a\", \"null.b\"]\n  provisioner \"typed\" {\n    target = \"t\"\n    mode   = \"fast\"\n    copies = true\n  }\n}\n";
    let shown = Case::new(text).plan().shown;
    assert_eq!(
        shown
            .matches("`copies` of provisioner `typed` is not supported yet")
            .count(),
        1,
        "{shown}"
    );
}

#[test]
fn any_argument_of_the_registry_is_taken() {
    let text = "hcp_packer_registry {\n  bucket_name = \"abc\"\n  frob        = [1]\n  more {\n    x = 1\n  }\n}\nsource \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.a\"]\n  hcp_packer_registry {\n    frob = local.nothing\n  }\n}\n";
    let planned = Case::new(text).plan();
    assert!(!planned.shown.contains("error"), "{}", planned.shown);
    assert_eq!(planned.plan.builds.len(), 1);
}

#[test]
fn what_packer_has_and_bakelite_has_not_is_no_typing_error() {
    let text = "data \"amazon-parameterstore\" \"p\" {\n}\nsource \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.a\"]\n  provisioner \"puppet-masterless\" {\n  }\n}\n";
    insta::assert_snapshot!(Case::new(text).plan().shown, @r"
    error at t.pkr.hcl:1:1: data source `amazon-parameterstore` of plugin `github.com/hashicorp/amazon` is not available
        Packer has it, bakelite has not.
        help: bakelite has `null`
    error at t.pkr.hcl:8:3: provisioner `puppet-masterless` of plugin `github.com/hashicorp/puppet` is not available
        Packer has it, bakelite has not.
        help: bakelite has `breakpoint`, `file`, `shell`, `shell-local`, `typed`
    ");
}

#[test]
fn names_that_match_nothing_are_reported_one_by_one() {
    let mut case = Case::new(
        r#"
source "null" "web" {
  communicator = "none"
}
build {
  sources = ["null.web"]
  provisioner "shell-local" {
    only   = ["null.wep"]
    inline = ["true"]
  }
  post-processor "manifest" {
    except = ["null.db"]
  }
}
"#,
    );
    case.invocation.only = vec!["null.web,null.wex".to_owned()];
    case.invocation.except = vec!["manifst".to_owned()];
    insta::assert_snapshot!(case.plan().shown, @r"
    warning at t.pkr.hcl:8:15: `only` names `null.wep`, which is no source of this build
        in this block: t.pkr.hcl:7:3
        help: did you mean `null.web`?
    warning at t.pkr.hcl:12:15: `except` names `null.db`, which is no source of this build
        in this block: t.pkr.hcl:11:3
        help: did you mean `null.web`?
    warning: `null.wex` of `-only` matches nothing
        There is `null.web`.
        help: did you mean `null.web`?
    warning: `manifst` of `-except` matches nothing
        There are `manifest`, `null.web`.
        help: did you mean `manifest`?
    ");
}

#[test]
fn user_variables_that_nothing_declares_are_reported() {
    let mut case = Case::new(
        r#"{
  "variables": { "region": "eu-1" },
  "builders": [{ "type": "null", "communicator": "none", "ssh_host": "{{ user `reggion` }}-{{user `given`}}" }]
}"#,
    );
    case.invocation.variables = vec![("given".to_owned(), "x".to_owned())];
    insta::assert_snapshot!(case.plan().shown, @r"
    error at t.json:3:70: there is no variable `reggion`
        help: did you mean `region`?
    ");
}

#[test]
fn hcl_that_is_taken_for_json_is_recognized() {
    let mut case = Case::new("").file("web.hcl", "source \"null\" \"a\" {\n}\n");
    case.invocation.path = "web.hcl".to_owned();
    insta::assert_snapshot!(case.plan().shown, @r"
    error at web.hcl:1:1: `web.hcl` is read as JSON, which it is not
        help: the name of an HCL template ends in `.pkr.hcl`, that of a file of variables in `.pkrvars.hcl`
    ");
    case.invocation.path = "-".to_owned();
    case.invocation.stdin = Some("build {\n}\n".to_owned());
    insta::assert_snapshot!(case.plan().shown, @r"
    error at <stdin>:1:1: standard input is read as JSON, which it is not
        help: HCL on standard input is read with `-config-type=hcl2`
    ");
    case.invocation.config_type = Some(ConfigType::Hcl2);
    assert!(case.plan().shown.contains("build has no source"));
}

#[test]
fn a_legacy_template_may_have_no_builders_on_purpose() {
    assert_eq!(Case::new(r#"{ "builders": {} }"#).plan().shown, "");
    assert!(
        Case::new(r#"{ "builders": [] }"#)
            .plan()
            .shown
            .contains("template has no builder")
    );
}
