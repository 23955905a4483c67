//! Recorded behaviour, case by case, through the binary: what a template or an expression did in the tool that we are compatible
//! with, it does here. Wording is never compared. `deviations.txt` names the cases that are a defect and deliberately not copied; each
//! of them must still deviate, so that no excuse outlives its reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod compare;
mod expression;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() {
    let deviations = deviations();
    let mut trials = Vec::new();
    for (kind, case) in cases("expressions.jsonl")
        .into_iter()
        .map(|case| ("expression", case))
        .chain(cases("templates.jsonl").into_iter().map(|case| ("template", case)))
    {
        let name = name_of(&case);
        let reason = deviations.get(&name).cloned();
        trials.push(Trial::test(
            format!("{kind} {}", name.replace('\n', "\\n")),
            move || {
                let problems = if kind == "expression" {
                    expression::problems(&case)
                } else {
                    template::problems(&case)
                };
                judge(&problems, reason.as_deref())
            },
        ));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn judge(problems: &[String], deviation: Option<&str>) -> Result<(), Failed> {
    match (problems, deviation) {
        ([], None) | ([_, ..], Some(_)) => Ok(()),
        ([], Some(reason)) => Err(format!("deviations.txt says that this deviates ({reason}), but it does not").into()),
        (problems, None) => Err(problems.join("\n").into()),
    }
}

/// The directory of the corpus.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory().join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A template case's name, or the expression with the locals that it uses.
fn name_of(case: &Value) -> String {
    match (case["name"].as_str(), case["expr"].as_str(), case.get("vars")) {
        (Some(name), _, _) => name.to_owned(),
        (None, Some(expression), None) => expression.to_owned(),
        (None, expression, locals) => format!(
            "{}   with {}",
            expression.unwrap_or_default(),
            locals.unwrap_or(&Value::Null)
        ),
    }
}

/// `NAME: reason` lines.
fn deviations() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(directory().join("deviations.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, reason)| (name.to_owned(), reason.to_owned()))
        .collect()
}
