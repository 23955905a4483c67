//! windows-restart: down, and back.

use bakelite_test_support::wsman::{Played, Script};
use serde_json::json;

use super::{Machine, restarts};

/// Commands that are none of Windows' own fail.
fn unknown(_: &Script) -> Played {
    Played::ends_with(1)
}

#[tokio::test]
async fn a_restart_is_waited_out() {
    let machine = Machine::start(unknown).await;
    machine.provision("windows-restart", json!({})).await.unwrap();
    assert_eq!(
        machine.bench.said(),
        [
            "Restarting the instance...",
            "Waiting for machine to restart...",
            "EC2AMAZ restarted.",
            "Machine successfully restarted, moving on",
        ]
    );
    assert_eq!(machine.server.power.times_off(), 1);
    assert!(machine.server.power.is_on() && !machine.host.is_restart_scheduled());
    let commands = machine.host.commands();
    assert_eq!(
        &commands[..2],
        [
            "shutdown /r /f /t 0 /c \"packer restart\"",
            "shutdown /r /f /t 60 /c \"packer restart test\""
        ]
    );
}

#[tokio::test]
async fn a_restart_that_was_over_at_once_is_not_followed_by_another() {
    // The command only says that it restarts.
    let machine = Machine::start(|_| Played::says("restarting")).await;
    let options = json!({"restart_command": "restart-later"});
    machine.provision("windows-restart", options).await.unwrap();
    assert!(!machine.host.is_restart_scheduled() && machine.server.power.times_off() == 0);
    let commands = machine.host.commands();
    assert_eq!(
        &commands[..3],
        [
            "restart-later",
            "shutdown /r /f /t 60 /c \"packer restart test\"",
            "shutdown /a"
        ]
    );
}

#[tokio::test]
async fn the_connection_may_be_lost_under_the_command() {
    let machine = Machine::start(restarts).await;
    let options = json!({"restart_command": "powershell -command Restart-Computer -Force"});
    machine.provision("windows-restart", options).await.unwrap();
    assert_eq!(machine.server.power.times_off(), 1);
    assert_eq!(
        machine.bench.said().last().unwrap(),
        "Machine successfully restarted, moving on"
    );
}

#[tokio::test]
async fn a_command_that_fails_is_an_error_at_once() {
    for (status, is_fine) in [(5, false), (1115, true), (1190, true)] {
        let machine = Machine::start(move |_| Played::ends_with(status)).await;
        let result = machine
            .provision("windows-restart", json!({"restart_command": "mine"}))
            .await;
        assert_eq!(result.is_ok(), is_fine, "{status}");
        if let Err(error) = result {
            assert_eq!(error, "Restart command exited with non-zero exit status: 5");
            assert_eq!(machine.host.commands(), ["mine"]);
        }
    }
}

#[tokio::test]
async fn a_check_of_the_templates_own_must_have_been_run() {
    let machine = Machine::start(|script| Played {
        says: format!("checked by {}\n", script.command),
        status: 1,
        ..Played::default()
    })
    .await;
    let options = json!({"restart_check_command": "my-check"});
    machine.provision("windows-restart", options).await.unwrap();
    let said = machine.bench.said();
    assert!(said.contains(&"checked by my-check".to_owned()), "{said:?}");
    assert_eq!(machine.server.power.times_off(), 1);
}

#[tokio::test]
async fn keys_of_the_registry_are_waited_for_only_when_wanted() {
    let machine = Machine::start(|_| Played::default()).await;
    let default = r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending";
    machine.host.registry_key(default, 1);
    machine.host.registry_key("HKLM:SOFTWARE\\Mine", 1);
    let mine = json!(["HKLM:SOFTWARE\\Mine"]);
    // How often the registry was asked: once more while there is a key.
    for (options, asked) in [
        (json!({}), 0),
        (json!({"check_registry": true}), 2),
        (json!({"check_registry": true, "registry_keys": mine}), 4),
    ] {
        let mut options = options;
        options["restart_command"] = json!("restart-later");
        machine.provision("windows-restart", options).await.unwrap();
        let commands = machine.host.commands();
        let questions = commands.iter().filter(|command| command.contains("Test-Path"));
        assert_eq!(questions.count(), asked);
    }
}

#[tokio::test]
async fn a_machine_that_does_not_come_back_is_an_error_that_says_what_was_waited_for() {
    let machine = Machine::start(|_| Played::default()).await;
    machine.host.registry_key("HKLM:SOFTWARE\\Mine", usize::MAX);
    let options = json!({"restart_command": "restart-later", "restart_timeout": "3s", "check_registry": true,
        "registry_keys": ["HKLM:SOFTWARE\\Mine"]});
    let error = machine.provision("windows-restart", options).await.unwrap_err();
    assert_eq!(
        error,
        "Timeout waiting for machine to restart. After 3s registry key `HKLM:SOFTWARE\\Mine` still existed"
    );
    machine.server.power.off();
    let error = machine
        .provision("windows-restart", json!({"restart_timeout": "300ms"}))
        .await
        .unwrap_err();
    assert!(
        error.contains("is lost") || error.contains("Timeout waiting for machine to restart"),
        "{error}"
    );
}
