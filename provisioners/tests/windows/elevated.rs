//! powershell as another user: a scheduled task.

use bakelite_test_support::wsman::Played;
use serde_json::json;

use super::{Machine, restarts};

const PASSWORD: &str = "pa'ss\"w$rd <ü>";

#[tokio::test]
async fn a_script_runs_for_another_user_whose_password_is_nowhere_else() {
    let machine = Machine::start(|script| {
        let (user, password) = script.user.clone().unwrap();
        assert_eq!(
            (user.as_str(), password.as_deref()),
            (r"DOMAIN\me & you", Some(PASSWORD))
        );
        Played {
            says: format!("{}\n", script.command),
            status: 7,
            ..Played::default()
        }
    })
    .await;
    let script = machine.bench.write("x.ps1", "x");
    let options = json!({"script": script, "elevated_user": r"DOMAIN\me & you", "elevated_password": PASSWORD, "valid_exit_codes": [7]});
    machine.provision("powershell", options.clone()).await.unwrap();
    let printed = machine.bench.printed().join("\n");
    assert!(
        printed.starts_with("powershell -executionpolicy bypass \"& {"),
        "{printed}"
    );
    insta::assert_snapshot!(machine.commands());
    assert!(!machine.commands().contains("ss\"w"), "the password is in no command");
    assert_eq!((machine.host.files(), machine.host.tasks()), (Vec::new(), Vec::new()));
    let mut options = options;
    options["valid_exit_codes"] = json!([0]);
    let error = machine.provision("powershell", options).await.unwrap_err();
    assert!(error.contains("exit status: 7"), "{error}");
    assert!(!machine.bench.said().join("\n").contains(PASSWORD));
}

#[tokio::test]
async fn a_service_account_has_no_password() {
    let machine = Machine::start(|script| {
        assert_eq!(script.user, Some(("SYSTEM".into(), None)));
        Played::says("ran")
    })
    .await;
    let options = json!({"inline": ["x"], "elevated_user": "SYSTEM"});
    machine.provision("powershell", options).await.unwrap();
    assert_eq!(machine.bench.printed(), ["ran"]);
}

#[tokio::test]
async fn user_password_command_and_variables_of_an_elevated_script_are_the_templates() {
    let machine = Machine::start(|script| {
        let variables = String::from_utf8(script.variables.clone().unwrap_or_default()).unwrap();
        Played::says(format!("{:?} {} [{variables}]\n", script.user, script.command))
    })
    .await;
    let options = json!({"inline": ["x"], "elevated_user": "{{build `User`}}", "elevated_password": "{{.Password}}", "env": {"A": "1"},
        "elevated_execute_command": "powershell -noprofile -file {{.Path}} {{.Vars}}", "execute_command": "never",
        "elevated_env_var_format": "elevated %s=%s ", "env_var_format": "never",
        "remote_path": "c:/x.ps1", "remote_env_var_path": "c:/v.ps1"});
    machine.provision("powershell", options).await.unwrap();
    assert_eq!(
        machine.bench.printed(),
        [
            "Some((\"builder\", Some(\"hunter2\"))) powershell -noprofile -file c:/x.ps1 c:/v.ps1 \
          [elevated A=1 elevated PACKER_BUILDER_TYPE=null elevated PACKER_BUILD_NAME=web ]"
        ]
    );
}

#[tokio::test]
async fn scripts_may_stay_but_not_what_knows_a_password() {
    let machine = Machine::start(|_| Played::default()).await;
    let options = json!({"inline": ["x"], "elevated_user": "a", "elevated_password": "b", "skip_clean": true, "remote_path": "c:/x.ps1"});
    machine.provision("powershell", options).await.unwrap();
    assert_eq!(machine.host.files(), ["c:\\x.ps1"]);
}

#[tokio::test]
async fn a_restart_under_a_scheduled_task_leaves_nothing() {
    let machine = Machine::start(restarts).await;
    let options =
        json!({"inline": ["x"], "elevated_user": "a", "elevated_password": "b", "valid_exit_codes": [0, 16001]});
    machine.provision("powershell", options).await.unwrap();
    assert_eq!((machine.host.files(), machine.host.tasks()), (Vec::new(), Vec::new()));
}
