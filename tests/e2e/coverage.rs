//! `docs/reference/coverage.md` cannot lie: every option has a row there, no cell of it is empty, and the tests that it names are tests
//! that name the option.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A row of the page.
struct Row {
    /// What the option accepts.
    rule: String,
    /// The parameter that it becomes, or what it does.
    effect: String,
    /// `FILE::NAME` of the tests.
    tests: Vec<String>,
}

/// The rows, by the heading of their table and by their option.
type Coverage = BTreeMap<String, BTreeMap<String, Row>>;

/// The options of a component, each with its row in the generated page. One in a block is called `BLOCK.OPTION`.
type Options = BTreeMap<String, String>;

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
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [option, rule, effect, tests] = cells[..] else {
            panic!("{heading}: a row has not four cells: {line}");
        };
        let option = option.trim_end_matches('`').to_owned();
        let row = Row {
            rule: rule.to_owned(),
            effect: effect.to_owned(),
            tests: quoted(tests).map(str::to_owned).collect(),
        };
        let rows = coverage.entry(heading.clone()).or_default();
        assert!(
            rows.insert(option.clone(), row).is_none(),
            "{heading}: `{option}` has two rows"
        );
    }
    coverage
}

fn options(page: &Path) -> Options {
    let page = std::fs::read_to_string(page).unwrap();
    let mut options = Options::new();
    let mut block = String::new();
    for line in page.lines() {
        if line.starts_with("## ") {
            block.clear();
        }
        if let Some((name, _)) = line.strip_prefix("### `").and_then(|name| name.split_once('`')) {
            block = format!("{name}.");
        }
        if let Some((name, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`')) {
            options.insert(format!("{block}{name}"), line.to_owned());
        }
    }
    options
}

/// Of these options those that another component does not have, or not the same.
fn beside(mut options: Options, others: &Options) -> Options {
    options.retain(|option, row| others.get(option) != Some(row));
    options
}

/// What has options, by the heading in the page: the communicators (the null builder has no others), amazon-ebs beside those, what
/// reaches AWS beside amazon-ebs, and everything else whole.
fn components() -> BTreeMap<String, BTreeSet<String>> {
    let directory = root().join("docs/reference/components");
    let communicators = options(&directory.join("builder-null.md"));
    let amazon = beside(options(&directory.join("builder-amazon-ebs.md")), &communicators);
    let mut components = BTreeMap::from([("communicators".to_owned(), communicators.clone())]);
    for entry in std::fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for kind in ["builder", "data-source", "provisioner", "post-processor"] {
            let component = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
            let Some(component) = component.and_then(|component| component.strip_suffix(".md")) else {
                continue;
            };
            let all = options(&directory.join(&name));
            let own = match component {
                "null" if kind == "builder" => continue,
                "amazon-ebs" => amazon.clone(),
                _ if component.starts_with("amazon-") => beside(beside(all, &communicators), &amazon),
                _ => all,
            };
            components.insert(format!("{} {component}", kind.replace("data-", "data ")), own);
        }
    }
    let names = |(heading, options): (String, Options)| (heading, options.into_keys().collect());
    components.into_iter().map(names).collect()
}

#[test]
fn every_option_has_a_row() {
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
fn every_cell_is_filled_and_every_test_is_one_that_names_its_option() {
    for (heading, rows) in coverage() {
        for (option, row) in rows {
            assert!(!row.rule.is_empty(), "{heading}: `{option}` has no rule");
            assert!(!row.effect.is_empty(), "{heading}: `{option}` has no effect");
            assert!(!row.tests.is_empty(), "{heading}: `{option}` has no test");
            for test in &row.tests {
                assert!(is_test(test), "{heading}: `{option}` names `{test}`, which is no test");
            }
            let name = option.rsplit('.').next().unwrap_or(&option);
            let is_named = row.tests.iter().any(|test| {
                let (file, _) = test.split_once("::").unwrap();
                std::fs::read_to_string(root().join(file)).unwrap().contains(name)
            });
            assert!(is_named, "{heading}: no test of `{option}` names it");
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
