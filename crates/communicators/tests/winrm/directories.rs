//! Directories over WinRM.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::instance::Instance;

fn tree(root: &Path) {
    for directory in ["sub/empty", "other"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (name, content) in [
        ("a.txt", "a"),
        ("sub/b c.txt", "b"),
        ("other/x", "x"),
        (".DS_Store", "no"),
        ("sub/.DS_Store", "no"),
    ] {
        std::fs::write(root.join(name), content).unwrap();
    }
    symlink("a.txt", root.join("link.txt")).unwrap();
    symlink("other", root.join("linked")).unwrap();
}

#[tokio::test]
async fn a_directory_goes_over_whole_by_its_name_or_its_contents() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("src");
    tree(&source);
    let before = instance.server.count("Command");
    instance.said();
    winrm.upload_directory(&source, false, "C:/named/").await.unwrap();
    assert_eq!(
        instance.server.count("Command"),
        before + 1,
        "one process for all files"
    );
    let said = instance.said();
    assert!(
        said.iter()
            .any(|text| text.starts_with("Started") && text.contains("total: Some(")),
        "{said:?}"
    );
    assert!(said.iter().any(|text| text.starts_with("Finished")), "{said:?}");
    winrm.upload_directory(&source, true, r"C:\contents").await.unwrap();
    for root in [r"C:\named\src", r"C:\contents"] {
        for (name, content) in [
            ("a.txt", "a"),
            (r"sub\b c.txt", "b"),
            ("link.txt", "a"),
            (r"linked\x", "x"),
        ] {
            let found = instance.disk.read(&format!(r"{root}\{name}"));
            assert_eq!(found.as_deref(), Some(content.as_bytes()), "{root} {name}");
        }
        assert!(instance.disk.is_directory(&format!(r"{root}\sub\empty")));
    }
    assert!(!instance.disk.paths().iter().any(|path| path.contains("DS_Store")));
}

#[tokio::test]
async fn a_directory_comes_back_whole() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    for (path, content) in [
        (r"C:\logs\a.log", "a"),
        (r"C:\logs\sub\b.txt", "b"),
        (r"C:\logs\c.log", ""),
    ] {
        instance.disk.write(path, content);
    }
    instance.disk.make_directory(r"C:\logs\empty");
    let directory = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).ok();
    winrm.download_directory(r"C:\logs", directory.path()).await.unwrap();
    assert_eq!(read("logs/a.log").as_deref(), Some("a"));
    assert_eq!(read("logs/sub/b.txt").as_deref(), Some("b"));
    assert_eq!(read("logs/c.log").as_deref(), Some(""));
    assert!(directory.path().join("logs/empty").is_dir());

    winrm
        .download_directory("C:/logs/*.log", &directory.path().join("some"))
        .await
        .unwrap();
    assert_eq!(read("some/a.log").as_deref(), Some("a"));
    assert!(!directory.path().join("some/sub").exists());
    let error = winrm.download_directory("C:/none", directory.path()).await.unwrap_err();
    assert_eq!(error.to_string(), r"download `C:/none`: `C:\none` does not exist");
}
