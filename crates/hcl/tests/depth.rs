//! Expressions as deep as the parser lets them be are evaluated, shown and dropped on the stack that a thread has by default.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::evaluate::{evaluate, references};
use bakelite_hcl::functions::{Functions, standard};
use bakelite_hcl::native::{MAX_DEPTH, parse_expression};
use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer, Scope};
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::syntax::Expression;
use bakelite_hcl::value::Value;

struct NoWorld;

impl Externals for NoWorld {
    fn ask(&self, function: &str, _arguments: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` needs the network").into())
    }
}

struct Nothing<'a> {
    functions: &'a Functions,
    eval_context: EvalContext<'a>,
}

impl Scope for Nothing<'_> {
    fn root(&self, _name: &str) -> Option<Value> {
        None
    }

    fn member(&self, _root: &str, _name: &str) -> Option<Value> {
        None
    }

    fn root_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn functions(&self) -> Option<&Functions> {
        Some(self.functions)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

fn parse(text: &str) -> Option<Expression> {
    let file = SourceMap::default().add("<test>", text);
    let mut diagnostics = Diagnostics::default();
    let expression = parse_expression(text, file, 0, &mut diagnostics);
    (!diagnostics.has_errors()).then_some(expression)
}

/// `open` as often as the parser allows, around `inner`.
fn deepest(open: &str, inner: &str, close: &str) -> Expression {
    let text = |levels: usize| open.repeat(levels) + inner + &close.repeat(levels);
    assert!(parse(&text(MAX_DEPTH + 1)).is_none(), "{open} is not limited");
    let levels = (1..=MAX_DEPTH).rev();
    levels.into_iter().find_map(|levels| parse(&text(levels))).unwrap()
}

#[test]
fn the_deepest_expressions_are_evaluated() {
    let shapes = [
        ("[", "1", "]"),
        ("(", "1", ")"),
        ("{ a = ", "1", " }"),
        ("[{ a = (", "1", ") }]"),
        ("upper(", "\"a\"", ")"),
        ("try(", "1", ")"),
        ("try(nope, ", "1", ")"),
        ("concat([", "1", "])"),
        ("\"x${", "1", "}\""),
        ("\"${", "1", "}\""),
        ("-", "1", ""),
        ("1 + (", "1", ")"),
        ("(", "1", " + 1)"),
        ("", "[1]", "[*]"),
        ("[", "1", "][0]"),
        ("true ? ", "1", " : 2"),
        ("[for x in [1] : ", "x", "]"),
        ("[for x in ", "[1]", " : x]"),
        ("{ for k, v in { a = 1 } : k => ", "v", " }"),
        ("\"%{ if true }${", "1", "}%{ endif }\""),
        ("\"%{ for x in [1] }${", "1", "}%{ endfor }\""),
    ];
    for (open, inner, close) in shapes {
        let expression = deepest(open, inner, close);
        value_on_a_small_stack(expression);
    }
}

/// Evaluates and drops an expression, without errors, on the least stack that a thread of ours has.
fn value_on_a_small_stack(expression: Expression) -> String {
    let work = move || {
        let functions = standard();
        let eval_context = EvalContext {
            base_directory: ".".into(),
            working_directory: ".".into(),
            home_directory: None,
            started: std::time::SystemTime::UNIX_EPOCH,
            externals: &NoWorld,
        };
        let scope = Nothing {
            functions: &functions,
            eval_context,
        };
        let mut diagnostics = Diagnostics::default();
        let value = evaluate(&expression, &scope, &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{diagnostics:?}");
        drop(references(&expression.clone()));
        drop(format!("{value:?} {expression:?}"));
        value.to_string()
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap();
    thread.join().unwrap()
}

#[test]
fn chains_of_operators_are_no_nesting() {
    const TERMS: usize = 10_000;
    for (operator, term, value) in [
        (" + ", "1", "10000"),
        (" && ", "true", "true"),
        (" || ", "false", "false"),
        (" == ", "true", "true"),
        (" - 2 * 3 + ", "7", "10006"),
        (" || 1 < 2 && ", "true", "true"),
    ] {
        let expression = parse(&vec![term; TERMS].join(operator)).unwrap();
        assert_eq!(value_on_a_small_stack(expression), value, "{operator}");
    }
}
