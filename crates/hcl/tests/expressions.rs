//! The recorded expressions of `tests/golden/expressions.jsonl`, evaluated by this crate and printed by a small printer of the test.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test fails by panicking and reports what it counted"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::functions::{Functions, standard};
use bakelite_hcl::native::parse_expression;
use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer, Scope};
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::{Kind, Value};

/// Roots whose values are not this crate's, Packer's functions, and the commands of `console`.
const ELSEWHERE: [&str; 8] = [
    "packer.",
    "path.",
    "build.",
    "source.",
    "legacy_",
    "length(legacy_",
    "help",
    "variables",
];

struct NoWorld;

impl Externals for NoWorld {
    fn ask(&self, function: &str, _arguments: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` needs the network").into())
    }
}

struct Locals<'a> {
    texts: BTreeMap<String, String>,
    functions: &'a Functions,
    eval_context: EvalContext<'a>,
}

impl Scope for Locals<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        match name {
            "var" => Some(Value::object::<&str>([])),
            "local" => Some(Value::object(
                self.texts
                    .keys()
                    .filter_map(|name| Some((name, self.member("local", name)?))),
            )),
            "path" => {
                let cwd = Value::string(self.eval_context.working_directory.display().to_string());
                Some(Value::object([("cwd", cwd), ("root", Value::string(""))]))
            }
            _ => None,
        }
    }

    fn member(&self, root: &str, name: &str) -> Option<Value> {
        let text = self.texts.get(name).filter(|_| root == "local")?;
        value_of(text, self).ok()
    }

    fn root_names(&self) -> Vec<String> {
        vec!["var".to_owned(), "local".to_owned(), "path".to_owned()]
    }

    fn functions(&self) -> Option<&Functions> {
        Some(self.functions)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

fn value_of(text: &str, scope: &dyn Scope) -> Result<Value, Diagnostics> {
    let file = SourceMap::default().add("<test>", text);
    let mut diagnostics = Diagnostics::default();
    let expression = parse_expression(text, file, 0, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let value = evaluate(&expression, scope, &mut diagnostics);
    if diagnostics.has_errors() {
        Err(diagnostics)
    } else {
        Ok(value)
    }
}

fn print(value: &Value, indent: usize, nested: bool) -> String {
    let pad = " ".repeat(indent + 2);
    let block = |open: char, lines: Vec<String>, close: char| {
        if lines.is_empty() {
            return format!("{open}{close}");
        }
        format!("{open}\n{}{}{close}", lines.concat(), " ".repeat(indent))
    };
    match &value.kind {
        Kind::Null(_) => "null".to_owned(),
        Kind::Unknown(_) => "<unknown>".to_owned(),
        Kind::Bool(truth) => truth.to_string(),
        Kind::Number(number) => number.console(),
        Kind::String(text) if nested => format!("{text:?}"),
        Kind::String(text) => text.to_string(),
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            let lines = elements
                .iter()
                .map(|element| format!("{pad}{},\n", print(element, indent + 2, true)));
            block('[', lines.collect(), ']')
        }
        Kind::Map(_, members) | Kind::Object(members) => {
            let shown = members.iter().filter(|(_, member)| !member.is_null());
            let lines = shown.map(|(name, member)| format!("{pad}{name:?} = {}\n", print(member, indent + 2, true)));
            block('{', lines.collect(), '}')
        }
    }
}

/// The type that the recorded JSON shows, where printing hides it: `"1"` and `1` print the same.
fn recorded_type(json: &str) -> Option<Type> {
    match json.as_bytes().first()? {
        b'"' => Some(Type::String),
        b't' | b'f' => Some(Type::Bool),
        b'-' | b'0'..=b'9' => Some(Type::Number),
        _ => None,
    }
}

/// What is wrong with an answer; `None` when it is as recorded.
fn complaint(row: &serde_json::Value, scope: &Locals<'_>) -> Option<String> {
    let answer = value_of(row["expr"].as_str().unwrap(), scope);
    let wanted_error = row.get("err").is_some();
    match answer {
        Err(_) if wanted_error => None,
        Err(diagnostics) => {
            let errors = diagnostics
                .iter()
                .map(|error| format!("{}: {}", error.summary, error.detail));
            Some(format!("error: {}", errors.collect::<Vec<_>>().join(" / ")))
        }
        Ok(value) if wanted_error => Some(format!("an error was expected, got {value}")),
        Ok(value) => difference(row, &value),
    }
}

fn difference(row: &serde_json::Value, value: &Value) -> Option<String> {
    let printed = format!("{}\n", print(value, 0, false));
    if printed != row["out"].as_str().unwrap() {
        return Some(format!("expected {}\n        printed {printed:?}", row["out"]));
    }
    let json = row.get("json").and_then(serde_json::Value::as_str)?;
    if let Some(kind) = recorded_type(json).filter(|kind| *kind != value.type_of()) {
        return Some(format!("expected a {kind}, {json}, got a {}", value.type_of()));
    }
    let number = value.as_number().filter(|number| number.to_string() != json)?;
    Some(format!("expected {json}, got {number}"))
}

/// The function that a row is about, or the language.
fn family(row: &str) -> &str {
    let called = row.match_indices('(').map(|(at, _)| {
        let before = row.get(..at).unwrap_or("");
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + 1);
        before.get(start..).unwrap_or("")
    });
    let special = ["", "try", "can", "convert", "templatefile"];
    called
        .into_iter()
        .find(|name| !special.contains(name))
        .unwrap_or("language")
}

fn scope_of<'a>(row: &serde_json::Value, functions: &'a Functions, directory: &Path) -> Locals<'a> {
    let texts = row
        .get("vars")
        .and_then(serde_json::Value::as_object)
        .into_iter()
        .flatten();
    Locals {
        texts: texts
            .map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()))
            .collect(),
        functions,
        eval_context: EvalContext {
            base_directory: directory.to_owned(),
            working_directory: directory.to_owned(),
            home_directory: Some(PathBuf::from("/home/user")),
            started: std::time::SystemTime::now(),
            externals: &NoWorld,
        },
    }
}

#[test]
fn recorded_expressions() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .canonicalize()
        .unwrap();
    let rows = std::fs::read_to_string(golden.join("expressions.jsonl")).unwrap();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut failures = Vec::new();
    let functions = standard();
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let expression = row["expr"].as_str().unwrap();
        if ELSEWHERE.iter().any(|root| expression.starts_with(root)) || expression.is_empty() {
            continue;
        }
        let name = family(expression);
        let count = counts.entry(name.to_owned()).or_default();
        count.1 += 1;
        match complaint(&row, &scope_of(&row, &functions, &golden.join("fixtures"))) {
            None => count.0 += 1,
            Some(why) => failures.push(format!("[{name}] {expression}\n        {why}")),
        }
    }
    let (passed, all) = counts
        .values()
        .fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    for (name, (passed, all)) in counts.iter().filter(|(_, (passed, all))| passed < all) {
        eprintln!("{name}: {passed} of {all}");
    }
    eprintln!("{passed} of {all} recorded expressions");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
