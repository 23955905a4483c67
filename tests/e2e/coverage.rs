//! `docs/reference/coverage.md` cannot lie: every option stands there, and the tests that it names are tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The tests of each option, by the heading of their table.
type Coverage = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The words in backticks of a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn coverage() -> Coverage {
    let page = std::fs::read_to_string(root().join("docs/reference/coverage.md")).unwrap();
    let mut coverage = Coverage::new();
    let mut heading = String::new();
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            text.clone_into(&mut heading);
        }
        let Some((option, tests)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) else {
            continue;
        };
        let tests = quoted(tests).map(str::to_owned).collect();
        let rows = coverage.entry(heading.clone()).or_default();
        assert!(
            rows.insert(option.to_owned(), tests).is_none(),
            "{heading}: `{option}` stands there twice"
        );
    }
    coverage
}

/// The options of a component, as its generated page has them.
fn options(page: &Path) -> BTreeSet<String> {
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect()
}

/// What has options, by the heading in the page: the communicators (the null builder has no others), amazon-ebs beside those, provisioners
/// and post-processors.
fn components() -> BTreeMap<String, BTreeSet<String>> {
    let directory = root().join("docs/reference/components");
    let communicators = options(&directory.join("builder-null.md"));
    let amazon = options(&directory.join("builder-amazon-ebs.md"));
    let amazon = amazon.difference(&communicators).cloned().collect();
    let mut components = BTreeMap::from([
        ("communicators".to_owned(), communicators),
        ("builder amazon-ebs".to_owned(), amazon),
    ]);
    for entry in std::fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for kind in ["provisioner", "post-processor"] {
            let component = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
            if let Some(component) = component.and_then(|component| component.strip_suffix(".md")) {
                components.insert(format!("{kind} {component}"), options(&directory.join(&name)));
            }
        }
    }
    components
}

#[test]
fn every_option_has_a_test() {
    let coverage = coverage();
    let components = components();
    let headings = |map: BTreeSet<&String>| map.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        headings(coverage.keys().collect()),
        headings(components.keys().collect())
    );
    for (heading, options) in components {
        let covered: BTreeSet<String> = coverage[&heading].keys().cloned().collect();
        assert_eq!(covered, options, "{heading}");
    }
}

#[test]
fn the_tests_of_options_are_tests() {
    for (heading, rows) in coverage() {
        for (option, tests) in rows {
            assert!(!tests.is_empty(), "{heading}: `{option}` has no test");
            for test in tests {
                assert!(is_test(&test), "{heading}: `{option}` names `{test}`, which is no test");
            }
        }
    }
}

/// `FILE::NAME` is a function of that file with an attribute that makes it a test.
fn is_test(name: &str) -> bool {
    let Some((file, function)) = name.split_once("::") else {
        return false;
    };
    let Ok(text) = std::fs::read_to_string(root().join(file)) else {
        return false;
    };
    let signature = format!("fn {function}(");
    let Some((before, _)) = text.split_once(&signature) else {
        return false;
    };
    // The line of the function itself may begin with `async`.
    let above = before.rsplit_once('\n').map_or("", |(above, _)| above);
    let own = above.lines().rev().take_while(|line| !line.trim().is_empty());
    own.map(str::trim_start)
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}
