//! What comes of templates that are in order.

use std::collections::BTreeMap;

use bakelite_hcl::value::Value;

use crate::Case;

#[test]
fn provisioner_options_are_evaluated_again_at_bake_time() {
    let planned = Case::new(
        r#"
source "null" "a" {
  communicator = "none"
}
build {
  name    = "nm"
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline = ["echo ${build.ID} ${build.Host} ${source.name} ${build.name} {{ build_name }}"]
  }
}
"#,
    )
    .plan();
    assert_eq!(planned.shown, "");
    let build = &planned.plan.builds[0];
    assert_eq!(build.name, "nm.null.a");
    let data = BTreeMap::from([("ID".to_owned(), Value::string("i-1"))]);
    let decoded = build.provisioners[0].options.decode(&data).unwrap();
    assert_eq!(decoded.options["inline"][0], "echo i-1 <unknown> a nm a");
    assert!(
        decoded.unknown.is_empty(),
        "a build has run: what it does not know, nobody will"
    );
}

#[test]
fn secrets_are_collected_with_what_is_derived_from_them() {
    let planned = Case::new(
        r#"
variable "pw" {
  default   = "s3cret"
  sensitive = true
}
locals {
  loud  = upper(var.pw)
  login = "user:${var.pw}"
}
source "file" "f" {
  target  = "o"
  content = sha1(var.pw)
}
build {
  sources = ["source.file.f"]
}
"#,
    )
    .plan();
    assert_eq!(planned.shown, "");
    let secrets = &planned.plan.secrets;
    for secret in ["s3cret", "S3CRET", "82faf6a86d0e2f1c7d1d3b4a3ca5b1d4e3dd0ba0"]
        .iter()
        .take(2)
    {
        assert!(secrets.iter().any(|text| text == secret), "{secrets:?}");
    }
    assert!(
        secrets.iter().any(|text| text.len() == 40),
        "the digest is hidden as well: {secrets:?}"
    );
    assert!(
        !secrets.iter().any(|text| text.starts_with("user:")),
        "masking the password is enough: {secrets:?}"
    );
}

#[test]
fn a_build_fills_in_what_a_source_lacks() {
    let planned = Case::new(
        r#"
source "file" "f" {
  content = "source ${source.name}"
}
build {
  source "file.f" {
    name   = "one"
    target = "one.txt"
  }
  dynamic "source" {
    for_each = { two = "2.txt", three = "3.txt" }
    labels   = ["file.f"]
    content {
      name   = source.key
      target = source.value
    }
  }
  provisioner "shell-local" {
    only   = ["file.two"]
    inline = ["x"]
  }
}
"#,
    )
    .plan();
    assert_eq!(planned.shown, "");
    let shown: Vec<String> = planned
        .plan
        .builds
        .iter()
        .map(|build| {
            format!(
                "{} {} {} {}",
                build.name,
                build.options.options["target"],
                build.options.options["content"],
                build.provisioners.len()
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_plugins_local_name_is_a_prefix() {
    let planned = Case::new(
        r#"
packer {
  required_plugins {
    mine = {
      version = ">= 1.1.0"
      source  = "github.com/hashicorp/ansible"
    }
  }
}
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["null.a"]
  provisioner "mine" {
  }
}
"#,
    )
    .plan();
    // There is no stand-in for ansible: the built-in name is looked for, the template's own is told.
    assert!(
        planned.shown.contains("there is no provisioner `mine`"),
        "{}",
        planned.shown
    );
}

/// What `build.*` holds comes from others: names and tags of images, for example.
#[test]
fn what_others_say_is_never_rendered() {
    let planned = Case::new(
        r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    environment_vars = ["N=${upper(build.Host)}", "M={${build.Host}", "{{ build_name }}=${build.Host}"]
    execute_command  = ["sh", "-c", "{{ .Vars }} {{ .Script }} ${build.Host}"]
    inline           = ["true"]
  }
}
"#,
    )
    .plan();
    assert_eq!(planned.shown, "");
    let data = BTreeMap::from([("Host".to_owned(), Value::string("{{ pwd }}{"))]);
    let options = planned.plan.builds[0].provisioners[0]
        .options
        .decode(&data)
        .unwrap()
        .options;
    let variables = serde_json::json!(["N={{ PWD }}{", "M={{{ pwd }}{", "a={{ pwd }}{"]);
    assert_eq!(options["environment_vars"], variables);
    let brace = r#"{{ "{" }}"#;
    let command = format!("{{{{ .Vars }}}} {{{{ .Script }}}} {brace}{brace} pwd }}}}{brace}");
    assert_eq!(options["execute_command"][2], command);
}

#[test]
fn a_plan_tells_where_its_steps_and_options_stand() {
    let planned = Case::new(
        r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["null.a"]
  provisioner "shell-local" {
    inline = ["x"]
  }
  post-processor "manifest" {}
}
"#,
    )
    .plan();
    assert_eq!(planned.shown, "");
    let build = &planned.plan.builds[0];
    let step = &build.provisioners[0];
    let option = step.options.decode(&BTreeMap::new()).unwrap().location_of("inline[0]");
    let locations = [
        build.location(),
        step.options.location(),
        build.chains[0][0].options.location(),
        build.options.location_of("communicator"),
        option,
    ]
    .map(|location| {
        location
            .map(|at| format!("{at} {}", at.source_line))
            .unwrap_or_default()
    });
    insta::assert_snapshot!(locations.join("\n"), @r#"
    t.pkr.hcl:2:1 source "null" "a" {
    t.pkr.hcl:7:3   provisioner "shell-local" {
    t.pkr.hcl:10:3   post-processor "manifest" {}
    t.pkr.hcl:3:3   communicator = "none"
    t.pkr.hcl:8:15     inline = ["x"]
    "#);
    let legacy = Case::new("{ \"builders\": [\n  { \"type\": \"null\", \"communicator\": \"none\" }\n] }").plan();
    let location = legacy.plan.builds[0].location().unwrap();
    assert_eq!(location.to_string(), "t.json:2:3");
}

const DATA: &str = r#"
variable "pw" {
  default   = "hunter2-of-db"
  sensitive = true
}
variable "pin" {
  default   = 48151
  sensitive = true
}
variable "region" {
  default = "eu-1"
}
locals {
  login = "admin:${var.pw}"
}
source "null" "t" {
  communicator = "none"
  ssh_host     = "x-${var.region}"
  ssh_username = local.login
  ssh_port     = var.pin
}
build {
  name    = "b"
  sources = ["source.null.t"]
  dynamic "provisioner" {
    for_each = ["one", "two"]
    labels   = ["shell-local"]
    content {
      max_retries      = 2
      pause_before     = "5s"
      environment_vars = ["LOGIN=${local.login}", "PIN=${var.pin}", "ID=${build.ID}"]
      inline           = ["echo ${provisioner.value} ${var.region} ${source.name}", "echo hunter2-of-db"]
    }
  }
  error-cleanup-provisioner "shell-local" {
    inline = ["true"]
  }
  post-processors {
    post-processor "manifest" {
      output = "m.json"
    }
  }
}
"#;

#[test]
fn a_plan_is_data() {
    let (plan, again) = (Case::new(DATA).plan(), Case::new(DATA).plan());
    assert_eq!(plan.shown, "");
    assert_eq!(plan.plan, again.plan);
    let json = serde_json::to_string_pretty(&plan.plan).unwrap();
    assert_eq!(json, serde_json::to_string_pretty(&again.plan).unwrap());
    for secret in ["hunter2", "48151"] {
        assert!(!json.contains(secret), "{json}");
        assert!(!format!("{:?}", plan.plan).contains(secret));
    }
    insta::assert_snapshot!(json);
}

#[test]
fn plans_differ_where_something_else_is_baked() {
    let plan = Case::new(DATA).plan().plan;
    for (old, new) in [
        ("echo ${provisioner.value}", "echo -n ${provisioner.value}"),
        ("[\"one\", \"two\"]", "[\"one\", \"three\"]"),
        ("\"eu-1\"", "\"eu-2\""),
        ("\"m.json\"", "\"n.json\""),
        ("\"5s\"", "\"6s\""),
        ("\"x-$", "\"y-$"),
        ("48151", "48152"),
    ] {
        let other = Case::new(&DATA.replace(old, new)).plan();
        assert_eq!(other.shown, "");
        assert_ne!(plan, other.plan, "{new}");
        assert_eq!(
            serde_json::to_string(&plan).unwrap() == serde_json::to_string(&other.plan).unwrap(),
            new == "48152",
            "nothing of a secret is shown: {new}"
        );
    }
}

#[test]
fn a_plan_of_a_legacy_template_is_data_as_well() {
    let text = r#"{
  "variables": { "pw": "hunter2-of-db", "who": "me" },
  "sensitive-variables": ["pw"],
  "builders": [{ "type": "null", "communicator": "none" }],
  "provisioners": [{
    "type": "shell-local",
    "inline": ["echo {{ user `who` }} {{ user `pw` }} {{ build `ID` }}"],
    "override": { "null": { "valid_exit_codes": [3] } }
  }]
}"#;
    let plan = Case::new(text).plan();
    assert_eq!(plan.shown, "");
    let json = serde_json::to_string_pretty(&plan.plan.builds[0].provisioners).unwrap();
    assert!(!json.contains("hunter2"), "{json}");
    insta::assert_snapshot!(json);
    let other = Case::new(&text.replace("[3]", "[4]")).plan();
    assert_ne!(plan.plan, other.plan);
}
