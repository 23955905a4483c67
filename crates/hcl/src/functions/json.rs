//! `jsonencode`, `jsondecode`, and JSON text of values for whoever else needs it.

use std::fmt::Write as _;

use super::arguments::{any, countable, failed, shown, text};
use super::{Call, Function, FunctionError, Returns, Run};
use crate::number::Number;
use crate::types::Type;
use crate::value::{Kind, Value};

/// JSON.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "jsondecode",
        doc: "The value of a JSON string. Numbers are exact; of a repeated name in an object the last counts.",
        parameters: &[text("json")],
        variadic: None,
        result: Returns::ANY,
        examples: &[("jsondecode(\"{\\\"a\\\": [1, 2.5]}\").a[1]", "2.5")],
        run: Run::Plain(jsondecode),
    },
    Function {
        name: "jsonencode",
        doc: "A value as a JSON string without spaces, names sorted. The characters `<`, `>` and `&` are escaped, so that the \
              result is safe in HTML.",
        parameters: &[any("value").or_null()],
        variadic: None,
        result: Returns::STRING,
        examples: &[("jsonencode({b = [1, null], a = \"x\"})", "{\"a\":\"x\",\"b\":[1,null]}")],
        run: Run::Plain(jsonencode),
    },
];

fn jsondecode(call: &Call<'_>) -> Result<Value, FunctionError> {
    let json = call.text(0)?;
    // Each of its values begins after one of these.
    countable(json.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count())?;
    decode(json).map_err(failed)
}

fn jsonencode(call: &Call<'_>) -> Result<Value, FunctionError> {
    let value = call.value(0)?;
    if !value.is_wholly_known() {
        return Ok(Value::unknown(Type::String));
    }
    Ok(Value::string(encode(value).map_err(|error| failed(error.to_string()))?))
}

/// No JSON text is made longer than this, in bytes.
const LONGEST: usize = 32 << 20;

/// What JSON cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// `1/0`
    #[error("infinity cannot be written in JSON")]
    Infinity,
    /// A value that has to be fetched first.
    #[error("a value that is not known yet cannot be written in JSON")]
    Unknown,
    /// Members that are shared, or numbers of thousands of digits, make more text than memory holds.
    #[error("the JSON text of this value would be longer than {LONGEST} bytes")]
    TooLong,
}

/// A value as JSON text: no spaces, names in byte order.
pub fn encode(value: &Value) -> Result<String, EncodeError> {
    let mut json = String::new();
    write(value, &mut json)?;
    Ok(json)
}

fn write(value: &Value, json: &mut String) -> Result<(), EncodeError> {
    if json.len() > LONGEST {
        return Err(EncodeError::TooLong);
    }
    match &value.kind {
        Kind::Null(_) => json.push_str("null"),
        Kind::Unknown(_) => return Err(EncodeError::Unknown),
        Kind::Bool(truth) => json.push_str(if *truth { "true" } else { "false" }),
        Kind::Number(number) if number.is_infinite() => return Err(EncodeError::Infinity),
        Kind::Number(number) => json.push_str(&number.to_string()),
        Kind::String(text) => quote_into(text, json),
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            json.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                write(element, json)?;
            }
            json.push(']');
        }
        Kind::Map(_, members) | Kind::Object(members) => {
            json.push('{');
            for (place, (name, member)) in members.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                quote_into(name, json);
                json.push(':');
                write(member, json)?;
            }
            json.push('}');
        }
    }
    Ok(())
}

/// Text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    quote_into(text, &mut json);
    json
}

fn quote_into(text: &str, json: &mut String) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

/// The value that a JSON text stands for; the error is a fragment that names line and column.
pub fn decode(json: &str) -> Result<Value, String> {
    let parsed: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    value_of(&parsed)
}

fn value_of(parsed: &serde_json::Value) -> Result<Value, String> {
    Ok(match parsed {
        serde_json::Value::Null => Value::null(Type::Dynamic),
        serde_json::Value::Bool(truth) => Value::bool(*truth),
        // JSON's grammar of numbers is a part of the language's.
        serde_json::Value::Number(number) => {
            let text = number.to_string();
            Value::number(
                Number::from_text(&text).ok_or_else(|| format!("the number {} is out of range", shown(&text)))?,
            )
        }
        serde_json::Value::String(text) => Value::string(text),
        serde_json::Value::Array(elements) => {
            let elements: Result<Vec<Value>, String> = elements.iter().map(value_of).collect();
            Value::tuple(elements?)
        }
        serde_json::Value::Object(members) => {
            let members = members.iter().map(|(name, member)| Ok((name, value_of(member)?)));
            Value::object(members.collect::<Result<Vec<_>, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(decode(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn numbers_keep_every_digit() {
        let digits = "123456789012345678901234567890.123456789";
        assert_eq!(encode(&decode(digits).unwrap()).unwrap(), digits);
        assert_eq!(
            encode(&decode("[-0,1E5,1e-7]").unwrap()).unwrap(),
            "[-0,100000,0.0000001]"
        );
        assert!(decode("1e999999999").is_err());
        assert_eq!(
            encode(&Value::number(Number::infinity(false))),
            Err(EncodeError::Infinity)
        );
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(
            quote("<a href=\"x\">\u{2028}\u{7f}\u{1}"),
            "\"\\u003ca href=\\\"x\\\"\\u003e\\u2028\u{7f}\\u0001\""
        );
    }
}
