//! Template cases: a command on a few files, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::compare::{normalized, run};

/// What differs from the recorded behaviour; nothing when all is as recorded.
pub(crate) fn problems(case: &Value) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("case");
    for (path, text) in texts(&case["files"]) {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::fs::create_dir_all(&directory).unwrap();
    let before = files_in(&directory);
    let arguments: Vec<String> = case["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    let ended = run(
        &arguments,
        &directory,
        scratch.path(),
        &texts(&case["env"]),
        case["stdin"].as_str().unwrap_or_default(),
    );
    let after = files_in(&directory);
    let normal = |text: &str| normalized(text, &directory, scratch.path());
    let written = after
        .iter()
        .filter(|(path, content)| before.get(*path) != Some(content));
    let seen = Seen {
        code: ended.code,
        stdout: normal(&ended.stdout),
        plain: COLOR
            .replace_all(&normal(&format!("{}\n{}", ended.stdout, ended.stderr)), "")
            .into_owned(),
        written: written
            .map(|(path, content)| (path.clone(), normal(&String::from_utf8_lossy(content))))
            .collect(),
        deleted: before
            .keys()
            .filter(|path| !after.contains_key(*path))
            .cloned()
            .collect(),
    };
    seen.compared_with(&case["expect"])
}

static COLOR: LazyLock<Regex> = LazyLock::new(|| Regex::new("\u{1b}\\[[0-9;]*m").unwrap());
static PLACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"([\w./-]+\.(?:hcl|json|pkrvars))(?::| line )(\d+)").unwrap());
static ARTIFACT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^--> ([^:]+):").unwrap());
static MACHINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^<UNIX>,[^,]*,artifact(-count)?,").unwrap());
static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new("(?m)^<TIME>: ").unwrap());

/// What came of a run.
struct Seen {
    code: Option<i32>,
    stdout: String,
    plain: String,
    written: BTreeMap<String, String>,
    deleted: Vec<String>,
}

impl Seen {
    fn compared_with(&self, expected: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        if self.code.map(i64::from) != expected["exit_code"].as_i64() {
            problems.push(format!(
                "exit code {:?}, expected {}\n{}",
                self.code, expected["exit_code"], self.plain
            ));
        }
        self.compare_places(expected, &mut problems);
        self.compare_files(expected, &mut problems);
        self.compare_output(expected, &mut problems);
        problems
    }

    fn compare_places(&self, expected: &Value, problems: &mut Vec<String>) {
        let name_of = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let seen: BTreeSet<(String, String)> = PLACE
            .captures_iter(&self.plain)
            .map(|found| (name_of(&found[1]), found[2].to_owned()))
            .collect();
        for place in expected["places"].as_array().into_iter().flatten() {
            let (file, line) = (place[1].as_str().unwrap(), place[2].to_string());
            if !seen.contains(&(name_of(file), line.clone())) {
                problems.push(format!("no {} at {file}:{line}\n{}", place[0], self.plain));
            }
        }
    }

    fn compare_files(&self, expected: &Value, problems: &mut Vec<String>) {
        let wanted = texts(&expected["files"]);
        let without_comments = |text: &str| {
            let lines = text
                .lines()
                .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
            lines.collect::<Vec<_>>().join("\n")
        };
        for (path, text) in &wanted {
            let Some(written) = self.written.get(path) else {
                problems.push(format!("{path} was not written\n{}", self.plain));
                continue;
            };
            let written = if expected["ignore_comments"].as_bool() == Some(true) {
                without_comments(written)
            } else {
                written.clone()
            };
            if !text.starts_with('<') && written != *text {
                problems.push(format!("{path}: expected {text:?}\n written {written:?}"));
            }
        }
        let extra = self.written.keys().filter(|path| !wanted.contains_key(*path));
        problems.extend(extra.map(|path| format!("{path} was written and should not be")));
        if list(&expected["files_deleted"]) != self.deleted {
            problems.push(format!(
                "deleted {:?}, expected {}",
                self.deleted, expected["files_deleted"]
            ));
        }
    }

    fn compare_output(&self, expected: &Value, problems: &mut Vec<String>) {
        if let Some(stdout) = expected["stdout"].as_str().filter(|stdout| *stdout != self.stdout) {
            problems.push(format!("stdout: expected {stdout:?}\n printed {:?}", self.stdout));
        }
        let mut compare = |what: &str, seen: Vec<String>| {
            if !expected[what].is_null() && list(&expected[what]) != seen {
                problems.push(format!(
                    "{what}: expected {}\n seen {seen:?}\n{}",
                    expected[what], self.plain
                ));
            }
        };
        let is_change = |line: &&str| {
            (line.starts_with('-') && !line.starts_with("--") && !line.starts_with("-+"))
                || (line.starts_with('+') && !line.starts_with("++") && !line.starts_with("+-"))
        };
        compare(
            "diff",
            self.stdout.lines().filter(is_change).map(str::to_owned).collect(),
        );
        compare(
            "machine",
            self.stdout
                .lines()
                .filter(|line| MACHINE.is_match(line) && !line.contains(",string,"))
                .map(str::to_owned)
                .collect(),
        );
        let mut artifacts: Vec<String> = ARTIFACT
            .captures_iter(&self.plain)
            .map(|found| found[1].to_owned())
            .collect();
        artifacts.sort_unstable();
        compare("artifacts", artifacts);
        let plain = TIME.replace_all(&self.plain, "");
        for said in expected["says"].as_array().into_iter().flatten() {
            let line = format!("==> {}: {}", said[0].as_str().unwrap(), said[1].as_str().unwrap());
            if !plain.lines().any(|seen| seen == line) {
                problems.push(format!("not printed: {line:?}\n{}", self.plain));
            }
        }
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().into_iter().flatten();
    members
        .map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()))
        .collect()
}

fn list(array: &Value) -> Vec<String> {
    array
        .as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn files_in(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).unwrap().filter_map(Result::ok) {
            if entry.path().is_dir() {
                directories.push(entry.path());
            } else if let Ok(content) = std::fs::read(entry.path()) {
                found.insert(
                    entry
                        .path()
                        .strip_prefix(directory)
                        .unwrap()
                        .to_string_lossy()
                        .into_owned(),
                    content,
                );
            }
        }
    }
    found
}
