//! The shell provisioner against OpenSSH's server.

use std::path::Path;

use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::sshd::Setup;
use serde_json::{Value, json};

use crate::workbench::{Workbench, complaints};

/// Options that keep the script in a directory of the test's own.
fn in_directory(bench: &Workbench, mut options: Value) -> Value {
    options["remote_folder"] = json!(bench.path("remote"));
    options
}

async fn bench() -> Workbench {
    Workbench::with_instance(Setup::default()).await
}

#[tokio::test]
async fn an_inline_script_runs_and_leaves_nothing() {
    let bench = bench().await;
    bench
        .provision(
            "shell",
            in_directory(&bench, json!({"inline": ["echo one", "echo two >&2"]})),
        )
        .await
        .unwrap();
    let said = bench.said();
    assert!(
        said[0].starts_with(&format!(
            "Provisioning with shell script: {}/packer-shell",
            bench.path("tmp")
        )),
        "{said:?}"
    );
    let mut printed = said[1..].to_vec();
    printed.sort();
    assert_eq!(printed, ["one", "two"]);
    assert!(bench.names("remote").is_empty() && bench.names("tmp").is_empty());
}

#[tokio::test]
async fn scripts_run_in_order_and_know_their_build() {
    let bench = bench().await;
    let first = bench.write("first.sh", "#!/bin/sh\necho $PACKER_BUILD_NAME $PACKER_BUILDER_TYPE\n");
    bench.write("second.sh", "echo second\r\n");
    bench
        .provision(
            "shell",
            in_directory(&bench, json!({"scripts": [first, bench.path("second.sh")]})),
        )
        .await
        .unwrap();
    assert_eq!(bench.printed(), ["web null", "second"]);
}

#[tokio::test]
async fn variables_reach_the_script_as_they_are_and_stay_out_of_the_process_list() {
    let bench = bench().await;
    let value = "it's \"x\" $HOME\n`id` \\";
    let script =
        "printf '%s' \"$SECRET\" | od -c | head -5; grep -al 'of a secret' /proc/[0-9]*/cmdline 2>/dev/null | head -3";
    let options = json!({"inline": ["printf '%s|' \"$SECRET\" \"$PLAIN\" | tr '\\n' '~'"], "env": {"SECRET": value},
        "environment_vars": ["PLAIN=a=b"]});
    bench.provision("shell", in_directory(&bench, options)).await.unwrap();
    assert_eq!(bench.printed(), [format!("{}|a=b|", value.replace('\n', "~"))]);
    let options = json!({"inline": [script], "env": {"SECRET": "value of a secret"}});
    bench.provision("shell", in_directory(&bench, options)).await.unwrap();
    let printed = bench.printed().join("\n");
    // The only process with these words is the search for them.
    assert!(
        !printed.contains("/proc/self") && printed.lines().filter(|line| line.starts_with("/proc/")).count() <= 1,
        "{printed}"
    );
}

#[tokio::test]
async fn a_file_of_variables_is_private_and_goes_away() {
    let bench = bench().await;
    let look = format!("stat -c %a {}/varfile_*; echo $A", bench.path("remote"));
    let options = json!({"inline": [look], "use_env_var_file": true, "env": {"A": "it's"}});
    bench.provision("shell", in_directory(&bench, options)).await.unwrap();
    assert_eq!(bench.printed(), ["600", "it's"]);
    assert!(bench.names("remote").is_empty());
}

#[tokio::test]
async fn the_templates_own_command_is_rendered() {
    let bench = bench().await;
    let options = json!({"inline": ["echo $A $B"], "env": {"A": "1"}, "execute_command": "chmod +x {{ .Path }}; B=2 {{ .Vars }} sh {{ .Path }}"});
    bench.provision("shell", in_directory(&bench, options)).await.unwrap();
    assert_eq!(bench.printed(), ["1 2"]);
}

#[tokio::test]
async fn a_failed_script_is_an_error_with_its_status_and_is_removed() {
    let bench = bench().await;
    let error = bench
        .provision("shell", in_directory(&bench, json!({"inline": ["exit 3"]})))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "Script exited with non-zero exit status: 3. Allowed exit codes are: [0]"
    );
    assert!(bench.names("remote").is_empty());
    bench
        .provision(
            "shell",
            in_directory(&bench, json!({"inline": ["exit 3"], "valid_exit_codes": [0, 3]})),
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn scripts_stay_only_where_that_is_wanted() {
    let bench = bench().await;
    let options = json!({"inline": ["true"], "skip_clean": true, "remote_file": "kept.sh"});
    bench.provision("shell", in_directory(&bench, options)).await.unwrap();
    assert_eq!(bench.names("remote"), ["kept.sh"]);
    assert_eq!(bench.read("remote/kept.sh"), "#!/bin/sh -e\ntrue\n");
}

#[tokio::test]
async fn a_path_that_starts_with_a_dash_is_a_path() {
    let bench = bench().await;
    let path = format!("-bakelite-test-{}.sh", std::process::id());
    let options = json!({"inline": ["echo ran; ls -- \"$0\""], "remote_path": path});
    bench.provision("shell", options.clone()).await.unwrap();
    assert_eq!(bench.printed(), ["ran".to_owned(), format!("./{path}")]);
    // It was removed: the next one finds nothing but its own.
    let again =
        json!({"inline": [format!("cd; ls -- {path}* 2>/dev/null | wc -l")], "remote_folder": bench.path("remote")});
    bench.provision("shell", again).await.unwrap();
    assert_eq!(bench.printed(), ["0"]);
}

#[tokio::test]
async fn a_long_line_is_not_cut_and_windows_line_ends_are_gone() {
    let bench = bench().await;
    let script = bench.write(
        "long.sh",
        &format!("#!/bin/sh\r\n: {}\r\necho whole", "x".repeat(70_000)),
    );
    bench
        .provision("shell", in_directory(&bench, json!({"script": script})))
        .await
        .unwrap();
    assert_eq!(bench.printed(), ["whole"]);
}

#[tokio::test]
async fn a_script_that_goes_down_with_the_instance_counts_as_a_disconnect() {
    let bench = bench().await;
    let ended_by =
        |signal: &str, expect: bool| json!({"inline": [format!("kill -{signal} $$")], "expect_disconnect": expect});
    bench
        .provision("shell", in_directory(&bench, ended_by("TERM", true)))
        .await
        .unwrap();
    for (signal, expect, status) in [("TERM", false, 143), ("INT", true, 130)] {
        let ended = bench
            .provision("shell", in_directory(&bench, ended_by(signal, expect)))
            .await;
        assert!(
            ended.unwrap_err().contains(&format!("exit status: {status}")),
            "{signal}"
        );
    }
}

#[tokio::test]
async fn a_disconnect_is_an_error_unless_it_is_expected() {
    for (options, expected) in [
        (json!({}), Err(())),
        (json!({"expect_disconnect": true}), Ok(())),
        (json!({"valid_exit_codes": [0, 2_300_218]}), Ok(())),
    ] {
        let bench = bench().await;
        let mark = bench.path("mark");
        // Notices by its output that the server is gone, so that nothing of it is left.
        let script = format!("trap '' PIPE; while echo up; do touch {mark}; sleep 0.05; done 2>/dev/null");
        let mut options = in_directory(&bench, options);
        options["inline"] = json!([script]);
        let killing = async {
            eventually(LIMIT, "the script runs", || Path::new(&mark).exists()).await;
            bench.sshd.as_ref().unwrap().kill_sessions().await;
        };
        let (result, ()) = tokio::join!(bench.provision("shell", options.clone()), killing);
        assert_eq!(result.clone().map_err(|_| ()), expected, "{options}: {result:?}");
        if let Err(error) = result {
            assert!(
                error.contains("disconnected unexpectedly") && error.contains("expect_disconnect"),
                "{error}"
            );
        }
        assert!(bench.names("remote").is_empty(), "{options}");
        // The instance is back for the next.
        bench
            .provision("shell", in_directory(&bench, json!({"inline": ["echo back"]})))
            .await
            .unwrap();
        assert_eq!(bench.printed().last().map(String::as_str), Some("back"));
    }
}

#[tokio::test]
async fn odd_paths_on_the_instance_are_quoted() {
    let bench = bench().await;
    std::fs::create_dir(bench.path("my scripts; $x")).unwrap();
    for more in [
        json!({}),
        json!({"env": {"A": "a"}}),
        json!({"env": {"A": "a"}, "use_env_var_file": true}),
    ] {
        let mut options = json!({"inline": ["echo ran ${A-a}"], "remote_folder": bench.path("my scripts; $x")});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        bench.provision("shell", options).await.unwrap();
        assert_eq!(bench.printed(), ["ran a"]);
        assert!(bench.names("my scripts; $x").is_empty());
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_of_provisioning_is_waited_out() {
    let bench = bench().await;
    let sshd = bench.sshd.as_ref().unwrap();
    let mark = bench.path("mark");
    let script = format!("trap '' PIPE; while echo going down; do touch {mark}; sleep 0.05; done 2>/dev/null");
    let restart = async {
        eventually(LIMIT, "the script runs", || Path::new(&mark).exists()).await;
        sshd.refuse(true);
        sshd.kill_sessions().await;
        eventually(LIMIT, "an attempt is refused", || sshd.refused() > 0).await;
        sshd.refuse(false);
    };
    let restarting = in_directory(&bench, json!({"inline": [script], "expect_disconnect": true}));
    let (result, ()) = tokio::join!(bench.provision("shell", restarting), restart);
    result.unwrap();
    assert!(bench.names("remote").is_empty());
    bench.printed();
    bench
        .provision("shell", in_directory(&bench, json!({"inline": ["echo up"]})))
        .await
        .unwrap();
    assert_eq!(bench.printed(), ["up"]);
}

#[tokio::test]
async fn the_place_and_the_form_of_a_script_can_be_chosen() {
    let bench = bench().await;
    let script = bench.write("dos.sh", "#!/bin/sh\necho 'one\r' | od -An -c\n");
    let path = bench.path("remote/mine");
    for (binary, printed) in [(true, "\\r"), (false, "e")] {
        let script = if binary {
            script.clone()
        } else {
            bench.write("dos2.sh", "#!/bin/sh\r\necho e\r\n")
        };
        let options = json!({"script": script, "remote_path": path, "binary": binary, "skip_clean": true});
        bench.provision("shell", options).await.unwrap();
        let said = bench.printed().join(" ");
        assert!(said.contains(printed) && bench.names("remote") == ["mine"], "{said}");
    }
}

#[tokio::test]
async fn variables_are_written_as_the_template_wants_them() {
    let bench = bench().await;
    for (options, printed) in [
        (
            json!({"inline": ["echo $A"], "env_var_format": "export %s='%s'; "}),
            "it's",
        ),
        (
            json!({"inline": ["echo $A"], "use_env_var_file": true, "env_var_format": "%s='%s'\nexport A\n"}),
            "it's",
        ),
        (json!({"inline": ["echo $A"], "inline_shebang": "/bin/sh -eu"}), "it's"),
    ] {
        let mut options = in_directory(&bench, options);
        options["environment_vars"] = json!(["A=it's"]);
        bench.provision("shell", options).await.unwrap();
        assert_eq!(bench.printed(), [printed]);
    }
}

#[tokio::test]
async fn an_instance_that_stays_away_is_not_waited_for_longer_than_wanted() {
    let bench = bench().await;
    let sshd = bench.sshd.as_ref().unwrap();
    sshd.refuse(true);
    sshd.kill_sessions().await;
    let options = in_directory(&bench, json!({"inline": ["true"], "start_retry_timeout": "300ms"}));
    let error = bench.provision("shell", options).await.unwrap_err();
    assert!(error.contains("it could not be reached within 300ms"), "{error}");
}

#[tokio::test]
async fn a_script_that_runs_too_long_does_not_stay() {
    let bench = bench().await;
    let options = json!({"inline": ["exec sleep 20"], "use_env_var_file": true});
    let limit = std::time::Duration::from_secs(1);
    bench
        .provision_too_long("shell", in_directory(&bench, options), limit)
        .await;
    assert!(bench.names("remote").is_empty() && bench.names("tmp").is_empty());
}

#[tokio::test]
async fn a_pause_after_the_scripts_is_said_and_can_be_cancelled() {
    let bench = bench().await;
    let options = in_directory(&bench, json!({"inline": ["true"], "pause_after": "10ms"}));
    bench.provision("shell", options).await.unwrap();
    assert_eq!(bench.said().last().unwrap(), "Pausing 10ms after this provisioner...");
    bench.provisioning.cancel.cancel();
    let options = in_directory(&bench, json!({"inline": ["true"], "pause_after": "1h"}));
    assert_eq!(bench.provision("shell", options).await.unwrap_err(), "cancelled");
}

#[tokio::test]
async fn without_an_instance_a_script_cannot_run() {
    let bench = Workbench::alone();
    let error = bench
        .provision("shell", json!({"inline": ["echo hi"]}))
        .await
        .unwrap_err();
    assert_eq!(error, "communicator `none` cannot upload");
}

#[test]
fn options_are_checked() {
    let options = |options| {
        complaints("shell", &options)
            .into_iter()
            .map(|complaint| complaint.option)
            .collect::<Vec<_>>()
    };
    assert_eq!(options(json!({})), [""]);
    assert_eq!(options(json!({"script": "nosuch.sh"})), ["script"]);
    assert_eq!(
        options(json!({"inline": ["a"], "environment_vars": ["NOEQ"]})),
        ["environment_vars[0]"]
    );
    assert!(options(json!({"inline": ["a"]})).is_empty());
}
