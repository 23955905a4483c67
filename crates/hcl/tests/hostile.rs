//! Expressions of one line that ask for more than a machine has are an error at their place, whatever they hide it behind.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

use bakelite_hcl::budget::Budget;
use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::functions::{Functions, standard};
use bakelite_hcl::native::parse_expression;
use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer, Scope};
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::value::Value;

struct NoWorld;

impl Externals for NoWorld {
    fn ask(&self, function: &str, _arguments: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` needs the network").into())
    }
}

struct Nothing<'a> {
    functions: &'a Functions,
    budget: Budget,
    eval_context: EvalContext<'a>,
}

impl Scope for Nothing<'_> {
    fn root(&self, _name: &str) -> Option<Value> {
        None
    }

    fn root_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn functions(&self) -> Option<&Functions> {
        Some(self.functions)
    }

    fn budget(&self) -> Option<&Budget> {
        Some(&self.budget)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

/// The errors of an expression; a template file and a file of 256 KB lie in its directory.
fn errors(text: &str, budget: Budget) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("big.txt"), "x".repeat(1 << 18)).unwrap();
    std::fs::write(directory.path().join("loop.tpl"), "%{ for a in n }${a}%{ endfor }").unwrap();
    let functions = standard();
    let scope = Nothing {
        functions: &functions,
        budget,
        eval_context: EvalContext {
            base_directory: directory.path().to_owned(),
            working_directory: directory.path().to_owned(),
            home_directory: None,
            started: std::time::SystemTime::UNIX_EPOCH,
            externals: &NoWorld,
        },
    };
    let file = SourceMap::default().add("<test>", text);
    let mut diagnostics = Diagnostics::default();
    let expression = parse_expression(text, file, 0, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{text:.200}: {diagnostics:?}");
    evaluate(&expression, &scope, &mut diagnostics);
    diagnostics
        .iter()
        .map(|error| {
            assert_eq!(error.place.unwrap().file, file);
            format!("{} | {}", error.summary, error.detail)
        })
        .collect()
}

/// `[for a in range(1000) : [for b in range(1000) : … inner]]`
fn thousands(levels: usize, inner: &str) -> String {
    (0..levels).fold(inner.to_owned(), |inner, level| {
        format!("[for v{level} in range(1000) : {inner}]")
    })
}

#[test]
fn work_without_end_is_an_error() {
    let cases = [
        thousands(3, "1"),
        thousands(8, "1"),
        format!("length({})", thousands(3, "1")),
        format!("try({}, 1)", thousands(3, "1")),
        format!("can({})", thousands(3, "1")),
        format!("true ? 1 : length({})", thousands(3, "1")),
        format!("false && {} == []", thousands(3, "1")),
        thousands(2, "range(1000)"),
        thousands(1, "file(\"big.txt\")"),
        thousands(2, "templatefile(\"loop.tpl\", { n = range(1000) })"),
        format!("jsonencode({})", thousands(2, "1e19000")),
        format!("join(\",\", {})", thousands(2, "1e19000")),
        format!("length(\"{}\")", "${1e19000}".repeat(780)),
        format!("\"%{{ for a in {} }}${{jsonencode(a)}}%{{ endfor }}\"", thousands(2, "range(1000)")),
        format!("{}[*].x", thousands(2, "{ x = range(1000) }")),
        "[for big in [file(\"big.txt\")] : [for a in range(1000) : upper(big)]]".to_owned(),
        "[for big in [file(\"big.txt\")] : [for a in range(1000) : sha512(big)]]".to_owned(),
        "[for big in [file(\"big.txt\")] : [for a in range(1000) : \"${big}${big}\"]]".to_owned(),
        "[for big in [file(\"big.txt\")] : jsonencode([for a in range(1000) : big])]".to_owned(),
        "[for big in [file(\"big.txt\")] : yamlencode([for a in range(1000) : big])]".to_owned(),
        "[for big in [file(\"big.txt\")] : join(\"\", [for a in range(1000) : big])]".to_owned(),
        "[for big in [file(\"big.txt\")] : replace(big, \"x\", big)]".to_owned(),
        "[for big in [file(\"big.txt\")] : regex_replace(big, \"x\", big)]".to_owned(),
        "[for big in [file(\"big.txt\")] : format(join(\"\", [for a in range(1000) : \"%[1]s\"]), big)]".to_owned(),
        "[for big in [file(\"big.txt\")] : [for a in range(1000) : split(\"\", big)]]".to_owned(),
        "[for big in [file(\"big.txt\")] : regexall(\"(x)|(y)|(z)\", big)]".to_owned(),
        "[for big in [file(\"big.txt\")] : jsondecode(\"[${replace(big, \"x\", \"1,\")}1]\")]".to_owned(),
        "[for big in [file(\"big.txt\")] : [for a in range(1000) : big]]".to_owned(),
        "setproduct(range(1000), range(1000))".to_owned(),
        "setproduct([1, 2], [1, 2], [for a in range(60) : [1, 2]]...)".to_owned(),
        "indent(1000000000, \"\\n\")".to_owned(),
        "indent(1000000, join(\"\", [for a in range(1000) : \"\\n\"]))".to_owned(),
        "format(\"%1000000000d\", 1)".to_owned(),
        "format(\"%.1000000000f\", 1)".to_owned(),
        "format(\"%99999999999999999999d\", 1)".to_owned(),
        "range(1e18)".to_owned(),
        "range(0, 1, 1e-18)".to_owned(),
        "bcrypt(\"x\", 31)".to_owned(),
        "try([for a in range(1000) : bcrypt(\"x\", 10)], 1)".to_owned(),
        "try([for a in range(1000) : [for b in range(1000) : fileset(\".\", \"*\")]], 1)".to_owned(),
        "regex(\"((a{100}){100}){100}\", \"a\")".to_owned(),
        "parseint(join(\"\", [for a in range(1000) : join(\"\", [for b in range(1000) : \"zz\"])]), 36)".to_owned(),
        "1e19000 * 1e19000".to_owned(),
        "csvdecode(\"${join(\",\", range(1000))}\\n${join(\"\\n\", [for a in range(1000) : join(\",\", [for b in range(1000) : \"\"])])}\")".to_owned(),
        // Each doubles what the one inside of it made.
        (0..90).fold("\"\\\"\"".to_owned(), |inner, _| format!("jsonencode({inner})")),
        (0..30).fold("\"x\"".to_owned(), |inner, level| {
            format!("[for v{level} in [{inner}] : \"${{v{level}}}${{v{level}}}\"][0]")
        }),
        (0..30).fold("[1]".to_owned(), |inner, level| {
            format!("[for v{level} in [{inner}] : [v{level}, v{level}]][0]")
        }),
        (0..30).fold("[1]".to_owned(), |inner, level| {
            format!("[for v{level} in [{inner}] : concat(v{level}, v{level})][0]")
        }),
    ];
    let mut wrong = Vec::new();
    for case in cases {
        // Little, because tests are not optimized.
        let errors = errors(&case, Budget::of(8 << 20));
        if errors.len() != 1 || errors[0].len() > 1000 {
            wrong.push(format!("{case:.200}: {errors:.1000?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_templates_do_is_no_work() {
    for case in [
        "length([for a in range(200) : [for b in range(100) : \"${a}-${b}\"]])",
        "length(base64encode(file(\"big.txt\")))",
        "sha256(base64gzip(file(\"big.txt\")))",
        "length(jsondecode(jsonencode({ for a in range(200) : a => file(\"loop.tpl\") })))",
        "length(setproduct(range(100), range(100)))",
        "bcrypt(\"x\", 4)",
        "1e19000 / 1e18999",
    ] {
        assert_eq!(errors(case, Budget::default()), Vec::<String>::new(), "{case}");
    }
}
