//! powershell: what goes over, what runs, what is left.

use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::wsman::{Played, Script, StatusCode, Trouble};
use serde_json::{Value, json};

use super::{Machine, cat, restarts};
use crate::workbench::complaints;

fn silent(_: &Script) -> Played {
    Played::default()
}

#[tokio::test]
async fn an_inline_script_sets_its_variables_runs_and_leaves_nothing() {
    let machine = Machine::start(cat).await;
    let options = json!({"inline": ["Write-Output 'grün'", "exit 0"], "env": {"SECRET": "pa$$ \"word\""}, "environment_vars": ["A=b=c"]});
    machine.provision("powershell", options).await.unwrap();
    let said = machine.bench.said();
    assert_eq!(said[0], "Provisioning with PowerShell script: inline");
    let script = said[1..].join("\n");
    assert!(script.starts_with("\u{feff}$ProgressPreference"), "{script}");
    insta::assert_snapshot!(script.trim_start_matches('\u{feff}'));
    insta::assert_snapshot!(machine.commands());
    assert_eq!(machine.host.files(), Vec::<String>::new());
    assert_eq!(machine.server.open_shells(), 0);
}

#[tokio::test]
async fn scripts_run_in_order_after_one_that_sets_the_variables() {
    let machine = Machine::start(|script| {
        let variables = script.variables.as_deref().unwrap_or_default();
        Played::says(format!("{}: {}\n", script.text(), String::from_utf8_lossy(variables)))
    })
    .await;
    let first = machine.bench.write("first.ps1", "first");
    let second = machine.bench.write("second.ps1", "zweitens ä");
    let options = json!({"scripts": [first, second], "env": {"A": "ü"}});
    machine.provision("powershell", options).await.unwrap();
    let variables = "\u{feff}$env:A=\"ü\"; $env:PACKER_BUILDER_TYPE=\"null\"; $env:PACKER_BUILD_NAME=\"web\";";
    assert_eq!(
        machine.bench.printed(),
        [
            format!("first: {variables}"),
            format!("\u{feff}zweitens ä: {variables}")
        ]
    );
    insta::assert_snapshot!(machine.commands());
    assert_eq!(machine.host.files(), Vec::<String>::new());
}

/// Options, and a text that stands in the command which runs the script.
#[tokio::test]
async fn the_command_is_as_the_options_say() {
    let machine = Machine::start(silent).await;
    let script = machine.bench.write("x.ps1", "x");
    let cases = [
        (
            json!({"inline": ["x"], "execution_policy": "remotesigned"}),
            "powershell -executionpolicy remotesigned -file c:/",
        ),
        (
            json!({"inline": ["x"], "execution_policy": "none"}),
            "powershell -file c:/",
        ),
        (
            json!({"inline": ["x"], "use_pwsh": true}),
            "pwsh -executionpolicy bypass -file c:/",
        ),
        (
            json!({"script": script, "use_pwsh": true}),
            "pwsh -executionpolicy bypass -command \"& {",
        ),
        (json!({"script": script, "debug_mode": 2}), ";Set-PSDebug -Trace 2;. '"),
        (
            json!({"inline": ["x"], "remote_path": "c:/tmp/mine.ps1"}),
            "-file c:/tmp/mine.ps1",
        ),
        (
            json!({"script": script, "remote_path": "c:\\tmp\\"}),
            "&'c:\\tmp\\x.ps1'; exit",
        ),
        (
            json!({"script": script, "remote_env_var_path": "c:/tmp/v.ps1"}),
            ". 'c:/tmp/v.ps1';",
        ),
        (
            json!({"inline": ["x"], "execute_command": "powershell -file {{.Path}} {{.Vars}} {{build `ID`}}", "remote_path": "c:/a.ps1", "remote_env_var_path": "c:/v.ps1"}),
            "powershell -file c:/a.ps1 c:/v.ps1 i-1",
        ),
    ];
    for (options, part) in cases {
        machine.provision("powershell", options.clone()).await.unwrap();
        let commands = machine.host.commands();
        let run = &commands[commands.len() - 2];
        assert!(run.contains(part), "{options}: {run}");
        assert_eq!(machine.host.files(), Vec::<String>::new(), "{options}");
    }
}

#[tokio::test]
async fn a_command_of_the_templates_own_has_the_variables_at_hand() {
    let machine =
        Machine::start(|script| Played::says(String::from_utf8(script.variables.clone().unwrap_or_default()).unwrap()))
            .await;
    let options = json!({"inline": ["x"], "execute_command": "powershell -file {{.Path}} {{.Vars}}", "env": {"A": "it's"},
        "env_var_format": "SetVariable %s \"%s\"; "});
    machine.provision("powershell", options).await.unwrap();
    assert_eq!(
        machine.bench.printed(),
        ["SetVariable A \"it`'s\"; SetVariable PACKER_BUILDER_TYPE \"null\"; SetVariable PACKER_BUILD_NAME \"web\";"]
    );
}

#[tokio::test]
async fn a_binary_script_goes_over_as_it_is() {
    let machine = Machine::start(silent).await;
    let script = machine.bench.write("x.ps1", "ä");
    for (binary, expected) in [(true, "ä"), (false, "\u{feff}ä")] {
        let options = json!({"script": script, "binary": binary, "skip_clean": true, "remote_path": "c:/x.ps1", "remote_env_var_path": "c:/v.ps1"});
        machine.provision("powershell", options).await.unwrap();
        assert_eq!(machine.host.disk().read("c:/x.ps1").unwrap(), expected.as_bytes());
        assert!(
            machine.host.disk().read("c:/v.ps1").is_some(),
            "skip_clean leaves the variables, too"
        );
    }
    let trace = json!({"inline": ["x"], "debug_mode": 1, "skip_clean": true, "remote_path": "c:/i.ps1"});
    machine.provision("powershell", trace).await.unwrap();
    let script = String::from_utf8(machine.host.disk().read("c:/i.ps1").unwrap()).unwrap();
    assert!(script.contains("\nSet-PSDebug -Trace 1\n"), "{script}");
}

#[tokio::test]
async fn a_failed_script_is_an_error_and_leaves_nothing_to_the_next_try() {
    let machine = Machine::start(|_| Played::ends_with(3)).await;
    let script = machine.bench.write("x.ps1", "x");
    for options in [json!({"inline": ["exit 3"]}), json!({"scripts": [script, script]})] {
        for _ in 0..2 {
            let error = machine.provision("powershell", options.clone()).await.unwrap_err();
            assert_eq!(
                error,
                "Script exited with non-zero exit status: 3. Allowed exit codes are: [0]"
            );
            assert_eq!(machine.host.files(), Vec::<String>::new());
        }
    }
    let runs = machine
        .host
        .commands()
        .iter()
        .filter(|command| command.contains("-executionpolicy"))
        .count();
    assert_eq!(runs, 4, "what follows a failed script does not run");
    let options = json!({"inline": ["exit 3"], "valid_exit_codes": [0, 3]});
    machine.provision("powershell", options).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_an_error_unless_it_is_expected() {
    for (codes, is_fine) in [
        (json!([0]), false),
        (json!([0, 16001]), true),
        (json!([2_300_218]), true),
    ] {
        let machine = Machine::start(restarts).await;
        let options = json!({"inline": ["Restart-Computer"], "valid_exit_codes": codes});
        let result = machine.provision("powershell", options).await;
        assert_eq!(result.is_ok(), is_fine, "{codes}: {result:?}");
        if let Err(error) = result {
            assert!(
                error.contains("disconnected unexpectedly") && error.contains("16001"),
                "{error}"
            );
        }
        assert_eq!(
            machine.host.files(),
            Vec::<String>::new(),
            "it is cleaned when it is back"
        );
    }
}

#[tokio::test]
async fn an_instance_that_is_away_is_waited_for() {
    let machine = Machine::start(cat).await;
    machine.server.power.off();
    let back = async {
        eventually(LIMIT, "an attempt is refused", || machine.server.power.refused() > 0).await;
        machine.server.power.on();
    };
    let options = json!({"inline": ["x"], "start_retry_timeout": "5m"});
    let (result, ()) = tokio::join!(machine.provision("powershell", options), back);
    result.unwrap();
    machine.server.power.off();
    let options = json!({"inline": ["x"], "start_retry_timeout": "300ms", "skip_clean": true});
    let error = machine.provision("powershell", options).await.unwrap_err();
    assert!(
        error.starts_with("failed to start a command on the instance: it could not be reached within 300ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_is_not_there_yet_is_waited_for() {
    let machine = Machine::start(cat).await;
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::NOT_FOUND] {
        machine.server.trouble("Create", Trouble::Status(status, "starting"));
    }
    machine.provision("powershell", json!({"inline": ["x"]})).await.unwrap();
    assert_eq!(machine.host.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pause_after_the_scripts_is_said() {
    let machine = Machine::start(cat).await;
    let options = json!({"inline": ["x"], "pause_after": "10ms"});
    machine.provision("powershell", options).await.unwrap();
    assert_eq!(
        machine.bench.said().last().unwrap(),
        "Pausing 10ms after this provisioner..."
    );
}

#[test]
fn options_are_checked() {
    let options = |options: Value| {
        let complaints = complaints("powershell", &options).into_iter();
        complaints.map(|complaint| complaint.option).collect::<Vec<_>>()
    };
    assert!(options(json!({"inline": ["a"], "elevated_user": "SYSTEM"})).is_empty());
    assert_eq!(options(json!({})), [""]);
    assert_eq!(
        options(json!({"inline": ["a"], "elevated_password": "x"})),
        ["elevated_password"]
    );
    assert_eq!(options(json!({"script": "nosuch.ps1"})), ["script"]);
}
