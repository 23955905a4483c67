//! The artifice and shell-local post-processors.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::workbench::{Workbench, complaints, of_files, of_id};

#[tokio::test]
async fn artifice_takes_other_files() {
    let bench = Workbench::new();
    for name in ["old", "out/b.box", "out/a.box", "out/c.log"] {
        bench.write(name, "x");
    }
    let options = json!({"files": ["out/*.box", "nothing*", "old"]});
    let processed = bench.process("artifice", options, &of_files(&["old"])).await.unwrap();
    assert_eq!((processed.keep_input, processed.must_keep_input), (true, false));
    let made = processed.artifact.unwrap();
    assert_eq!(
        (made.builder_id.as_str(), made.id.as_str()),
        ("packer.post-processor.artifice", "")
    );
    assert_eq!(made.files.unwrap(), ["out/a.box", "out/b.box", "old"]);
    assert_eq!(
        bench.said(),
        [
            "Discarding files from artifact: old",
            "Using these artifact files: out/a.box, out/b.box, old"
        ]
    );
    let none = bench
        .process("artifice", json!({"files": ["nothing*"]}), &of_id("x"))
        .await
        .unwrap();
    assert_eq!(none.artifact.unwrap().files.unwrap(), Vec::<String>::new());
    assert_eq!(complaints("artifice", &json!({})), ["files: `files` names no file"]);
    assert!(complaints("artifice", &json!({"files": ["[a"]}))[0].starts_with("files: `[a` is not a glob"));
}

#[tokio::test]
async fn shell_local_runs_scripts_with_the_build_and_passes_the_artifact_on() {
    let bench = Workbench::new();
    let artifact = of_files(&["a"]);
    let options = json!({"inline": ["echo $PACKER_BUILD_NAME $PACKER_BUILDER_TYPE $A $B"], "env": {"A": "1"}, "environment_vars": ["A=0", "B=it's"]});
    let processed = bench.process("shell-local", options, &artifact).await.unwrap();
    assert!(processed.keep_input && processed.must_keep_input);
    assert_eq!(processed.artifact.unwrap().files, artifact.files);
    assert_eq!(bench.said().last().unwrap(), "web null 1 it's");
    let failed = bench
        .process("shell-local", json!({"inline": ["exit 4"]}), &artifact)
        .await
        .err()
        .unwrap();
    assert_eq!(
        failed,
        "Script exited with non-zero exit status: 4. Allowed exit codes are: [0]"
    );
    bench
        .process(
            "shell-local",
            json!({"inline": ["exit 4"], "valid_exit_codes": [4]}),
            &artifact,
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn shell_local_takes_a_single_text_for_a_shells() {
    let bench = Workbench::new();
    let artifact = of_files(&["a"]);
    let script = bench.write("s.sh", "#!/bin/sh\necho script $1\n");
    std::fs::set_permissions(bench.path("s.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (
            json!({"inline": ["echo one"], "execute_command": ["{{.Vars}} sh {{.Script}}; echo after"]}),
            "after",
        ),
        (
            json!({"script": bench.path(&script), "execute_command": ["sh", "-c", "{{.Script}} argument"]}),
            "script argument",
        ),
        (json!({"scripts": [bench.path("s.sh")]}), "script"),
        (json!({"command": "echo command"}), "command"),
        (
            json!({"inline": ["echo $0"], "inline_shebang": "/bin/sh", "tempfile_extension": ".x", "execute_command": ["sh", "-c", "basename {{.Script}} | cut -d. -f2"]}),
            "x",
        ),
        (
            json!({"inline": ["echo $A"], "env": {"A": "a b"}, "env_var_format": "%s='%s' "}),
            "a b",
        ),
        (
            json!({"inline": ["false"], "only_on": ["windows"]}),
            "Skipping shell-local due to runtime OS",
        ),
    ];
    for (options, expected) in cases {
        bench.process("shell-local", options.clone(), &artifact).await.unwrap();
        assert_eq!(bench.said().last().unwrap(), expected, "{options}");
    }
    assert!(bench.names("tmp").is_empty());
    assert_eq!(
        complaints("shell-local", &json!({})),
        [": one of `inline`, `script` and `scripts` must be given, or the former `command`"]
    );
    assert!(
        complaints("shell-local", &json!({"inline": ["a"], "use_linux_pathing": true}))[0]
            .starts_with("use_linux_pathing: ")
    );
}
