//! The compress post-processor: what others find in its archives.

use std::os::unix::fs::PermissionsExt as _;

use bakelite_test_support::ended::RunToEnd as _;
use serde_json::{Value, json};

use crate::workbench::{Workbench, of_files};

/// What is found in an archive.
fn entries(bench: &Workbench, arguments: &[&str]) -> Value {
    let text = bench
        .python("archives.py", arguments)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Lines that differ, of some blocks of every format.
fn long_text() -> String {
    (0..15_000)
        .map(|number| (number * number).to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn every_compressed_archive_holds_the_files() {
    let bench = Workbench::new();
    let script = bench.write("out/run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(bench.path(&script), std::fs::Permissions::from_mode(0o750)).unwrap();
    let text = long_text();
    bench.write("out/notes.txt", &text);
    let artifact = of_files(&["out/run.sh", "out/notes.txt"]);
    for (ending, compression) in [
        ("tar", ""),
        ("tar.gz", "gz"),
        ("tar.bgzf", "bgzf"),
        ("tar.bzip2", "bz2"),
        ("tar.bz2", "bz2"),
        ("tar.xz", "xz"),
        ("tar.lz4", "lz4"),
        ("anything", "gz"),
    ] {
        let output = format!("packed/a.{ending}");
        let processed = bench
            .process("compress", json!({"output": output}), &artifact)
            .await
            .unwrap();
        assert_eq!((processed.keep_input, processed.must_keep_input), (false, false));
        let made = processed.artifact.unwrap();
        assert_eq!(
            (made.builder_id.as_str(), made.id.as_str()),
            ("packer.post-processor.compress", "")
        );
        assert_eq!(made.files.as_deref(), Some([output.clone()].as_slice()));
        let found = entries(&bench, &["tar", &output, compression]);
        let script = &found["run.sh"];
        assert_eq!(
            (&script[0], &script[1], &script[2]),
            (&json!("#!/bin/sh\n"), &json!("0o750"), &json!(0)),
            "{ending}"
        );
        assert_eq!(found["notes.txt"][0], json!(text), "{ending}");
        assert_eq!(found.as_object().unwrap().len(), 2);
        // An artifact of files can be destroyed.
        made.destroy.unwrap().destroy().await.unwrap();
        assert!(bench.names("packed").is_empty());
    }
}

#[tokio::test]
async fn a_tar_names_the_owners() {
    let bench = Workbench::new();
    bench.write("a", "a");
    bench
        .process("compress", json!({"output": "a.tar"}), &of_files(&["a"]))
        .await
        .unwrap();
    let name = |flag: &str| {
        let output = std::process::Command::new("id").arg(flag).run_to_end();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let found = entries(&bench, &["tar", "a.tar"]);
    assert_eq!(
        (&found["a"][3], &found["a"][4]),
        (&json!(name("-un")), &json!(name("-gn")))
    );
}

#[tokio::test]
async fn a_single_file_is_compressed_without_an_archive() {
    let bench = Workbench::new();
    let text = long_text();
    bench.write("image.raw", &text);
    bench.write("other", "x");
    for (ending, compression) in [
        ("gz", "gz"),
        ("bgzf", "bgzf"),
        ("bzip2", "bz2"),
        ("bz2", "bz2"),
        ("xz", "xz"),
        ("lz4", "lz4"),
    ] {
        let output = format!("image.{ending}");
        bench
            .process("compress", json!({"output": output}), &of_files(&["image.raw"]))
            .await
            .unwrap();
        assert_eq!(
            entries(&bench, &["file", &output, compression])[""][0],
            json!(text),
            "{ending}"
        );
        let failed = bench
            .process(
                "compress",
                json!({"output": output}),
                &of_files(&["image.raw", "other"]),
            )
            .await;
        let error = failed.err().unwrap();
        assert!(
            error.starts_with("failed to pack 2 files: the format is that of one compressed file\nhelp: end the name"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_zip_keeps_the_paths() {
    let bench = Workbench::new();
    bench.write("out/deep/a.txt", "a");
    bench.write("b.txt", "b");
    let artifact = of_files(&["out/deep/a.txt", "b.txt"]);
    bench
        .process(
            "compress",
            json!({"output": "all.zip", "compression_level": 9}),
            &artifact,
        )
        .await
        .unwrap();
    // 8: deflated.
    assert_eq!(
        entries(&bench, &["zip", "all.zip"]),
        json!({"out/deep/a.txt": ["a", 8], "b.txt": ["b", 8]})
    );
}

#[tokio::test]
async fn the_format_option_decides_and_adds_nothing_to_the_name() {
    let bench = Workbench::new();
    bench.write("a", "a");
    for (format, arguments) in [
        ("zip", ["zip", "made", ""]),
        ("tar.xz", ["tar", "made", "xz"]),
        ("xz", ["file", "made", "xz"]),
    ] {
        let processed = bench
            .process(
                "compress",
                json!({"output": "made", "format": format}),
                &of_files(&["a"]),
            )
            .await
            .unwrap();
        assert_eq!(processed.artifact.unwrap().files.unwrap(), ["made"]);
        assert_eq!(entries(&bench, &arguments).as_object().unwrap().len(), 1);
    }
    bench.process("compress", json!({}), &of_files(&["a"])).await.unwrap();
    assert_eq!(
        entries(&bench, &["tar", "packer_web_null", "gz"])["a"][0],
        "a",
        "the usual name has no ending"
    );
    let named = json!({"output": "x-{{.BuildName}}-{{.BuilderType}}.tar"});
    bench.process("compress", named, &of_files(&["a"])).await.unwrap();
    assert_eq!(entries(&bench, &["tar", "x-web-null.tar"])["a"][0], "a");
}

#[tokio::test]
async fn levels_make_small_or_fast() {
    let bench = Workbench::new();
    bench.write("text", long_text());
    for ending in ["gz", "bgzf", "xz"] {
        let mut sizes = Vec::new();
        for level in [1, 9] {
            let output = format!("{level}.{ending}");
            let options = json!({"output": output, "compression_level": level});
            bench.process("compress", options, &of_files(&["text"])).await.unwrap();
            sizes.push(std::fs::metadata(bench.path(&output)).unwrap().len());
        }
        assert!(sizes[1] < sizes[0], "{ending}: {sizes:?}");
    }
    for level in [-1, 0] {
        let options = json!({"output": "d.gz", "compression_level": level});
        bench.process("compress", options, &of_files(&["text"])).await.unwrap();
        assert_eq!(entries(&bench, &["file", "d.gz", "gz"])[""][0], json!(long_text()));
    }
}

#[tokio::test]
async fn nothing_is_left_of_an_archive_that_failed() {
    let bench = Workbench::new();
    bench.write("a", "a");
    for (output, files) in [
        ("x.tar", ["a", "tmp"]),
        ("x.zip", ["a", "tmp"]),
        ("x.tar.gz", ["a", "nosuch"]),
    ] {
        let error = bench
            .process("compress", json!({"output": output}), &of_files(&files))
            .await
            .err()
            .unwrap();
        assert!(error.starts_with("failed to pack files into `"), "{error}");
        assert!(error.contains("directory"), "{error}");
    }
    assert_eq!(bench.names("."), ["a", "tmp"]);
}
