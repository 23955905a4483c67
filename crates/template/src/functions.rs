//! The functions that Packer adds to the language: rows beside those of `bakelite_hcl`, of the same kind.

use std::time::SystemTime;

use bakelite_hcl::functions::{
    Call, Function, FunctionError, Functions, GROUPS, Groups, Returns, Run, failed, layout, text,
};
use bakelite_hcl::marks::Marks;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::{Kind, Value};

/// Packer's functions by subject.
static OURS: &Groups = &[("The time of the run", TIMES), ("Secrets and settings", SECRETS)];

/// The functions of every expression.
pub fn standard() -> Functions {
    Functions::of(GROUPS.iter().chain(OURS))
}

/// What can be called in the default of a variable besides: nothing else reads the environment.
pub fn variable_defaults() -> Functions {
    Functions::of(&[("", DEFAULTS)])
}

/// The reference page of all functions, in Markdown.
pub fn reference() -> String {
    let defaults = [("Only in the default of a variable", DEFAULTS)];
    bakelite_hcl::functions::reference(&[GROUPS, OURS, &defaults].concat())
}

static TIMES: &[Function] = &[
    Function {
        name: "legacy_isotime",
        doc: "When the run started, in a Go time layout; RFC 3339 without one. For templates that were written for \
              `{{isotime}}`.",
        parameters: &[],
        variadic: Some(&text("layout")),
        result: Returns::STRING,
        examples: &[("length(legacy_isotime(\"20060102\"))", "8")],
        run: Run::Plain(|call| started_as(call, layout::format)),
    },
    Function {
        name: "legacy_strftime",
        doc: "When the run started, in a strftime format; RFC 3339 without one.",
        parameters: &[],
        variadic: Some(&text("format")),
        result: Returns::STRING,
        examples: &[("length(legacy_strftime(\"%Y%m%d\"))", "8")],
        run: Run::Plain(|call| started_as(call, layout::strftime)),
    },
];

/// Stores of secrets and settings. Whatever they answer is sensitive.
static SECRETS: &[Function] = &[
    Function {
        name: "aws_secretsmanager",
        doc: "One value of a secret in AWS Secrets Manager that is a JSON object; with a null key its only value. \
              Sensitive.",
        parameters: &[text("name"), text("key").or_null()],
        variadic: None,
        result: Returns::STRING,
        examples: &[("can(aws_secretsmanager(null, null))", "false")],
        run: Run::Plain(|call| secret(call, "aws_secretsmanager")),
    },
    Function {
        name: "aws_secretsmanager_raw",
        doc: "A whole secret in AWS Secrets Manager, as it is. Sensitive.",
        parameters: &[text("name")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("can(aws_secretsmanager_raw(null))", "false")],
        run: Run::Plain(|call| secret(call, "aws_secretsmanager_raw")),
    },
    Function {
        name: "consul_key",
        doc: "The value of a key in Consul's store, by the environment variables that Consul's own tools read. Sensitive.",
        parameters: &[text("key")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("can(consul_key(null))", "false")],
        run: Run::Plain(|call| secret(call, "consul_key")),
    },
    Function {
        name: "vault",
        doc: "One value of a secret in Vault, by `VAULT_TOKEN` and the other environment variables that Vault's own tools \
              read. Sensitive.",
        parameters: &[text("path"), text("key")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("can(vault(null, \"key\"))", "false")],
        run: Run::Plain(|call| secret(call, "vault")),
    },
];

/// What can be called in the default of a variable only.
static DEFAULTS: &[Function] = &[Function {
    name: "env",
    doc: "The value of an environment variable, empty when it is not set. Only in the default of a variable.",
    parameters: &[text("name")],
    variadic: None,
    result: Returns::STRING,
    examples: &[("env(\"HOME\")", "/home/me")],
    run: Run::Plain(|call| ask(call, "env")),
}];

/// When the run started, in the format of the argument.
fn started_as(call: &Call<'_>, show: fn(&str, SystemTime) -> Option<String>) -> Result<Value, FunctionError> {
    let started = call.eval_context.started;
    let shown = match call.arguments {
        [] => layout::format("2006-01-02T15:04:05Z07:00", started),
        [_] => show(call.text(0)?, started),
        _ => return Err(failed("at most one argument is taken")),
    };
    let shown = shown.ok_or_else(|| failed("the clock shows a time beyond the year 9999"))?;
    Ok(Value::string(shown))
}

fn secret(call: &Call<'_>, function: &str) -> Result<Value, FunctionError> {
    Ok(ask(call, function)?.with_marks(Marks::SENSITIVE))
}

fn ask(call: &Call<'_>, function: &str) -> Result<Value, FunctionError> {
    let answer = call.eval_context.externals.ask(function, call.arguments)?;
    // Nothing more than that it will be text is known of an answer that has to be fetched.
    Ok(if matches!(answer.kind, Kind::Unknown(_)) {
        Value::unknown(Type::String)
    } else {
        answer
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bakelite_hcl::diagnostic::Diagnostics;
    use bakelite_hcl::evaluate::evaluate;
    use bakelite_hcl::native::parse_expression;
    use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer};
    use bakelite_hcl::source::SourceMap;

    use super::*;
    use crate::scope::Nameless;

    struct Home;

    impl Externals for Home {
        fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, NoAnswer> {
            match (function, arguments.first().and_then(Value::as_str)) {
                ("env", Some("HOME")) => Ok(Value::string("/home/me")),
                ("env", _) => Ok(Value::string("")),
                ("vault", _) => Ok(Value::dynamic()),
                _ => Ok(Value::string("secret")),
            }
        }
    }

    fn value(functions: &Functions, expression: &str) -> Value {
        let scope = Nameless {
            eval_context: EvalContext {
                base_directory: "/no/such/directory".into(),
                working_directory: "/no/such/directory".into(),
                home_directory: Some("/home/me".into()),
                started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_615_129_449_120),
                externals: &Home,
            },
            functions,
        };
        let mut diagnostics = Diagnostics::default();
        let file = SourceMap::default().add("example", expression);
        let parsed = parse_expression(expression, file, 0, &mut diagnostics);
        let value = evaluate(&parsed, &scope, &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{expression}: {diagnostics:?}");
        value
    }

    fn shown(functions: &Functions, expression: &str) -> String {
        crate::show::display(&value(functions, expression))
    }

    #[test]
    fn every_example_is_true() {
        for (functions, group) in [
            (standard(), TIMES),
            (standard(), SECRETS),
            (variable_defaults(), DEFAULTS),
        ] {
            for function in group {
                assert!(!function.examples.is_empty(), "`{}` has no example", function.name);
                for (expression, value) in function.examples {
                    assert_eq!(shown(&functions, expression), *value, "{expression}");
                }
            }
        }
    }

    #[test]
    fn no_name_twice() {
        let rows: usize = GROUPS.iter().chain(OURS).map(|(_, group)| group.len()).sum();
        assert_eq!(standard().names().count(), rows);
        assert_eq!(rows, 103);
    }

    #[test]
    fn what_a_store_answers_is_sensitive() {
        let functions = standard();
        for call in [
            "consul_key(\"a\")",
            "aws_secretsmanager(\"a\", null)",
            "aws_secretsmanager_raw(\"a\")",
            "upper(consul_key(\"a\"))",
        ] {
            let value = value(&functions, call);
            assert!(value.marks.is_sensitive() && value.is_known(), "{call}");
        }
        // To be fetched first: unknown, and already sensitive.
        let value = value(&functions, "vault(\"a\", \"b\")");
        assert!(value.marks.is_sensitive() && !value.is_known());
    }

    #[test]
    fn times_of_the_run() {
        let functions = standard();
        for (call, expected) in [
            ("legacy_isotime()", "2021-03-07T15:04:09Z"),
            ("legacy_strftime()", "2021-03-07T15:04:09Z"),
            ("legacy_isotime(\"02-Jan-06 15:04:05.000\")", "07-Mar-21 15:04:09.120"),
            ("legacy_strftime(\"%Y%m%d%L\")", "20210307.120"),
        ] {
            assert_eq!(shown(&functions, call), expected, "{call}");
        }
    }
}
