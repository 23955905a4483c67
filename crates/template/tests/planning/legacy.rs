//! Legacy JSON templates.

use std::collections::BTreeMap;

use bakelite_hcl::value::Value;

use crate::Case;

#[test]
fn weak_types_variables_and_build_data() {
    let mut case = Case::new(
        r#"{
  "_comment": "x",
  "variables": { "port": "22", "who": "{{ env `WHO` }}", "both": "{{ user `who` }}-{{ user `port` }}", "pw": "s3cret" },
  "sensitive-variables": ["pw"],
  "builders": [
    { "type": "null", "name": "n-{{ user `who` }}", "communicator": "none", "ssh_port": "{{ user `port` }}" }
  ],
  "provisioners": [
    {
      "type": "shell-local",
      "inline": "echo {{ user `both` }} {{ build `ID` }}",
      "valid_exit_codes": ["0", 3],
      "execute_command": "{{ .Vars }} {{ user `pw` }} {{ .Script }}",
      "pause_before": "1s",
      "max_retries": "{{ user `port` }}"
    }
  ],
  "post-processors": ["manifest", [{ "type": "shell-local", "inline": ["a"], "keep_input_artifact": "true" }, "manifest"]]
}"#,
    );
    case.invocation.environment.insert("WHO".to_owned(), "me".to_owned());
    let planned = case.plan();
    assert_eq!(planned.shown, "");
    let build = &planned.plan.builds[0];
    assert_eq!((build.name.as_str(), build.source_name.as_str()), ("null.n-me", "n-me"));
    assert_eq!(build.options.options["ssh_port"], 22);
    let provisioner = &build.provisioners[0];
    assert_eq!(
        (provisioner.max_retries, provisioner.pause_before.unwrap().as_secs()),
        (22, 1)
    );
    let data = BTreeMap::from([("ID".to_owned(), Value::string("i-1"))]);
    let options = provisioner.options.decode(&data).unwrap().options;
    assert_eq!(options["inline"][0], "echo me-22 i-1");
    assert_eq!(options["valid_exit_codes"], serde_json::json!([0, 3]));
    assert_eq!(options["execute_command"], "{{ .Vars }} s3cret {{ .Script }}");
    assert_eq!(planned.plan.secrets, ["s3cret"]);
    assert_eq!(build.chains.len(), 2);
    assert_eq!(build.chains[1][0].keep_input_artifact, Some(true));
}

#[test]
fn what_is_wrong_with_a_legacy_template() {
    let texts = [
        r#"{ "builder": [] }"#,
        r#"{ "builders": [{ "type": "null", "comunicator": "none" }] }"#,
        r#"{ "builders": [{ "type": "null", "communicator": "none", "ssh_port": "x" }] }"#,
        r#"{ "builders": [{ "type": "nul" }], "post-processors": [[["manifest"]]] }"#,
        r#"{ "builders": [{ "type": "null", "communicator": "none" }], "provisioners": [{ "type": "shell-local", "only": ["nul"] }] }"#,
        r#"{ "variables": { "a": "{{ user `b` }}", "b": "{{ user `a` }}" }, "builders": [{ "type": "null" }] }"#,
        r#"{ "variables": { "a": null, "b": 1 }, "builders": [{ "type": "null" }, { "type": "null" }] }"#,
        r#"{ "variables": { "a": null }, "builders": [{ "type": "null" }] }"#,
        r#"{ "builders": [{ "type": "file", "target": "{{ env `X` }}" }], "min_packer_version": "2.0.0" }"#,
        "{ \"builders\": [\n  { \"type\": \"null\", }\n] }",
    ];
    let shown: Vec<String> = texts
        .iter()
        .map(|text| format!("{text}\n{}", Case::new(text).plan().shown))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn null_in_a_file_of_variables_is_an_empty_string() {
    let text = r#"{ "variables": { "a": "x" }, "builders": [{ "type": "file", "target": "t{{ user `a` }}" }] }"#;
    let mut case = Case::new(text).file("v.json", r#"{ "a": null }"#);
    case.invocation.variable_files = vec!["v.json".to_owned()];
    let planned = case.plan();
    assert!(!planned.shown.contains("error"), "{}", planned.shown);
    assert_eq!(planned.plan.builds[0].options.options["target"], "t");
}

#[test]
fn a_variable_that_nothing_declares_does_not_exist() {
    let text =
        r#"{ "variables": { "region": "x" }, "builders": [{ "type": "file", "target": "{{ user `regon` }}" }] }"#;
    let mut case = Case::new(text);
    assert!(
        case.plan()
            .shown
            .starts_with("error at t.json:1:76: there is no variable `regon`\n")
    );
    case.invocation.purpose = bakelite_template::Purpose::Inspect { evaluate_data: false };
    assert!(case.plan().shown.starts_with("warning at "), "nothing needs its value");
    case.invocation.variables = vec![("regon".to_owned(), "given".to_owned())];
    let planned = case.plan();
    assert_eq!(planned.plan.builds[0].options.options["target"], "given");
}

#[test]
fn old_names_of_options_lead_to_the_present_ones() {
    let builder = r#""type": "null", "communicator": "none""#;
    let texts = [
        format!(r#"{{ "builders": [{{ {builder}, "ssh_wait_timeout": "1m" }}] }}"#),
        format!(r#"{{ "builders": [{{ {builder} }}], "post-processors": [{{ "type": "manifest", "filename": "m" }}] }}"#),
        format!(r#"{{ "builders": [{{ {builder}, "ssh_host": "{{{{ clean_ami_name `a` }}}}" }}] }}"#),
        "source \"null\" \"a\" {\n  communicator = \"none\"\n  ssh_wait_timeout = \"1m\"\n}\nbuild {\n  sources = [\"null.a\"]\n}\n".to_owned(),
    ];
    let shown: Vec<String> = texts.iter().map(|text| Case::new(text).plan().shown).collect();
    insta::assert_snapshot!(shown.join("\n"));
}
