//! `yamldecode` and `yamlencode`.

mod decode;
mod encode;
mod scalar;

use super::arguments::{any, failed, text};
use super::{Call, Function, FunctionError, Returns, Run};
use crate::types::Type;
use crate::value::{Kind, Value};

/// YAML.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "yamldecode",
        doc: "The value of a YAML document. As in YAML 1.1, plain `yes`, `on` and `y` are true, `no`, `off` \
              and `n` false, also as keys of a mapping. Timestamps become RFC 3339 strings.",
        parameters: &[text("yaml")],
        variadic: None,
        result: Returns::ANY,
        examples: &[(
            "jsonencode(yamldecode(\"a: [1, yes]\\nb: x\"))",
            "{\"a\":[1,true],\"b\":\"x\"}",
        )],
        run: Run::Plain(|call| {
            let value = decode::decode(call.text(0)?).map_err(failed)?;
            // A document that is null as a whole has always been taken for something not known yet.
            Ok(if matches!(value.kind, Kind::Null(Type::Dynamic)) {
                Value::dynamic()
            } else {
                value
            })
        }),
    },
    Function {
        name: "yamlencode",
        doc: "A value as a YAML document in block style: strings and keys in double quotes, strings of several lines as \
              literal blocks, long lines folded.",
        parameters: &[any("value").or_null()],
        variadic: None,
        result: Returns::STRING,
        examples: &[("yamlencode({a = [1, \"x\"]})", "\"a\":\n- 1\n- \"x\"\n")],
        run: Run::Plain(yamlencode),
    },
];

fn yamlencode(call: &Call<'_>) -> Result<Value, FunctionError> {
    let value = call.value(0)?;
    if !value.is_wholly_known() {
        return Ok(Value::unknown(Type::String));
    }
    encode::encode(value).map(Value::string).map_err(failed)
}
