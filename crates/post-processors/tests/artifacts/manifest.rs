//! The manifest post-processor: the bytes of its file.

use serde_json::json;

use crate::workbench::{Workbench, of_files, of_id};

#[tokio::test]
async fn entries_have_the_bytes_that_tools_know() {
    let bench = Workbench::new();
    bench.write("out/a.bin", "12345");
    let options = json!({"strip_time": true, "custom_data": {"z": "<last>", "a": "first"}});
    let artifact = of_files(&["out/a.bin", "gone"]);
    let processed = bench.process("manifest", options, &artifact).await.unwrap();
    assert!(processed.keep_input && processed.must_keep_input);
    assert_eq!(processed.artifact.unwrap().files, artifact.files);
    let more = json!({"strip_path": true, "strip_time": true});
    bench.process("manifest", more, &artifact).await.unwrap();
    bench
        .process("manifest", json!({"strip_time": true}), &of_id("eu-west-1:ami-1"))
        .await
        .unwrap();
    insta::assert_snapshot!(bench.read("packer-manifest.json"));
    assert!(!bench.read("packer-manifest.json").ends_with('\n'));
}

#[tokio::test]
async fn the_time_is_noted_and_the_file_can_be_chosen() {
    let bench = Workbench::new();
    bench
        .process("manifest", json!({"output": "m.json"}), &of_id("x"))
        .await
        .unwrap();
    let entry = bench.json("m.json")["builds"][0].clone();
    assert!(entry["build_time"].as_u64().unwrap() > 1_700_000_000, "{entry}");
    assert_eq!(entry["packer_run_uuid"], "run-id");
    assert_eq!(bench.names("."), ["m.json", "tmp"], "no lock is left");
    bench.write("empty.json", "");
    bench
        .process("manifest", json!({"output": "empty.json"}), &of_id("x"))
        .await
        .unwrap();
    assert_eq!(bench.json("empty.json")["builds"].as_array().unwrap().len(), 1);
    let error = bench
        .process("manifest", json!({"output": "no/directory/m.json"}), &of_id("x"))
        .await
        .err()
        .unwrap();
    assert!(error.contains("failed to open the directory of manifest"), "{error}");
}

#[tokio::test]
async fn what_others_wrote_into_it_stays() {
    let bench = Workbench::new();
    bench.write(
        "packer-manifest.json",
        r#"{"builds": [{"name": "old", "extra": 1}], "last_run_uuid": "x", "more": true}"#,
    );
    bench.process("manifest", json!({}), &of_id("x")).await.unwrap();
    let manifest = bench.json("packer-manifest.json");
    assert_eq!(
        (&manifest["builds"][0]["extra"], &manifest["more"]),
        (&json!(1), &json!(true))
    );
    let mut bench = bench;
    bench.processing.run.force = true;
    bench.processing.run.id = "another".into();
    bench.process("manifest", json!({}), &of_id("y")).await.unwrap();
    let manifest = bench.json("packer-manifest.json");
    assert_eq!(manifest["builds"].as_array().unwrap().len(), 1, "-force begins anew");
    assert_eq!(manifest["last_run_uuid"], "another");
}
