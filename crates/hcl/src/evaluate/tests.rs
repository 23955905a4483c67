//! Table tests of the evaluator; the recorded expressions are in `tests/expressions.rs`.

use std::collections::BTreeMap;

use super::*;
use crate::functions::{Call, Function, FunctionError, Functions, Parameter, Returns, Run, Special};
use crate::marks::Marks;
use crate::native::parse_expression;
use crate::scope::{EvalContext, Externals, NoAnswer};
use crate::source::SourceMap;
use crate::syntax::{BinaryOperator, ForExpression, Name, ObjectKey, Operation, TemplatePart, UnaryOperator};
use crate::types::Type;

struct NoWorld;

impl Externals for NoWorld {
    fn ask(&self, function: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("nobody answers `{function}`").into())
    }
}

struct Names {
    roots: BTreeMap<&'static str, Value>,
    functions: Option<Functions>,
    eval_context: EvalContext<'static>,
}

impl Scope for Names {
    fn root(&self, name: &str) -> Option<Value> {
        self.roots.get(name).cloned()
    }

    fn root_names(&self) -> Vec<String> {
        self.roots.keys().map(ToString::to_string).collect()
    }

    fn functions(&self) -> Option<&Functions> {
        self.functions.as_ref()
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

const TEXT: Parameter = Parameter {
    name: "text",
    kind: || Type::String,
    nullable: false,
};
const NUMBER: Parameter = Parameter {
    name: "number",
    kind: || Type::Number,
    nullable: false,
};

const fn row(
    name: &'static str,
    parameters: &'static [Parameter],
    variadic: Option<&'static Parameter>,
    run: Run,
) -> Function {
    Function {
        name,
        doc: "",
        parameters,
        variadic,
        result: Returns::STRING,
        examples: &[],
        run,
    }
}

fn shout(call: &Call<'_>) -> Result<Value, FunctionError> {
    let text = call.arguments.first().and_then(Value::as_str).unwrap_or("");
    if text.is_empty() {
        return Err(FunctionError::Argument {
            index: 0,
            message: "nothing to shout".to_owned(),
        });
    }
    Ok(Value::string(text.to_uppercase()))
}

fn total(call: &Call<'_>) -> Result<Value, FunctionError> {
    let mut numbers = call.arguments.iter().filter_map(Value::as_number);
    let sum = numbers.try_fold(crate::number::Number::from(0), |sum, number| sum.add(number));
    sum.map(Value::number).map_err(|error| FunctionError::Failed {
        message: error.to_string(),
    })
}

static ROWS: [Function; 6] = [
    row("shout", &[TEXT], None, Run::Plain(shout)),
    row("total", &[], Some(&NUMBER), Run::Plain(total)),
    row("try", &[], None, Run::Special(Special::Try)),
    row("can", &[], None, Run::Special(Special::Can)),
    row("convert", &[], None, Run::Special(Special::Convert)),
    row("templatefile", &[], None, Run::Special(Special::TemplateFile)),
];

fn names() -> Names {
    let secret = Value::string("hunter2").with_marks(Marks::SENSITIVE);
    let roots = [
        ("secret", secret.clone()),
        (
            "list",
            Value::list(Type::String, vec![Value::string("a"), Value::string("b")]),
        ),
        (
            "object",
            Value::object([("name", Value::string("x")), ("secret", secret)]),
        ),
        ("map", Value::map(Type::Number, [("one", Value::int(1))])),
        ("unknown", Value::dynamic()),
        ("later", Value::unknown(Type::String)),
        (
            "set",
            Value::set(Type::String, vec![Value::string("b"), Value::string("a")]),
        ),
    ];
    Names {
        roots: BTreeMap::from(roots),
        functions: Some(Functions::of(&[("", &ROWS[..])])),
        eval_context: EvalContext {
            base_directory: std::path::PathBuf::from("."),
            working_directory: std::path::PathBuf::from("."),
            home_directory: None,
            started: std::time::UNIX_EPOCH,
            externals: &NoWorld,
        },
    }
}

fn parsed(text: &str) -> (Expression, SourceMap) {
    let mut sources = SourceMap::default();
    let file = sources.add("t", text);
    let mut diagnostics = Diagnostics::default();
    let expression = parse_expression(text, file, 0, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{text}: {diagnostics:?}");
    (expression, sources)
}

fn run(text: &str) -> (Value, String) {
    let (expression, sources) = parsed(text);
    let mut diagnostics = Diagnostics::default();
    let value = evaluate(&expression, &names(), &mut diagnostics);
    let lines = diagnostics.iter().map(|error| {
        let at = error
            .place
            .map(|place| sources.slice(place).to_owned())
            .unwrap_or_default();
        let help = error.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("`{at}`: {}. {}{help}", error.summary, error.detail)
    });
    (value, lines.collect::<Vec<_>>().join("\n"))
}

fn value(text: &str) -> Value {
    let (value, errors) = run(text);
    assert!(errors.is_empty(), "{text}: {errors}");
    value
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let expressions = [
        "lits",
        "object.nam",
        "object.absent",
        "map.two",
        "list.a",
        "list[2]",
        "list[-1]",
        "list[0.5]",
        r#"list["x"]"#,
        "set[0]",
        r#"object["nme"]"#,
        "null.x",
        "null[0]",
        "1.5[0]",
        "1 + true",
        r#"1 + "x""#,
        "1 + null",
        "0 / 0",
        "!5",
        "-list",
        "5 ? 1 : 2",
        "null ? 1 : 2",
        "true ? [1, {a = 1}] : [1, {a = true}]",
        r#""a ${list} b""#,
        r#""a ${null}""#,
        r#"[for x in "abc" : x]"#,
        "{for x in list : \"same\" => x}",
        "[for x in list : x if 5]",
        "{(null) = 1}",
        "shoot(\"x\")",
        "ns::shout(\"x\")",
        "shout()",
        "shout(\"a\", \"b\")",
        "shout(null)",
        "shout(list)",
        "shout(\"\")",
        "total(1, \"x\")",
        "total(\"x\"...)",
        "try(lits, 0/0)",
        "can()",
        "convert(1, strng)",
        "convert(1, list)",
        "convert([1, true], list(any))",
        "convert({a = {b = \"x\"}}, object({a = map(number)}))",
        "templatefile(\"no-such-file\", {})",
        "templatefile(\"x\", 1)",
    ];
    let report: Vec<String> = expressions
        .iter()
        .map(|text| format!("{text}\n    {}", run(text).1.replace('\n', "\n    ")))
        .collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn unknowns_spread() {
    for text in [
        "unknown.a.b[0]",
        "unknown + 1",
        "\"a ${later}\"",
        "later == \"x\"",
        "[for x in unknown : x]",
        "unknown[*].a",
        "shout(later)",
    ] {
        assert!(!value(text).is_known(), "{text}");
    }
    assert_eq!(value("shout(later)").type_of(), Type::String);
    assert_eq!(
        value("true ? 1 : unknown")
            .as_number()
            .and_then(crate::number::Number::to_i64),
        Some(1)
    );
    assert_eq!(value("unknown ? 1 : \"x\"").type_of(), Type::String);
    assert_eq!(value("false && unknown").as_bool(), Some(false));
    assert_eq!(value("unknown || true").as_bool(), Some(true));
    assert!(!value("true && unknown").is_known());
    assert!(value("[later]").is_known());
    assert_eq!(value("can(unknown.x)").type_of(), Type::Bool);
}

#[test]
fn what_is_made_of_a_secret_is_one() {
    let derived = [
        "secret",
        "\"a ${secret}\"",
        "shout(secret)",
        "shout(\"x${secret}\")",
        "secret == \"x\"",
        "secret == \"x\" ? 1 : 2",
        "[for x in [secret] : x][0]",
        "[for x in list : x if secret != \"\"]",
        "{for x in [secret] : x => 1}",
        "{(secret) = 1}",
        "object.secret",
        "object[\"secret\"]",
        "[secret][0]",
        "[secret].*[0]",
        "\"%{ if secret == \"x\" }a%{ else }b%{ endif }\"",
        "\"%{ for x in [secret] }${x}%{ endfor }\"",
        "convert(secret, string)",
        "try(secret, 1)",
        "can(secret)",
        "{a = \"1\"}[secret == \"x\" ? \"a\" : \"a\"]",
        "!(secret == \"x\")",
    ];
    for text in derived {
        assert!(value(text).marks.is_sensitive(), "{text}");
    }
    assert!(value("[secret, 1]").marks_within().is_sensitive());
    assert!(!value("[secret, 1]").marks.is_sensitive());
    assert!(!value("[secret, 1][1]").marks_within().is_sensitive());
    assert!(!value("object.name").marks.is_sensitive());
}

#[test]
fn errors_do_not_tell_secrets() {
    let expressions = [
        "secret[*].name",
        "[for x in [secret].* : x.name]",
        "secret + 1",
        "secret[0]",
        "secret.x",
        "list[secret]",
        "object[secret]",
        "{a = 1}[secret]",
        "!secret",
        "shout(\"${secret == \"\" ? \"x\" : \"\"}\")",
        "secret ? 1 : 2",
        "[for x in secret : x]",
        "convert(secret, number)",
        "total(secret...)",
        "{for x in [1, 2] : secret => x}",
    ];
    for text in expressions {
        let (_, errors) = run(text);
        assert!(!errors.is_empty() && !errors.contains("hunter2"), "{text}: {errors}");
    }
}

#[test]
fn literals_need_no_scope() {
    let (expression, _) = parsed(r#"{ a = [1, "x${1 + 1}"] }"#);
    let mut diagnostics = Diagnostics::default();
    assert_eq!(
        literal(&expression, &mut diagnostics).to_string(),
        r#"{"a" = [1, "x2"]}"#
    );
    assert!(diagnostics.is_empty());
    for (text, summary) in [
        ("var.x", "names cannot be used here"),
        ("shout(1)", "functions cannot be called here"),
    ] {
        let mut diagnostics = Diagnostics::default();
        literal(&parsed(text).0, &mut diagnostics);
        assert_eq!(
            diagnostics
                .iter()
                .map(|error| error.summary.as_str())
                .collect::<Vec<_>>(),
            [summary],
            "{text}"
        );
    }
    let mut diagnostics = Diagnostics::default();
    assert_eq!(
        literal(&parsed("[for x in [1, 2] : x * 2]").0, &mut diagnostics).to_string(),
        "[2, 4]"
    );
}

#[test]
fn references_are_found_everywhere() {
    let text = r#"[local.a.b, local.list[0].c[local.i], "${data.x.y["k"]}%{ if var.z }${local.q}%{ endif }",
        [for v in local.c : v.x + local.v if v != k], { (var.key) = each.value }, f(local.arg), local.s[*].id[local.n],
        convert(var.t, list(string)), local, -var.neg, a + b + c]"#;
    let (expression, sources) = parsed(text);
    let found = references(&expression);
    let shown: Vec<String> = found
        .iter()
        .map(|found| format!("{} {:?} `{}`", found.root, found.steps, sources.slice(found.place)))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn deep_nesting_does_not_overflow() {
    let (one, _) = parsed("1");
    let place = one.place;
    let mut diagnostics = Diagnostics::default();

    let parenthesis = |inner, _| Expression {
        kind: ExpressionKind::Parenthesis(Box::new(inner)),
        place,
    };
    assert_eq!(
        evaluate(&(0..200).fold(one.clone(), parenthesis), &names(), &mut diagnostics).to_string(),
        "1"
    );
    assert!(diagnostics.is_empty());
    evaluate(&(0..300).fold(one.clone(), parenthesis), &names(), &mut diagnostics);
    assert_eq!(diagnostics.iter().next().unwrap().summary, "this is nested too deeply");
}

/// Puts an expression into a construct.
type Wrap<'w> = Box<dyn Fn(Expression) -> ExpressionKind + 'w>;

/// Whatever is nested, there is a complaint instead of an overflow.
#[test]
fn every_construct_may_be_nested_beyond_the_limit() {
    let (one, _) = parsed("1");
    let place = one.place;
    let name = |text: &str| Name {
        text: text.to_owned(),
        place,
    };
    let boxed = |inner: &Expression| Box::new(inner.clone());
    let wraps: Vec<Wrap<'_>> = vec![
        Box::new(|inner| ExpressionKind::Tuple(vec![inner])),
        Box::new(|inner| ExpressionKind::Object(vec![(ObjectKey::Name(name("a")), inner)])),
        Box::new(|inner| ExpressionKind::Object(vec![(ObjectKey::Expression(inner), one.clone())])),
        Box::new(|inner| ExpressionKind::Conditional(boxed(&one), boxed(&one), Box::new(inner))),
        Box::new(|inner| ExpressionKind::Unary(UnaryOperator::Negate, Box::new(inner))),
        Box::new(|operand| {
            let operator = BinaryOperator::And;
            ExpressionKind::Operations(boxed(&one), vec![Operation { operator, operand }])
        }),
        Box::new(|inner| ExpressionKind::Operations(Box::new(inner), Vec::new())),
        Box::new(|inner| ExpressionKind::Index(boxed(&one), Box::new(inner))),
        Box::new(|inner| {
            ExpressionKind::Template(vec![
                TemplatePart::Literal("x".to_owned()),
                TemplatePart::Interpolation(inner),
            ])
        }),
        Box::new(|inner| ExpressionKind::Splat {
            source: Box::new(inner),
            rest: boxed(&one),
        }),
        Box::new(|inner| ExpressionKind::Splat {
            source: boxed(&one),
            rest: Box::new(inner),
        }),
        Box::new(|inner| ExpressionKind::Call {
            name: name("shout"),
            arguments: vec![inner],
            expand_last: false,
        }),
        Box::new(|inner| ExpressionKind::Call {
            name: name("try"),
            arguments: vec![inner],
            expand_last: false,
        }),
        Box::new(|inner| {
            let for_expression = ForExpression {
                key_name: Some(name("k")),
                value_name: name("v"),
                collection: Expression {
                    kind: ExpressionKind::Tuple(vec![one.clone()]),
                    place,
                },
                key: Some(one.clone()),
                value: inner,
                condition: None,
                group: false,
            };
            ExpressionKind::For(Box::new(for_expression))
        }),
    ];
    for wrap in wraps {
        let deep = (0..300).fold(one.clone(), |inner, _| Expression {
            kind: wrap(inner),
            place,
        });
        let mut diagnostics = Diagnostics::default();
        evaluate(&deep, &names(), &mut diagnostics);
        assert!(diagnostics.has_errors());
        references(&deep);
    }
}

#[test]
fn constraints_fill_defaults() {
    let text = r#"object({ a = string, b = optional(number, "3"), c = optional(list(object({ d = optional(bool, true), e = optional(string) }))) })"#;
    let mut diagnostics = Diagnostics::default();
    let constraint = parse_constraint(&parsed(text).0, true, &mut diagnostics).unwrap();
    assert!(diagnostics.is_empty());
    let apply = |text: &str| {
        constraint
            .apply(&value(text))
            .map(|value| value.to_string())
            .map_err(|error| error.to_string())
    };
    assert_eq!(apply("{ a = 1 }").unwrap(), r#"{"a" = "1", "b" = 3, "c" = null}"#);
    assert_eq!(
        apply("{ a = 1, b = 4, c = [{}, { d = false, e = 2 }], extra = 1 }").unwrap(),
        r#"{"a" = "1", "b" = 4, "c" = [{"d" = true, "e" = null}, {"d" = false, "e" = "2"}]}"#
    );
    assert_eq!(apply("{}").unwrap_err(), "attribute `a` is required");
    assert_eq!(
        apply("{ a = 1, c = [{ d = 5 }] }").unwrap_err(),
        "attribute `c`, element 0, attribute `d`: a bool is required"
    );
}

#[test]
fn wrong_types_are_explained() {
    let types = [
        "strin",
        "list",
        "list()",
        "list(string, number)",
        "\"string\"",
        "object",
        "object([])",
        "object({ a = 1 })",
        "tuple(string)",
        "optional(string)",
        "object({ a = optional() })",
        "object({ a = optional(number, \"x\") })",
        "string(1)",
        "a.b",
        "object({ a = optional(number, var.x) })",
    ];
    let report = types.map(|text| {
        let (expression, sources) = parsed(text);
        let mut diagnostics = Diagnostics::default();
        assert!(
            parse_constraint(&expression, true, &mut diagnostics).is_none(),
            "{text}"
        );
        let errors = diagnostics.iter().map(|error| {
            format!(
                "`{}`: {}. {} {}",
                sources.slice(error.place.unwrap()),
                error.summary,
                error.detail,
                error.help.as_deref().unwrap_or("")
            )
        });
        format!("{text}\n    {}", errors.collect::<Vec<_>>().join("\n    ").trim_end())
    });
    insta::assert_snapshot!(report.join("\n"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Expressions that are well formed, and mean anything.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[0-9]{1,3}(\\.[0-9])?",
            proptest::sample::select(vec![
                "null", "true", "false", "secret", "list", "object", "map", "set", "unknown", "later", "nope", "[]",
                "{}", "\"\"", "\"1\"", "\"true\"", "\"text\"", "1e400", "x",
            ])
            .prop_map(str::to_owned),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let operator = proptest::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||"]);
            let two = (inner.clone(), inner.clone());
            let three = (inner.clone(), inner.clone(), inner.clone());
            let types = vec![
                "string",
                "number",
                "bool",
                "list(any)",
                "set(string)",
                "map(number)",
                "object({ a = any })",
            ];
            prop_oneof![
                (two.clone(), operator).prop_map(|((a, b), operator)| format!("({a} {operator} {b})")),
                three.clone().prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
                two.clone().prop_map(|(a, b)| format!("[{a}, {b}]")),
                two.clone().prop_map(|(a, b)| format!("{{ a = {a}, ({b}) = 1 }}")),
                two.clone().prop_map(|(a, b)| format!("{a}[{b}]")),
                inner.clone().prop_map(|a| format!("(-{a})")),
                inner.clone().prop_map(|a| format!("(!{a})")),
                inner.clone().prop_map(|a| format!("({a})[*].name")),
                inner.clone().prop_map(|a| format!("({a}).a")),
                two.clone()
                    .prop_map(|(a, b)| format!("\"p${{{a}}}%{{ if {b} }}y%{{ else }}n%{{ endif }}\"")),
                three
                    .clone()
                    .prop_map(|(a, b, c)| format!("[for k, x in {a} : {b} if {c}]")),
                three.prop_map(|(a, b, c)| format!("{{ for k, x in {a} : {b} => {c}... }}")),
                two.clone().prop_map(|(a, b)| format!("try({a}, {b})")),
                inner.clone().prop_map(|a| format!("can({a})")),
                inner.clone().prop_map(|a| format!("shout({a})")),
                inner.clone().prop_map(|a| format!("total({a}...)")),
                (inner, proptest::sample::select(types)).prop_map(|(a, kind)| format!("convert({a}, {kind})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        /// Every answer is a value or an error with a place, the same each time, and no error shows a secret.
        #[test]
        fn evaluation_is_total_and_keeps_secrets(text in expression()) {
            let (expression, _) = parsed(&text);
            let mut diagnostics = Diagnostics::default();
            let value = evaluate(&expression, &names(), &mut diagnostics);
            let mut again = Diagnostics::default();
            prop_assert!(crate::value::equality::same(&evaluate(&expression, &names(), &mut again), &value));
            prop_assert_eq!(&again, &diagnostics);
            prop_assert!(diagnostics.iter().all(|error| error.place.is_some()));
            prop_assert!(!format!("{diagnostics:?}{value}").to_lowercase().contains("hunter2"), "{:?} {}", diagnostics, value);
            references(&expression);
        }

        /// No text at all makes it panic.
        #[test]
        fn any_text_is_survived(text in "[a-z0-9 .,()\\[\\]{}?:=<>!&|+*/%\"$-]{0,40}") {
            let file = SourceMap::default().add("t", text.as_str());
            let mut diagnostics = Diagnostics::default();
            let expression = parse_expression(&text, file, 0, &mut diagnostics);
            evaluate(&expression, &names(), &mut diagnostics);
            references(&expression);
        }
    }
}
