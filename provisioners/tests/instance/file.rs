//! The file provisioner against OpenSSH's server.

use std::os::unix::fs::PermissionsExt as _;

use bakelite_test_support::sshd::Setup;
use serde_json::json;

use crate::workbench::Workbench;

async fn bench() -> Workbench {
    Workbench::with_instance(Setup::default()).await
}

#[tokio::test]
async fn files_are_uploaded_with_their_mode_under_the_right_name() {
    let bench = bench().await;
    let source = bench.write("run.sh", "x");
    std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o750)).unwrap();
    let directory = bench.path("remote") + "/";
    bench
        .provision("file", json!({"source": source, "destination": directory}))
        .await
        .unwrap();
    bench
        .provision(
            "file",
            json!({"source": source, "destination": bench.path("remote/other name")}),
        )
        .await
        .unwrap();
    let mode = std::fs::metadata(bench.path("remote/run.sh"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!((mode, bench.read("remote/other name").as_str()), (0o750, "x"));
    assert_eq!(bench.said()[0], format!("Uploading {source} => {directory}"));
}

#[tokio::test]
async fn directories_follow_the_trailing_slash() {
    let bench = bench().await;
    std::fs::create_dir(bench.path("src")).unwrap();
    bench.write("src/x", "x");
    bench
        .provision(
            "file",
            json!({"source": bench.path("src"), "destination": bench.path("remote")}),
        )
        .await
        .unwrap();
    bench
        .provision(
            "file",
            json!({"source": bench.path("src/"), "destination": bench.path("remote/flat")}),
        )
        .await
        .unwrap();
    assert_eq!(
        (bench.read("remote/src/x"), bench.read("remote/flat/x")),
        ("x".into(), "x".into())
    );
}

#[tokio::test]
async fn content_is_private_and_nothing_of_it_stays_here() {
    let bench = bench().await;
    bench
        .provision(
            "file",
            json!({"content": "secret", "destination": bench.path("remote/secret")}),
        )
        .await
        .unwrap();
    let mode = std::fs::metadata(bench.path("remote/secret"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!((mode, bench.read("remote/secret").as_str()), (0o600, "secret"));
    assert!(bench.names("tmp").is_empty());
}

#[tokio::test]
async fn files_directories_and_patterns_are_downloaded() {
    let bench = bench().await;
    std::fs::create_dir(bench.path("remote/logs")).unwrap();
    bench.write("remote/logs/a.log", "a");
    bench.write("remote/logs/b.log", "b");
    let sources = json!([bench.path("remote/logs/*.log"), bench.path("remote/logs/a.log")]);
    bench
        .provision(
            "file",
            json!({"direction": "download", "sources": sources, "destination": bench.path("got/") + "/"}),
        )
        .await
        .unwrap();
    assert_eq!(
        (bench.read("got/a.log"), bench.read("got/b.log")),
        ("a".into(), "b".into())
    );
    let deep = bench.path("new/deep/name");
    bench
        .provision(
            "file",
            json!({"direction": "download", "source": bench.path("remote/logs/a.log"), "destination": deep}),
        )
        .await
        .unwrap();
    let mode = std::fs::metadata(&deep).unwrap().permissions().mode() & 0o777;
    assert_eq!((bench.read("new/deep/name").as_str(), mode & !0o022), ("a", 0o644));
}

#[tokio::test]
async fn several_sources_and_one_that_is_made_later_are_uploaded() {
    let bench = bench().await;
    let sources = json!([bench.write("a", "a"), bench.write("b", "b")]);
    let options = json!({"sources": sources, "source": bench.path("later"), "generated": true, "destination": bench.path("remote/")});
    bench.write("later", "c");
    bench.provision("file", options).await.unwrap();
    let mut names = bench.names("remote");
    names.sort();
    assert_eq!(names, ["a", "b", "later"]);
}

#[tokio::test]
async fn a_failed_download_leaves_what_was_there() {
    let bench = bench().await;
    bench.write("here", "old");
    let options = json!({"direction": "download", "source": "/nonexistent", "destination": bench.path("here")});
    let error = bench.provision("file", options).await.unwrap_err();
    assert!(error.contains("No such file"), "{error}");
    assert_eq!(bench.read("here"), "old");
    assert_eq!(bench.names("."), {
        let mut names = bench.names(".");
        names.retain(|name| !name.starts_with(".bakelite"));
        names
    });
}

#[tokio::test]
async fn without_an_instance_the_upload_says_so() {
    let bench = Workbench::alone();
    bench
        .provision("file", json!({"content": "abc", "destination": "/tmp/never"}))
        .await
        .unwrap_err();
    assert_eq!(
        bench.said().last().unwrap(),
        "Upload failed: Upload is not implemented when communicator = 'none'"
    );
}
