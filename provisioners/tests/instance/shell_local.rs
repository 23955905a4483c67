//! The shell-local provisioner, on this machine.

use std::os::unix::fs::PermissionsExt as _;

use bakelite_test_support::eventually::{LIMIT, eventually};
use serde_json::json;

use crate::workbench::Workbench;

#[tokio::test]
async fn inline_lines_are_one_script_that_ends_at_the_first_failure() {
    let bench = Workbench::alone();
    bench
        .provision("shell-local", json!({"inline": ["export A=1", "echo A=$A"]}))
        .await
        .unwrap();
    assert_eq!(bench.printed(), ["A=1"]);
    bench
        .provision("shell-local", json!({"inline": ["false", "echo never"]}))
        .await
        .unwrap_err();
    assert!(bench.printed().is_empty() && bench.names("tmp").is_empty());
}

#[tokio::test]
async fn variables_are_quoted_and_the_builds_own_are_there() {
    let bench = Workbench::alone();
    let options = json!({"inline": ["echo \"$Q\" $Z $PACKER_BUILD_NAME $PACKER_BUILDER_TYPE $PACKER_RUN_UUID"],
        "environment_vars": ["Q=it's \"x\" $HOME"], "env": {"Z": "z"}});
    bench.provision("shell-local", options).await.unwrap();
    assert_eq!(bench.printed(), ["it's \"x\" $HOME z web null run-id"]);
}

#[tokio::test]
async fn values_stay_out_of_the_process_list() {
    let command = "tr '\\0' ' ' < /proc/$PPID/cmdline | grep -c 'of a secr[e]t' || true; test \"$S\" = 'value of a secret' && echo got";
    for execute_command in [
        json!(null),
        json!(["/bin/sh", "-c", "{{ .Vars }} /bin/sh {{ .Script }}; true"]),
    ] {
        let bench = Workbench::alone();
        let mut options = json!({"inline": [command], "env": {"S": "value of a secret"}});
        if !execute_command.is_null() {
            options["execute_command"] = execute_command;
        }
        bench.provision("shell-local", options).await.unwrap();
        assert_eq!(bench.printed(), ["0", "got"]);
    }
}

#[tokio::test]
async fn the_templates_own_command_is_rendered() {
    let bench = Workbench::alone();
    let options = json!({"inline": ["echo $Z-$Y"], "environment_vars": ["Z=1"],
        "execute_command": ["/bin/sh", "-c", "Y=2 {{ .Vars }} /bin/sh {{ .Script }}"]});
    bench.provision("shell-local", options).await.unwrap();
    let options = json!({"inline": ["echo $Z"], "environment_vars": ["Z=it's"], "execute_command": ["env", "{{ .Vars }}", "sh", "{{ .Script }}"],
        "env_var_format": "%s=%s"});
    bench.provision("shell-local", options).await.unwrap();
    assert_eq!(bench.printed()[0], "1-2");
}

#[tokio::test]
async fn a_script_without_permission_says_what_the_shell_says() {
    let bench = Workbench::alone();
    let script = bench.write("s1.sh", "echo one\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = bench
        .provision("shell-local", json!({"script": script}))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "Script exited with non-zero exit status: 126. Allowed exit codes are: [0]"
    );
    assert_eq!(
        bench.printed().last().unwrap(),
        &format!("/bin/sh: 1: {script}: Permission denied")
    );
}

#[tokio::test]
async fn statuses_and_systems_can_be_chosen() {
    let bench = Workbench::alone();
    bench
        .provision("shell-local", json!({"inline": ["exit 7"], "valid_exit_codes": [0, 7]}))
        .await
        .unwrap();
    bench.said();
    bench
        .provision("shell-local", json!({"inline": ["exit 1"], "only_on": ["windows"]}))
        .await
        .unwrap();
    assert_eq!(bench.said(), ["Skipping shell-local due to runtime OS"]);
    let killed = bench
        .provision("shell-local", json!({"inline": ["kill -KILL $$"]}))
        .await
        .unwrap_err();
    assert!(
        killed.contains("exit status: -1") || killed.contains("exit status: 137"),
        "{killed}"
    );
}

#[tokio::test]
async fn a_script_that_is_dropped_ends_with_all_that_it_started() {
    let bench = Workbench::alone();
    let script = format!(
        "sh -c 'echo $$ > {0}; while :; do sleep 0.05; done' & wait",
        bench.path("child")
    );
    let work = bench.provision("shell-local", json!({"inline": [script]}));
    let started = async {
        let child = || std::fs::read_to_string(bench.path("child")).unwrap_or_default();
        eventually(LIMIT, "the script runs", || !child().trim().is_empty()).await;
    };
    tokio::select! {
        result = work => panic!("{result:?}"),
        () = started => {}
    }
    let child = bench.read("child").trim().to_owned();
    let runs = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    eventually(LIMIT, "its child has ended", || !runs()).await;
    assert!(bench.names("tmp").is_empty());
}

#[tokio::test]
async fn commands_scripts_and_their_names_can_be_given() {
    let bench = Workbench::alone();
    bench
        .provision("shell-local", json!({"command": "echo command"}))
        .await
        .unwrap();
    let scripts: Vec<String> = ["one", "two"]
        .map(|name| bench.write(name, &format!("#!/bin/sh\necho {name}\n")))
        .into();
    for script in &scripts {
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench
        .provision("shell-local", json!({"scripts": scripts}))
        .await
        .unwrap();
    let named = json!({"inline": ["echo $0"], "tempfile_extension": ".cmd", "inline_shebang": "/bin/sh"});
    bench.provision("shell-local", named).await.unwrap();
    let formatted = json!({"inline": ["echo $A"], "env": {"A": "a b"}, "env_var_format": "%s='%s' "});
    bench.provision("shell-local", formatted).await.unwrap();
    let printed = bench.printed();
    assert_eq!(
        [&printed[..3], &printed[4..]].concat(),
        ["command", "one", "two", "a b"]
    );
    assert!(printed[3].contains(".cmd"), "{printed:?}");
}

#[tokio::test]
async fn paths_with_spaces_are_quoted() {
    let mut bench = Workbench::alone();
    let directory = bench.directory.path().join("my tmp");
    std::fs::create_dir(&directory).unwrap();
    bench.provisioning.run.temporary_directory = directory;
    bench
        .provision("shell-local", json!({"inline": ["echo ran"]}))
        .await
        .unwrap();
    assert_eq!(bench.printed(), ["ran"]);
}

#[tokio::test]
async fn breakpoints_and_sleeps() {
    let bench = Workbench::alone();
    bench
        .provision("breakpoint", json!({"disable": true, "note": "hey"}))
        .await
        .unwrap();
    assert_eq!(
        bench.said(),
        ["Breakpoint provisioner with note \"hey\" disabled; continuing..."]
    );
    bench.provision("sleep", json!({"duration": "10ms"})).await.unwrap();
    bench.provisioning.cancel.cancel();
    assert_eq!(
        bench.provision("sleep", json!({"duration": "1h"})).await.unwrap_err(),
        "cancelled"
    );
}
