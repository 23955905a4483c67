//! Rules that every source file keeps, read from its text.

use std::path::{Path, PathBuf};

use crate::tree::{files, text};

#[test]
fn files_open_with_what_they_contain() {
    let silent: Vec<PathBuf> = files(Path::new(""), &["rs"])
        .into_iter()
        .filter(|file| !text(file).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no line `//!` opens {silent:?}");
}

#[test]
fn the_environment_is_read_in_one_place() {
    let readers: Vec<PathBuf> = ["crates", "builders", "provisioners"]
        .into_iter()
        .flat_map(|directory| files(Path::new(directory), &["rs"]))
        .filter(|file| !file.components().any(|part| part.as_os_str() == "tests"))
        .filter(|file| text(file).lines().any(reads_the_environment))
        .collect();
    assert_eq!(readers, [PathBuf::from("crates/cli/env.rs")]);
}

fn reads_the_environment(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    [
        "std::env::var",
        "std::env::home_dir",
        "env::var(",
        "env::var_os(",
        "env::vars",
    ]
    .iter()
    .any(|call| code.contains(call))
}

#[test]
fn every_end_to_end_test_is_in_the_test_binary() {
    let main = text(Path::new("tests/e2e/main.rs"));
    let missing: Vec<String> = files(Path::new("tests/e2e"), &["rs"])
        .iter()
        .filter(|file| file.parent() == Some(Path::new("tests/e2e")))
        .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|module| module != "main" && !main.contains(&format!("mod {module};")))
        .collect();
    assert!(missing.is_empty(), "tests/e2e/main.rs has no `mod` for {missing:?}");
}
