//! What the fuzzers start from: recorded cases, and what was found before.

use std::path::{Path, PathBuf};

use fastrand::Rng;
use serde_json::Value;

use crate::grammar;
use crate::hostile;
use crate::target::Target;

/// Where inputs that once went wrong are kept, a directory for each target.
pub fn found(target: Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(target.name())
}

/// The inputs that once went wrong for a target, with their paths.
pub fn once_found(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(found(target)).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    let read = |path: PathBuf| std::fs::read(&path).ok().map(|bytes| (path, bytes));
    files.into_iter().filter_map(read).collect()
}

/// Recorded cases and earlier findings.
pub fn of(target: Target) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = match target {
        Target::Expression => texts("expressions.jsonl", |case, all| {
            all.extend(case["expr"].as_str().map(str::to_owned));
        }),
        Target::Template => files(&[".pkr.hcl", ".hcl", ".tpl"]),
        Target::Json => files(&[".json"]),
        Target::Tar | Target::Scp | Target::Sftp | Target::Greeting | Target::WinRm => hostile::seeds(target),
        Target::Query => calls(grammar::form),
        Target::Services => calls(grammar::service),
        Target::Signature => calls(grammar::head),
        Target::DataClient => vec![bakelite_ssm::fuzzing::conversations()[0].clone()],
        Target::DataAgent => vec![bakelite_ssm::fuzzing::conversations()[1].clone()],
        Target::Packets => vec![bakelite_local::fuzzing::connecting()],
    };
    seeds.extend(once_found(target).into_iter().map(|(_, bytes)| bytes));
    seeds
}

/// Calls by the grammar; the same each time.
fn calls(make: fn(&mut Rng, &mut String)) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(3);
    let call = |_| {
        let mut text = String::new();
        make(&mut rng, &mut text);
        text.into_bytes()
    };
    (0..200).map(call).collect()
}

fn files(endings: &'static [&'static str]) -> Vec<Vec<u8>> {
    texts("templates.jsonl", move |case, all| {
        for (name, text) in case["files"].as_object().into_iter().flatten() {
            if endings.iter().any(|ending| name.ends_with(ending)) {
                all.extend(text.as_str().map(str::to_owned));
            }
        }
    })
}

fn texts(corpus: &str, take: impl Fn(&Value, &mut Vec<String>)) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(corpus);
    let mut all = Vec::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        if let Ok(case) = serde_json::from_str(line) {
            take(&case, &mut all);
        }
    }
    all.into_iter().map(String::into_bytes).collect()
}
