//! What crates depend on, as `cargo metadata` reports it: only on those that docs/explain/architecture.md draws below them, the AWS SDK
//! in two of them, and only on packages under licences that deny.toml allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tree::root;

/// Which of our crates each of our crates may depend on (docs/explain/architecture.md).
const ALLOWED: &[(&str, &[&str])] = &[
    ("bakelite-net", &[]),
    ("bakelite-hcl", &[]),
    ("bakelite-template", &["bakelite-hcl"]),
    ("bakelite-engine", &["bakelite-hcl", "bakelite-template"]),
    (
        "bakelite-scripts",
        &["bakelite-hcl", "bakelite-template", "bakelite-engine"],
    ),
    (
        "bakelite-communicators",
        &[
            "bakelite-net",
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-scripts",
        ],
    ),
    (
        "bakelite-aws",
        &["bakelite-net", "bakelite-hcl", "bakelite-template", "bakelite-engine"],
    ),
    (
        "bakelite-provisioners",
        &[
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-scripts",
        ],
    ),
    (
        "bakelite-post-processors",
        &[
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-scripts",
        ],
    ),
    (
        "bakelite-builders-basic",
        &[
            "bakelite-net",
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-communicators",
        ],
    ),
    (
        "bakelite-builder-amazon",
        &[
            "bakelite-net",
            "bakelite-hcl",
            "bakelite-template",
            "bakelite-engine",
            "bakelite-communicators",
            "bakelite-aws",
            "bakelite-ssm",
        ],
    ),
    ("bakelite-ssm", &["bakelite-net"]),
    ("bakelite-oci", &["bakelite-net"]),
    ("bakelite-local", &["bakelite-net", "bakelite-oci", "bakelite-ssm"]),
    ("bakelite-test-support", &[]),
    ("bakelite-house", &[]),
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

/// The packages that `cargo metadata` lists, ours and others'.
pub(crate) fn packages() -> Vec<Value> {
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
