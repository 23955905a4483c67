//! The checksum post-processor: its sums are those of the machine's own tools.

use std::process::Command;

use bakelite_test_support::ended::RunToEnd as _;
use serde_json::json;

use crate::workbench::{Workbench, complaints, of_files, of_id};

#[tokio::test]
async fn every_sum_is_that_of_the_tools() {
    let bench = Workbench::new();
    bench.write("out/a.bin", vec![7; 100_000]);
    bench.write("b.txt", "");
    let kinds = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
    let options = json!({"checksum_types": kinds, "output": "sums/{{.BuildName}}-{{.BuilderType}}.{{.ChecksumType}}"});
    let processed = bench
        .process("checksum", options, &of_files(&["out/a.bin", "b.txt"]))
        .await
        .unwrap();
    for kind in kinds {
        let mut tool = Command::new(format!("{kind}sum"));
        let output = tool.args([bench.path("out/a.bin"), bench.path("b.txt")]).run_to_end();
        let printed = String::from_utf8(output.stdout).unwrap();
        let sums: Vec<&str> = printed.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(
            bench.read(&format!("sums/web-null.{kind}")),
            format!("{}\ta.bin\n{}\tb.txt\n", sums[0], sums[1])
        );
    }
    assert!(processed.keep_input && processed.must_keep_input);
    let made = processed.artifact.unwrap();
    let mut expected = vec!["out/a.bin".to_owned(), "b.txt".to_owned()];
    expected.extend(kinds.map(|kind| format!("sums/web-null.{kind}")));
    assert_eq!((made.files.unwrap(), made.id.as_str()), (expected, ""));
}

#[tokio::test]
async fn lines_are_appended_and_only_a_new_file_joins_the_artifact() {
    let bench = Workbench::new();
    bench.write("a", "a");
    let artifact = of_files(&["a"]);
    let line = "0cc175b9c0f1b6a831c399e269772661\ta\n";
    let first = bench
        .process("checksum", json!({}), &artifact)
        .await
        .unwrap()
        .artifact
        .unwrap();
    assert_eq!(first.files.unwrap(), ["a", "packer_web_null_md5.checksum"]);
    let second = bench
        .process("checksum", json!({}), &artifact)
        .await
        .unwrap()
        .artifact
        .unwrap();
    assert_eq!(second.files.unwrap(), ["a"]);
    assert_eq!(bench.read("packer_web_null_md5.checksum"), line.repeat(2));
}

#[tokio::test]
async fn directories_fail_and_an_artifact_without_files_has_no_sums() {
    let bench = Workbench::new();
    let error = bench
        .process("checksum", json!({}), &of_files(&["tmp"]))
        .await
        .err()
        .unwrap();
    assert!(error.contains("Is a directory"), "{error}");
    let made = bench
        .process("checksum", json!({"output": "sums"}), &of_id("eu-west-1:ami-1"))
        .await
        .unwrap();
    assert_eq!(made.artifact.unwrap().files.unwrap(), Vec::<String>::new());
    assert!(!bench.names(".").contains(&"sums".to_owned()));
    let unknown = complaints("checksum", &json!({"checksum_types": ["md5", "crc32"]}));
    assert!(unknown[0].contains("`crc32`"), "{unknown:?}");
}

#[tokio::test]
async fn a_builds_name_leads_to_no_other_directory() {
    let mut bench = Workbench::new();
    bench.write("a", "a");
    for name in ["../evil", "..", "a\nb", "\u{1b}[2J"] {
        bench.processing.source_name = name.into();
        for (component, options) in [
            ("checksum", json!({"output": "{{.BuildName}}/sum"})),
            ("compress", json!({"output": "{{.BuildName}}.tar.gz"})),
        ] {
            let error = bench
                .process(component, options, &of_files(&["a"]))
                .await
                .err()
                .unwrap();
            assert!(error.contains("cannot be part of a file's name"), "{error}");
        }
        let options = json!({"output": "sums"});
        bench.process("checksum", options, &of_files(&["a"])).await.unwrap();
    }
}
