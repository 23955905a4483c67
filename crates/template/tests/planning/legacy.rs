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
