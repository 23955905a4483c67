//! Directories in both directions, by every method.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use bakelite_communicators::options::CommunicatorOptions;
use bakelite_test_support::sshd::Setup;

use crate::files::METHODS;
use crate::instance::Instance;

/// A directory with what directories have: an empty one, a deep one, links, odd names, an executable.
fn make(directory: &Path) {
    std::fs::create_dir_all(directory.join("sub/deep")).unwrap();
    std::fs::create_dir(directory.join("empty")).unwrap();
    std::fs::write(directory.join("a file"), "with space").unwrap();
    std::fs::write(directory.join("sub/deep/x"), "deep").unwrap();
    std::fs::write(directory.join("zero"), "").unwrap();
    std::fs::write(directory.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(directory.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", directory.join("link.sh")).unwrap();
    symlink("sub", directory.join("linked")).unwrap();
}

/// What is below a directory: name → content and executable bit; directories have no content.
fn tree(directory: &Path) -> BTreeMap<String, Option<(String, bool)>> {
    assert!(directory.is_dir(), "{} is no directory", directory.display());
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            let metadata = std::fs::metadata(&path).unwrap();
            if metadata.is_dir() {
                left.push(path);
                found.insert(name, None);
            } else {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                found.insert(name, Some((std::fs::read_to_string(&path).unwrap(), executable)));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_directory_goes_into_a_destination_that_exists_and_becomes_one_that_does_not() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let source = tempfile::tempdir().unwrap();
        let source = source.path().join("src");
        make(&source);
        let there = instance.sshd.directory().join("is there");
        std::fs::create_dir(&there).unwrap();
        ssh.upload_directory(&source, false, there.to_str().unwrap())
            .await
            .unwrap();
        assert_eq!(tree(&there.join("src")), tree(&source), "{method}");
        let new = instance.sshd.directory().join("new");
        ssh.upload_directory(&source, false, new.to_str().unwrap())
            .await
            .unwrap();
        assert_eq!(tree(&new), tree(&source), "{method}");
    }
}

#[tokio::test]
async fn contents_of_a_directory_go_into_the_destination_itself() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let source = tempfile::tempdir().unwrap();
        make(source.path());
        for destination in ["is there", "is new/"] {
            let destination = instance.sshd.directory().join(destination);
            if destination.ends_with("is there") {
                std::fs::create_dir(&destination).unwrap();
                std::fs::set_permissions(&destination, std::fs::Permissions::from_mode(0o711)).unwrap();
            }
            ssh.upload_directory(source.path(), true, destination.to_str().unwrap())
                .await
                .unwrap();
            assert_eq!(tree(&destination), tree(source.path()), "{method}");
        }
        let kept = std::fs::metadata(instance.sshd.directory().join("is there"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(kept, 0o711, "{method}: a directory that was there keeps its mode");
    }
}

#[tokio::test]
async fn a_directory_comes_back_as_it_is() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let source = instance.sshd.directory().join("src");
        make(&source);
        let local = tempfile::tempdir().unwrap();
        ssh.download_directory(source.to_str().unwrap(), local.path())
            .await
            .unwrap();
        assert_eq!(tree(&local.path().join("src")), tree(&source), "{method}");
    }
}

#[tokio::test]
async fn a_pattern_brings_back_what_matches_it() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let source = instance.sshd.directory().join("my logs");
        std::fs::create_dir(&source).unwrap();
        for name in ["a.log", "b c.log", "d.txt", ".hidden.log"] {
            std::fs::write(source.join(name), name).unwrap();
        }
        let local = tempfile::tempdir().unwrap();
        ssh.download_directory(&format!("{}/*.log", source.display()), local.path())
            .await
            .unwrap();
        let names: Vec<String> = tree(local.path()).into_keys().collect();
        assert_eq!(names, ["a.log", "b c.log"], "{method}");
    }
}

#[tokio::test]
async fn many_small_files_arrive_by_every_method() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let source = tempfile::tempdir().unwrap();
        for number in 0..500 {
            std::fs::write(source.path().join(format!("file{number}")), format!("{number}\n")).unwrap();
        }
        let destination = instance.sshd.directory().join("many");
        ssh.upload_directory(source.path(), true, destination.to_str().unwrap())
            .await
            .unwrap();
        assert_eq!(tree(&destination), tree(source.path()), "{method}");
    }
}

#[test]
fn the_methods_of_these_tests_are_those_of_the_option() {
    for method in &METHODS[..2] {
        let options: CommunicatorOptions = serde_json::from_str(&format!("{{{method}}}")).unwrap();
        assert!(options.ssh_file_transfer_method.is_some());
    }
}
