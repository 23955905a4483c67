//! Functions that ask the world: the environment, Vault, Consul, AWS. Here they are only declared; who evaluates answers.

use super::arguments::{failed, text};
use super::{Call, Function, FunctionError, Run};
use crate::marks::Marks;
use crate::types::Type;
use crate::value::{Kind, Value};

/// Stores of secrets and settings. Whatever they answer is sensitive.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "aws_secretsmanager",
        doc: "One value of a secret in AWS Secrets Manager that is a JSON object; with a null key its only value. \
              Sensitive.",
        parameters: &[text("name"), text("key").or_null()],
        variadic: None,
        result: "string",
        examples: &[("can(aws_secretsmanager(null, null))", "false")],
        run: Run::Plain(|call| secret(call, "aws_secretsmanager")),
    },
    Function {
        name: "aws_secretsmanager_raw",
        doc: "A whole secret in AWS Secrets Manager, as it is. Sensitive.",
        parameters: &[text("name")],
        variadic: None,
        result: "string",
        examples: &[("can(aws_secretsmanager_raw(null))", "false")],
        run: Run::Plain(|call| secret(call, "aws_secretsmanager_raw")),
    },
    Function {
        name: "consul_key",
        doc: "The value of a key in Consul's store, by the environment variables that Consul's own tools read. Sensitive.",
        parameters: &[text("key")],
        variadic: None,
        result: "string",
        examples: &[("can(consul_key(null))", "false")],
        run: Run::Plain(|call| secret(call, "consul_key")),
    },
    Function {
        name: "vault",
        doc: "One value of a secret in Vault, by `VAULT_TOKEN` and the other environment variables that Vault's own tools \
              read. Sensitive.",
        parameters: &[text("path"), text("key")],
        variadic: None,
        result: "string",
        examples: &[("can(vault(null, \"key\"))", "false")],
        run: Run::Plain(|call| secret(call, "vault")),
    },
];

/// What can be called in the default of a variable only.
pub(super) static VARIABLE_DEFAULTS: &[Function] = &[Function {
    name: "env",
    doc: "The value of an environment variable, empty when it is not set. Only in the default of a variable.",
    parameters: &[text("name")],
    variadic: None,
    result: "string",
    examples: &[("env(\"HOME\")", "/home/me")],
    run: Run::Plain(|call| ask(call, "env")),
}];

fn secret(call: &Call<'_>, function: &str) -> Result<Value, FunctionError> {
    Ok(ask(call, function)?.with_marks(Marks::SENSITIVE))
}

fn ask(call: &Call<'_>, function: &str) -> Result<Value, FunctionError> {
    let answer = call.surroundings.world.ask(function, call.arguments).map_err(failed)?;
    // Nothing more than that it will be text is known of an answer that has to be fetched.
    Ok(if matches!(answer.kind, Kind::Unknown(_)) {
        Value::unknown(Type::String)
    } else {
        answer
    })
}
