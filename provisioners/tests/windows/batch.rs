//! windows-shell: batch files.

use bakelite_test_support::wsman::Played;
use serde_json::{Value, json};

use super::{Machine, cat, restarts};
use crate::workbench::complaints;

/// The command that ran the script of the last provisioner.
fn last_run(machine: &Machine) -> String {
    let commands = machine.host.commands();
    commands
        .into_iter()
        .rfind(|command| !command.starts_with("del "))
        .unwrap()
}

#[tokio::test]
async fn an_inline_script_runs_with_the_line_ends_of_windows_and_leaves_nothing() {
    let machine = Machine::start(|script| Played::says(format!("{:?}", script.text()))).await;
    let options = json!({"inline": ["@echo off", "goto end", ":end"]});
    machine.provision("windows-shell", options).await.unwrap();
    assert_eq!(
        machine.bench.said(),
        [
            "Provisioning with batch file: inline",
            r#""@echo off\r\ngoto end\r\n:end\r\n""#
        ]
    );
    insta::assert_snapshot!(machine.commands());
    assert_eq!(machine.host.files(), Vec::<String>::new());
}

#[tokio::test]
async fn variables_stand_in_the_script_and_not_in_the_command() {
    let machine = Machine::start(cat).await;
    let options = json!({"inline": ["set"], "env": {"A": "100% & \"b\" & c"}, "environment_vars": ["B=x=y"]});
    machine.provision("windows-shell", options).await.unwrap();
    assert_eq!(
        machine.bench.printed(),
        ["@set \"A=100%% & \"b\" & c\"", "@set \"B=x=y\"", "set"]
    );
    assert_eq!(
        last_run(&machine),
        "set \"PACKER_BUILDER_TYPE=null\" && set \"PACKER_BUILD_NAME=web\" && \"c:/Windows/Temp/script.bat\""
    );
}

#[tokio::test]
async fn commands_and_formats_of_the_templates_own_have_the_variables_as_they_are() {
    let machine = Machine::start(cat).await;
    let cases = [
        (
            json!({"env_var_format": "set %s=%s& "}),
            "set A=100%& set PACKER_BUILDER_TYPE=null& set PACKER_BUILD_NAME=web& \"c:/Windows/Temp/script.bat\"",
        ),
        (
            json!({"execute_command": "{{.Vars}}call {{.Path}} {{build `ID`}}", "remote_path": "c:/tmp/"}),
            "set \"A=100%\" && set \"PACKER_BUILDER_TYPE=null\" && set \"PACKER_BUILD_NAME=web\" && call c:/tmp/script.bat i-1",
        ),
        (
            json!({"remote_path": "c:/x.vbs"}),
            "set \"A=100%\" && set \"PACKER_BUILDER_TYPE=null\" && set \"PACKER_BUILD_NAME=web\" && \"c:/x.vbs\"",
        ),
    ];
    for (mut options, command) in cases {
        options["inline"] = json!(["x"]);
        options["env"] = json!({"A": "100%"});
        machine.provision("windows-shell", options).await.unwrap();
        assert_eq!(last_run(&machine), command);
        assert_eq!(machine.bench.printed(), ["x"]);
        assert_eq!(machine.host.files(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_binary_script_goes_over_as_it_is() {
    let machine = Machine::start(cat).await;
    let script = machine.bench.write("x.cmd", "\u{feff}one\ntwo");
    for (binary, expected) in [(true, "\u{feff}one\ntwo"), (false, "one\r\ntwo")] {
        let options = json!({"script": script, "binary": binary, "skip_clean": true, "remote_path": "c:/x.cmd"});
        machine.provision("windows-shell", options).await.unwrap();
        assert_eq!(machine.host.disk().read("c:/x.cmd").unwrap(), expected.as_bytes());
    }
}

#[tokio::test]
async fn a_failed_script_is_an_error_and_is_removed() {
    let machine = Machine::start(|_| Played::ends_with(5)).await;
    let script = machine.bench.write("x.cmd", "x");
    let options = json!({"scripts": [script, script]});
    let error = machine.provision("windows-shell", options.clone()).await.unwrap_err();
    assert_eq!(
        error,
        "Script exited with non-zero exit status: 5. Allowed exit codes are: [0]"
    );
    assert_eq!((machine.host.files(), machine.host.commands().len()), (Vec::new(), 2));
    let mut options = options;
    options["valid_exit_codes"] = json!([5]);
    machine.provision("windows-shell", options).await.unwrap();
    assert_eq!(
        (machine.host.files(), machine.host.commands().len()),
        (Vec::new(), 2 + 4)
    );
}

#[tokio::test]
async fn a_lost_connection_is_an_error_unless_it_is_expected() {
    for (codes, is_fine) in [(json!([0]), false), (json!([0, 16001]), true)] {
        let machine = Machine::start(restarts).await;
        let options = json!({"inline": ["shutdown"], "valid_exit_codes": codes, "pause_after": "1ms"});
        let result = machine.provision("windows-shell", options).await;
        assert_eq!(result.is_ok(), is_fine, "{codes}: {result:?}");
        let paused = machine.bench.said().last().unwrap().starts_with("Pausing 1ms");
        assert_eq!((machine.host.files(), paused), (Vec::new(), is_fine));
    }
}

#[tokio::test]
async fn an_instance_that_stays_away_is_an_error() {
    let machine = Machine::start(cat).await;
    machine.server.power.off();
    let options = json!({"inline": ["x"], "start_retry_timeout": "300ms", "skip_clean": true});
    let error = machine.provision("windows-shell", options).await.unwrap_err();
    assert!(
        error.starts_with("failed to start a command on the instance: it could not be reached within 300ms"),
        "{error}"
    );
}

#[test]
fn options_are_checked() {
    let options = |options: Value| {
        let complaints = complaints("windows-shell", &options).into_iter();
        complaints.map(|complaint| complaint.option).collect::<Vec<_>>()
    };
    assert_eq!(options(json!({})), [""]);
    assert_eq!(options(json!({"inline": ["a"], "env": {"A": "b\nc"}})), ["env"]);
    assert!(options(json!({"inline": ["a"], "env": {"A": "b"}})).is_empty());
}
