//! Tests of the table as a whole.

use std::time::{Duration, SystemTime};

use super::*;
use crate::diagnostic::Diagnostics;
use crate::evaluate::evaluate;
use crate::native::parse_expression;
use crate::scope::{Externals, NoAnswer, Scope};
use crate::source::SourceMap;
use crate::value::Kind;

struct NoWorld;

impl Externals for NoWorld {
    fn ask(&self, function: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` is none of the language's own").into())
    }
}

struct Only {
    functions: Functions,
    eval_context: EvalContext<'static>,
}

impl Only {
    fn of(functions: Functions) -> Self {
        let eval_context = EvalContext {
            base_directory: "/no/such/directory".into(),
            working_directory: "/no/such/directory".into(),
            home_directory: Some("/home/me".into()),
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_615_129_449_120),
            externals: &NoWorld,
        };
        Self {
            functions,
            eval_context,
        }
    }

    fn value(&self, expression: &str) -> Result<Value, String> {
        let mut sources = SourceMap::default();
        let file = sources.add("example", expression);
        let mut diagnostics = Diagnostics::default();
        let parsed = parse_expression(expression, file, 0, &mut diagnostics);
        let value = evaluate(&parsed, self, &mut diagnostics);
        match diagnostics.iter().next() {
            Some(error) => Err(format!("{}: {}", error.summary, error.detail)),
            None => Ok(value),
        }
    }

    /// What `console` prints; values with members go through JSON.
    fn shown(&self, expression: &str) -> String {
        match self.value(expression) {
            Err(error) => format!("error: {error}"),
            Ok(value) => match &value.kind {
                Kind::String(text) => text.to_string(),
                Kind::Number(number) => number.console(),
                _ if value.is_wholly_known() => json::encode(&value).unwrap(),
                _ => "<unknown>".to_owned(),
            },
        }
    }
}

impl Scope for Only {
    fn root(&self, name: &str) -> Option<Value> {
        (name == "later").then(|| Value::unknown(Type::String))
    }

    fn root_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn functions(&self) -> Option<&Functions> {
        Some(&self.functions)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

#[test]
fn every_example_is_true() {
    let scope = Only::of(standard());
    for name in scope.functions.names().collect::<Vec<_>>() {
        let function = scope.functions.get(name).unwrap();
        assert!(!function.examples.is_empty(), "`{name}` has no example");
        for (expression, value) in function.examples {
            assert!(
                expression.contains(&format!("{name}(")),
                "{expression} is no example of `{name}`"
            );
            assert_eq!(scope.shown(expression), *value, "{expression}");
        }
    }
}

#[test]
fn no_name_twice() {
    let rows: usize = GROUPS.iter().map(|(_, group)| group.len()).sum();
    assert_eq!(standard().names().count(), rows);
    assert_eq!(rows, 97);
}

#[test]
fn members_may_be_unknown() {
    let scope = Only::of(standard());
    for (call, shown) in [
        ("merge({a = later}, {b = 1}).b", "1"),
        ("length([later, later])", "2"),
        ("jsonencode(keys({a = later}))", "[\"a\"]"),
        ("element([1, later], 0)", "1"),
        ("concat([later], [2])[1]", "2"),
        ("lookup({a = 1, b = later}, \"a\", 0)", "1"),
        ("coalesce(\"a\", later)", "a"),
        ("coalesce(null, later)", "<unknown>"),
        ("contains([later, \"x\"], \"x\")", "true"),
        ("contains([later], \"x\")", "<unknown>"),
        ("anytrue([true, later])", "true"),
        ("alltrue([false, later])", "false"),
        ("zipmap([\"a\", \"b\"], [1, later]).a", "1"),
        ("flatten([[1], [later]])[0]", "1"),
        ("jsonencode([later])", "<unknown>"),
        ("join(\",\", [later])", "<unknown>"),
        ("length(later)", "<unknown>"),
        ("merge({a = 1}, later)", "<unknown>"),
    ] {
        assert_eq!(scope.shown(call), shown, "{call}");
    }
}

#[test]
fn the_home_directory_is_the_one_that_is_given() {
    assert_eq!(Only::of(standard()).shown("pathexpand(\"~/x\")"), "/home/me/x");
}

#[test]
fn hostile_calls_end_soon() {
    let scope = Only::of(standard());
    for call in [
        "format(\"%999999999d\", 1)",
        "format(\"%.999999999f\", 1)",
        "indent(1000000000, \"a\\nb\")",
        "range(100000000)",
        "range(0, 1, 1e-100)",
        "range(1, 2, 0)",
        "setproduct(range(1000), range(1000), range(1000))",
        "regex(\"((a{100}){100}){100}\", \"a\")",
        "jsondecode(join(\"\", [for x in range(1000) : \"[\"]))",
        "yamldecode(join(\"\", [for x in range(1000) : \"[\"]))",
        "bcrypt(\"x\", 31)",
        "parseint(join(\"\", [for x in range(1000) : \"99999999999999999999\"]), 10)",
        "chunklist([1], -1)",
        "timeadd(\"9999-12-31T23:59:59Z\", \"1s\")",
        "unix_timestamp_parse(1e30)",
        "cidrsubnet(\"10.0.0.0/8\", -9, 0)",
        "element([1], 1e30)",
        "substr(\"abc\", 0, 1e30)",
        "pow(0, -1) - pow(0, -1)",
        "log(0, 0)",
        "sum([1/0, -1/0])",
    ] {
        assert!(scope.value(call).is_err(), "{call}: {:?}", scope.shown(call));
    }
    for call in [
        "chunklist([1], 1000000000000)",
        "format(\"%.1000f\", 1e-1000)",
        "jsonencode(1e19000)",
        "pow(1e300, 1e300)",
        "ceil(1e300)",
    ] {
        assert!(scope.value(call).is_ok(), "{call}: {:?}", scope.shown(call));
    }
}

#[test]
fn the_reference_shows_a_function() {
    let page = reference(GROUPS);
    let start = page.find("### `cidrhost`").unwrap();
    let end = page[start..].find("### `cidrnetmask`").unwrap();
    insta::assert_snapshot!(&page[start..start + end], @r#"
    ### `cidrhost`

    `cidrhost(prefix: string, host_number: number)` → `string`

    The address of a number in a range; a negative number counts from the end.

    ```hcl
    cidrhost("10.0.0.0/16", 256)
    # 10.0.1.0
    cidrhost("10.0.0.0/16", -1)
    # 10.0.255.255
    ```
    "#);
}
