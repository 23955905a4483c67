//! Expression cases: one line for `console`, and what it prints.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::run;
use super::directory;

/// What differs from the recorded behaviour; nothing when all is as recorded.
pub(crate) fn problems(case: &Value) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let mut arguments = vec!["console".to_owned(), "-config-type=hcl2".to_owned()];
    if let Some(locals) = case["vars"].as_object() {
        let lines: Vec<String> = locals
            .iter()
            .map(|(name, value)| format!("  {name} = {}\n", value.as_str().unwrap_or_default()))
            .collect();
        let lines = lines.concat();
        let path = scratch.path().join("v.pkr.hcl");
        std::fs::write(&path, format!("locals {{\n{lines}}}\n")).unwrap();
        arguments = vec!["console".to_owned(), path.display().to_string()];
    }
    let expression = format!("{}\n", case["expr"].as_str().unwrap());
    let ended = run(
        &arguments,
        &directory().join("fixtures"),
        scratch.path(),
        &BTreeMap::new(),
        &expression,
    );
    if case["err"].as_bool() == Some(true)
        || case
            .get("err")
            .is_some_and(|error| !error.is_null() && error.as_bool() != Some(false))
    {
        let wanted = ended.code == Some(1);
        return if wanted {
            Vec::new()
        } else {
            vec![format!(
                "an error was expected, not {:?} and {:?}",
                ended.code, ended.stdout
            )]
        };
    }
    let expected = case["out"].as_str().unwrap();
    let mut problems = Vec::new();
    if ended.code != Some(0) {
        problems.push(format!("exit code {:?}: {}", ended.code, ended.stderr));
    }
    if ended.stdout != expected {
        problems.push(format!("expected {expected:?}\n printed {:?}", ended.stdout));
    }
    problems
}
