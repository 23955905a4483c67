//! Whatever a document or a comment points at exists: relative links with their anchors, paths of sources, files that comments cite.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::tree::{files, root, text};

/// The documents of the repository.
fn documents() -> Vec<PathBuf> {
    let mut found = files(Path::new("docs"), &["md"]);
    found.extend(["README.md", "CONTRIBUTING.md"].map(PathBuf::from));
    found
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut dead = Vec::new();
    for document in documents() {
        let source = without_code(&text(&document));
        for link in link.captures_iter(&source).map(|found| found[1].to_owned()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                document.with_file_name("").join(path)
            };
            let exists = root().join(&target).exists();
            if !exists || !(anchor.is_empty() || anchors(&text(&target)).contains(anchor)) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links to nothing:\n{}", dead.join("\n"));
}

/// A document without what stands between fences and backticks.
fn without_code(source: &str) -> String {
    let fenced = Regex::new(r"(?ms)^ *```.*?^ *```").unwrap();
    let inline = Regex::new(r"`[^`\n]*`").unwrap();
    inline
        .replace_all(&fenced.replace_all(source, ""), "`code`")
        .into_owned()
}

/// The anchors of a document's headings, as mdBook and GitHub make them.
fn anchors(source: &str) -> BTreeSet<String> {
    let fenced = Regex::new(r"(?ms)^ *```.*?^ *```").unwrap();
    let source = fenced.replace_all(source, "");
    let headings = source.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|one| one.is_alphanumeric() || " -_".contains(*one));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// Paths of sources in backticks: whole ones from the root, shorter ones as the end of one.
#[test]
fn paths_in_documents_exist() {
    let path = Regex::new(
        r"`((?:[\w.-]+/)*[\w.-]+\.rs|(?:crates|builders|provisioners|tests|docs|fuzz|benches|examples)/[\w./-]*)`",
    )
    .unwrap();
    let sources = files(Path::new(""), &["rs"]);
    let mut dead = Vec::new();
    for document in documents() {
        for path in path.captures_iter(&text(&document)).map(|found| found[1].to_owned()) {
            if !root().join(&path).exists() && !sources.iter().any(|source| source.ends_with(&path)) {
                dead.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "paths of nothing:\n{}", dead.join("\n"));
}

#[test]
fn comments_cite_files_that_exist() {
    let page = Regex::new(r"[\w./-]*\w\.(?:md|rs)\b").unwrap();
    let pages = files(Path::new(""), &["md", "rs"]);
    let mut dead = Vec::new();
    for file in files(Path::new(""), &["rs", "toml", "py", "sh"]) {
        let mark = if file.extension().is_some_and(|one| one == "rs") {
            "//"
        } else {
            "#"
        };
        let source = text(&file);
        let comments = source.lines().filter_map(|line| Some(line.split_once(mark)?.1));
        for page in comments.flat_map(|comment| page.find_iter(comment)) {
            let page = page.as_str();
            let beside = root().join(file.with_file_name("")).join(page);
            let exists = pages.iter().any(|one| one.ends_with(page)) || beside.exists();
            if !exists {
                dead.push(format!("{}: {page}", file.display()));
            }
        }
    }
    assert!(
        dead.is_empty(),
        "comments that cite missing files:\n{}",
        dead.join("\n")
    );
}

/// The policy in docs/guide/iam.md allows every call that the code makes.
#[test]
fn the_policy_allows_every_call() {
    let action = Regex::new(r#"\b(?:call|once|all|of|incomplete)\(\s*"([A-Z][A-Za-z]+)""#).unwrap();
    let policy = text(Path::new("docs/guide/iam.md"));
    let mut called = BTreeSet::new();
    for directory in ["crates/aws/src", "builders/amazon/src"] {
        for file in files(Path::new(directory), &["rs"]) {
            let source = text(&file);
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            called.extend(action.captures_iter(code).map(|found| found[1].to_owned()));
        }
    }
    let forgotten: Vec<&String> = called
        .iter()
        .filter(|action| !policy.contains(&format!(":{action}")))
        .collect();
    assert!(called.len() > 20, "only these calls were found: {called:?}");
    assert!(forgotten.is_empty(), "docs/guide/iam.md does not allow {forgotten:?}");
}
