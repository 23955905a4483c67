//! Functions that write text in other ways: base64, gzip, URL, character encodings.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use super::arguments::{failed, shown, text, wrong};
use super::charset::Charset;
use super::{Call, Function, FunctionError, Returns, Run, gzip};
use crate::value::Value;

/// Standard alphabet, padding required; unused bits at the end may be anything.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD_ALPHABET,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Encodings of text.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "base64decode",
        doc: "The string that is encoded in base64 (standard alphabet, with padding; line ends are skipped). It must be UTF-8.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("base64decode(\"SGVsbG8gV29ybGQ=\")", "Hello World")],
        run: Run::Plain(base64decode),
    },
    Function {
        name: "base64encode",
        doc: "A string as base64 of its UTF-8 bytes.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("base64encode(\"Hello World\")", "SGVsbG8gV29ybGQ=")],
        run: Run::Plain(|call| Ok(Value::string(encode_base64(call.text(0)?.as_bytes())))),
    },
    Function {
        name: "base64gzip",
        doc: "A string compressed with gzip, as base64; for `user_data` that a machine unpacks by itself.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("base64gzip(\"test\")", "H4sIAAAAAAAA/ypJLS4BAAAA//8BAAD//wx+f9gEAAAA")],
        run: Run::Plain(|call| Ok(Value::string(encode_base64(&gzip::compress(call.text(0)?.as_bytes()))))),
    },
    Function {
        name: "textdecodebase64",
        doc: "The string that is encoded in a character encoding (by its IANA name) and then in base64.",
        parameters: &[text("string"), text("encoding")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("textdecodebase64(\"SABlAGwAbABvAA==\", \"UTF-16LE\")", "Hello")],
        run: Run::Plain(textdecodebase64),
    },
    Function {
        name: "textencodebase64",
        doc: "A string in a character encoding (by its IANA name), as base64; Windows requires `UTF-16LE` for encoded commands.",
        parameters: &[text("string"), text("encoding")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("textencodebase64(\"Hello\", \"UTF-16LE\")", "SABlAGwAbABvAA==")],
        run: Run::Plain(textencodebase64),
    },
    Function {
        name: "urlencode",
        doc: "A string escaped for the query of a URL: a space becomes `+`.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("urlencode(\"a b/ç\")", "a+b%2F%C3%A7")],
        run: Run::Plain(|call| Ok(Value::string(encode_query(call.text(0)?)))),
    },
];

/// Bytes in base64: standard alphabet, with padding.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes of a base64 text, line ends skipped; the error is a fragment.
pub(super) fn decode_base64(encoded: &str) -> Result<Vec<u8>, String> {
    let dense: String = encoded
        .chars()
        .filter(|character| !matches!(character, '\r' | '\n'))
        .collect();
    BASE64.decode(dense).map_err(|error| match error {
        base64::DecodeError::InvalidPadding => {
            "the base64 text lacks its padding (`=` up to a multiple of four)".to_owned()
        }
        other => format!(
            "the text is not base64: {}",
            other.to_string().to_lowercase().trim_end_matches('.')
        ),
    })
}

fn base64decode(call: &Call<'_>) -> Result<Value, FunctionError> {
    let bytes = decode_base64(call.text(0)?).map_err(failed)?;
    let decoded = String::from_utf8(bytes).map_err(|error| {
        failed(format!(
            "what the base64 text stands for is not UTF-8 text: {}",
            error.utf8_error()
        ))
    })?;
    Ok(Value::string(decoded))
}

fn charset(call: &Call<'_>) -> Result<Charset, FunctionError> {
    let name = call.text(1)?;
    Charset::of_name(name).ok_or_else(|| wrong(1, format!("{} is no supported encoding's IANA name", shown(name))))
}

fn textencodebase64(call: &Call<'_>) -> Result<Value, FunctionError> {
    let charset = charset(call)?;
    let encoded = charset.encode(call.text(0)?).map_err(|letter| {
        wrong(
            0,
            format!(
                "the character {} is not in {}",
                shown(&letter.to_string()),
                charset.name()
            ),
        )
    })?;
    Ok(Value::string(encode_base64(&encoded)))
}

fn textdecodebase64(call: &Call<'_>) -> Result<Value, FunctionError> {
    let charset = charset(call)?;
    let bytes = decode_base64(call.text(0)?).map_err(|message| wrong(0, message))?;
    let decoded = charset
        .decode(&bytes)
        .ok_or_else(|| wrong(0, format!("what the base64 text stands for is not {}", charset.name())))?;
    Ok(Value::string(decoded))
}

/// Escapes a text for the query of a URL: everything but letters, digits and `-_.~`; a space becomes `+`.
pub fn encode_query(plain: &str) -> String {
    let mut encoded = String::with_capacity(plain.len());
    for byte in plain.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
