//! Options that the other tests only pass by: each case comes out differently when its option does nothing.

use bakelite_test_support::sshd::Setup;
use serde_json::{Value, json};

use crate::workbench::Workbench;

async fn printed(bench: &Workbench, name: &str, options: Value) -> Vec<String> {
    bench
        .provision(name, options.clone())
        .await
        .unwrap_or_else(|error| panic!("{options}: {error}"));
    bench.printed()
}

/// What shell and shell-local understand alike.
fn of_scripts() -> Vec<(Value, Value)> {
    vec![
        // Without the shebang's `-e` a failure in the middle does not count.
        (
            json!({"inline": ["false", "echo went on"], "inline_shebang": "/bin/sh"}),
            json!(["went on"]),
        ),
        (
            json!({"inline": ["#!/bin/cat", "a line"]}),
            json!(["#!/bin/cat", "a line"]),
        ),
        (
            json!({"inline": ["echo $XA"], "env": {"A": "it's"}, "env_var_format": "X%s='%s' "}),
            json!(["it's"]),
        ),
        (
            json!({"inline": ["echo $A $B"], "environment_vars": ["A=1=2", "B=3"], "env": {"B": "4"}}),
            json!(["1=2 4"]),
        ),
        (
            json!({"inline": ["echo last; exit 7"], "valid_exit_codes": [7, 8]}),
            json!(["last"]),
        ),
    ]
}

#[tokio::test]
async fn options_of_shell_change_what_happens() {
    let bench = Workbench::with_instance(Setup::default()).await;
    for (mut options, expected) in of_scripts() {
        options["remote_folder"] = json!(bench.path("remote"));
        assert_eq!(
            json!(printed(&bench, "shell", options.clone()).await),
            expected,
            "{options}"
        );
    }
    let format = json!({"inline": ["echo $XA"], "env": {"A": "it's"}, "remote_folder": bench.path("remote"),
        "use_env_var_file": true, "env_var_format": "export X%s='%s'\n"});
    assert_eq!(printed(&bench, "shell", format).await, ["it's"]);
    let own = json!({"inline": ["echo $A"], "env": {"A": "1"}, "remote_folder": bench.path("remote"), "use_env_var_file": true,
        "execute_command": "chmod +x {{.Path}}; grep -c A= {{.EnvVarFile}}; . {{.EnvVarFile}}; {{.Path}}"});
    assert_eq!(printed(&bench, "shell", own).await, ["1", "1"]);
    for (option, value) in [
        ("remote_file", "mine.sh".to_owned()),
        ("remote_path", bench.path("remote/mine.sh")),
    ] {
        let mut options = json!({"inline": ["basename $0"], "remote_folder": bench.path("remote")});
        options[option] = json!(value);
        assert_eq!(printed(&bench, "shell", options).await, ["mine.sh"], "{option}");
    }
    assert!(bench.names("remote").is_empty());
}

#[tokio::test]
async fn options_of_shell_local_change_what_happens() {
    let bench = Workbench::alone();
    for (options, expected) in of_scripts() {
        assert_eq!(
            json!(printed(&bench, "shell-local", options.clone()).await),
            expected,
            "{options}"
        );
    }
    let here = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let only = json!({"inline": ["echo here"], "only_on": ["windows", here]});
    assert_eq!(printed(&bench, "shell-local", only).await, ["here"]);
    let script = bench.write("plain.sh", "echo $0 \"$@\"\n");
    let paths = json!({"script": script, "use_linux_pathing": true, "execute_command": ["/bin/sh", "{{.Script}}", "{{.Command}}", "x"]});
    assert_eq!(
        printed(&bench, "shell-local", paths).await,
        [format!("{script} {script} x")]
    );
}

#[tokio::test]
async fn every_source_of_a_download_is_downloaded() {
    let bench = Workbench::with_instance(Setup::default()).await;
    std::fs::create_dir_all(bench.path("remote/logs/deep")).unwrap();
    for name in ["logs/a.log", "logs/deep/c.log", "other"] {
        bench.write(&format!("remote/{name}"), name);
    }
    // Neither a pattern nor a directory ends the list.
    let sources = json!([
        bench.path("remote/logs/*.log"),
        bench.path("remote/logs/"),
        bench.path("remote/other")
    ]);
    let options = json!({"direction": "download", "sources": sources, "destination": bench.path("got") + "/"});
    bench.provision("file", options).await.unwrap();
    assert_eq!(
        (bench.read("got/a.log"), bench.read("got/other")),
        ("logs/a.log".into(), "other".into())
    );
    let found = ["got/deep/c.log", "got/logs/deep/c.log"]
        .into_iter()
        .filter(|name| bench.directory.path().join(name).exists());
    assert_eq!(found.count(), 1, "{:?}", bench.names("got"));
}

#[tokio::test]
async fn a_source_must_be_there_unless_it_is_generated_and_nothing_is_transferred_without_one() {
    let bench = Workbench::with_instance(Setup::default()).await;
    let missing = json!({"source": bench.path("nosuch"), "generated": true, "destination": bench.path("remote/x")});
    let error = bench.provision("file", missing).await.unwrap_err();
    assert!(
        error.starts_with("failed to read `") && error.contains("No such file"),
        "{error}"
    );
    bench
        .provision("file", json!({"destination": bench.path("remote/x")}))
        .await
        .unwrap();
    assert!(bench.names("remote").is_empty());
}

#[tokio::test]
async fn a_breakpoint_with_nobody_at_a_terminal_fails() {
    let bench = Workbench::alone();
    bench.provision("breakpoint", json!({"disable": true})).await.unwrap();
    assert_eq!(bench.said(), ["Breakpoint provisioner disabled; continuing..."]);
    // Under a terminal somebody may be there, and the test would wait for them.
    if std::fs::File::open("/dev/tty").is_err() {
        let error = bench
            .provision("breakpoint", json!({"note": "here"}))
            .await
            .unwrap_err();
        assert!(
            error.starts_with("breakpoint without a terminal to press Enter on"),
            "{error}"
        );
    }
}
