//! The drawing of the house cannot lie: dependencies, licences and lists are read from the tree and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each of our crates may depend on (docs/explain/architecture.md).
const ALLOWED: &[(&str, &[&str])] = &[
    ("bakelite-net", &[]),
    ("bakelite-hcl", &[]),
    ("bakelite-template", &["bakelite-hcl"]),
    ("bakelite-engine", &["bakelite-hcl", "bakelite-template"]),
    (
        "bakelite-communicators",
        &["bakelite-hcl", "bakelite-template", "bakelite-engine"],
    ),
    (
        "bakelite-aws",
        &["bakelite-hcl", "bakelite-template", "bakelite-engine"],
    ),
    (
        "bakelite-provisioners",
        &["bakelite-hcl", "bakelite-template", "bakelite-engine"],
    ),
    (
        "bakelite-post-processors",
        &["bakelite-hcl", "bakelite-template", "bakelite-engine"],
    ),
    (
        "bakelite-builders-basic",
        &[
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-communicators",
        ],
    ),
    (
        "bakelite-builder-amazon",
        &[
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-communicators",
            "bakelite-aws",
            "bakelite-ssm",
        ],
    ),
    ("bakelite-ssm", &[]),
    ("bakelite-local", &["bakelite-ssm"]),
    ("bakelite-test-support", &[]),
    (
        "bakelite-fuzz",
        &[
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-communicators",
            "bakelite-ssm",
            "bakelite-local",
        ],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    let output = command
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.get(name) else {
            assert!(
                name == "bakelite" || !name.starts_with("bakelite"),
                "{name} is not in the drawing"
            );
            continue;
        };
        let ours = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        let ours = ours
            .map(|dependency| dependency["name"].as_str().unwrap())
            .filter(|name| name.starts_with("bakelite"));
        let undrawn: Vec<&str> = ours.filter(|name| !allowed.contains(name)).collect();
        assert!(undrawn.is_empty(), "{name} depends on {undrawn:?}");
    }
}

#[test]
fn only_two_crates_see_the_aws_sdk() {
    let seers: BTreeSet<String> = packages()
        .iter()
        .filter(|package| package["name"].as_str().unwrap().starts_with("bakelite"))
        .filter(|package| {
            package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["name"].as_str().unwrap().starts_with("aws-sdk"))
        })
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        seers,
        BTreeSet::from(["bakelite-aws".to_owned(), "bakelite-builder-amazon".to_owned()])
    );
}

/// The licences that deny.toml allows, checked without the tool that it is for: each dependency offers at least one of them.
#[test]
fn licences_are_allowed() {
    let deny = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = deny.split_once("allow = [").unwrap().1.split_once(']').unwrap().0;
    let allowed: BTreeSet<&str> = list.split(',').map(|name| name.trim().trim_matches('"')).collect();
    for package in packages() {
        let licence = package["license"]
            .as_str()
            .unwrap_or_else(|| licence_by_its_text(&package));
        let is_allowed = |part: &str| allowed.contains(part.trim_matches(['(', ')', ' ']));
        let mut alternatives = licence.split(" OR ").flat_map(|part| part.split('/'));
        let fits = alternatives.any(|part| part.split(" AND ").all(is_allowed));
        assert!(fits, "{} is under {licence}", package["name"]);
    }
}

/// The licence of a package that names only the file with its text.
fn licence_by_its_text(package: &serde_json::Value) -> &'static str {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let named = package["license_file"].as_str();
    let text = named.and_then(|file| std::fs::read_to_string(manifest.with_file_name(file)).ok());
    if text.is_some_and(|text| text.contains("Permission is hereby granted, free of charge, to any")) {
        "MIT"
    } else {
        "none"
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_open_with_what_lives_there() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not say what lives there",
            file.display()
        );
    }
}

#[test]
fn environment_variables_are_read_in_one_place() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    sources(&root().join("builders"), &mut files);
    let readers: Vec<PathBuf> = files
        .into_iter()
        .filter(|file| {
            std::fs::read_to_string(file)
                .unwrap()
                .lines()
                .any(|line| line.contains("std::env::var") && !line.contains("//"))
        })
        .map(|file| file.strip_prefix(root()).unwrap().to_owned())
        .filter(|file| !file.components().any(|part| part.as_os_str() == "tests"))
        .collect();
    assert_eq!(readers, [PathBuf::from("crates/cli/env.rs")]);
}

#[test]
fn every_test_file_is_in_the_test_binary() {
    let main = std::fs::read_to_string(root().join("tests/e2e/main.rs")).unwrap();
    for entry in std::fs::read_dir(root().join("tests/e2e")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") else {
            continue;
        };
        assert!(
            main.contains(&format!("mod {module};")),
            "tests/e2e/{name} is not in main.rs"
        );
    }
}
