//! How values, numbers and strings are printed: as Packer's console prints values, and as Go prints numbers and quotes strings.

use std::fmt::Write as _;

use bakelite_hcl::number::Number;
use bakelite_hcl::value::{Kind, Value};

/// A value as `console` shows it: strings bare at the top and quoted inside, collections over several lines, `<unknown>` for all of
/// it when any part is not known.
pub fn display(value: &Value) -> String {
    display_with(value, &|text| text.to_owned())
}

/// What is done to a string before it is printed, and quoted.
type Shown<'s> = &'s dyn Fn(&str) -> String;

/// The same with every string in it put through `shown` first: secrets are masked while they are still what they are.
pub(crate) fn display_with(value: &Value, shown: Shown<'_>) -> String {
    if has_unknown(value) {
        return "<unknown>".to_owned();
    }
    if let Kind::String(text) = &value.kind {
        shown(text)
    } else {
        let mut out = String::new();
        write_nested(value, shown, 0, &mut out);
        out
    }
}

fn has_unknown(value: &Value) -> bool {
    match &value.kind {
        Kind::Unknown(_) => true,
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => elements.iter().any(has_unknown),
        Kind::Map(_, members) | Kind::Object(members) => members.values().any(has_unknown),
        Kind::Null(_) | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => false,
    }
}

fn write_nested(value: &Value, shown: Shown<'_>, depth: usize, out: &mut String) {
    match &value.kind {
        Kind::Null(_) => out.push_str("null"),
        Kind::Unknown(_) => out.push_str("<unknown>"),
        Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Kind::Number(number) => out.push_str(&shown(&display_number(number))),
        Kind::String(text) => out.push_str(&quote(&shown(text))),
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            if elements.is_empty() {
                out.push_str("[]");
                return;
            }
            out.push_str("[\n");
            for element in elements.iter() {
                indent(depth + 1, out);
                write_nested(element, shown, depth + 1, out);
                out.push_str(",\n");
            }
            indent(depth, out);
            out.push(']');
        }
        Kind::Map(_, members) | Kind::Object(members) => {
            let mut present = members
                .iter()
                .filter(|(_, member)| !matches!(member.kind, Kind::Null(_)))
                .peekable();
            if present.peek().is_none() {
                out.push_str("{}");
                return;
            }
            out.push_str("{\n");
            for (name, member) in present {
                indent(depth + 1, out);
                out.push_str(&quote(&shown(name)));
                out.push_str(" = ");
                write_nested(member, shown, depth + 1, out);
                out.push('\n');
            }
            indent(depth, out);
            out.push('}');
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A number as `console` shows it: whole numbers of up to 64 bits by their digits, anything else as a 64-bit float in Go's `%g`.
pub(crate) fn display_number(number: &Number) -> String {
    match number.to_i64() {
        Some(whole) => whole.to_string(),
        None => general(number.to_f64()),
    }
}

/// Go's `%g` of a 64-bit float: the shortest digits that identify it, with an exponent below 1e-04 and from 1e+06 on.
pub(crate) fn general(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// Text as Go's `%q` writes it: double quotes, `\n`-like escapes, `\x` and `\u` for what cannot be printed.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            _ if is_printable(c) => out.push(c),
            _ => {
                let code = u32::from(c);
                let _ = match code {
                    0..0x80 => write!(out, "\\x{code:02x}"),
                    0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// Letters, marks, digits, punctuation, symbols and the plain space. The letter in front keeps marks from being taken for
/// unprintable.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let text: String = ['a', c].into_iter().collect();
    text.escape_debug().eq(text.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shown_as_go_shows_them() {
        for (value, shown) in [
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1e-7, "1e-07"),
            (123_456_789.125, "1.23456789125e+08"),
            (123_456.5, "123456.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(value), shown);
        }
    }

    #[test]
    fn quoting_keeps_what_can_be_printed() {
        assert_eq!(quote("a\"b\\\n\t"), r#""a\"b\\\n\t""#);
        assert_eq!(
            quote("é日\u{301}\u{a0}\u{1}\u{7f}\u{1f600}"),
            "\"é日\u{301}\\u00a0\\x01\\x7f\u{1f600}\""
        );
    }

    #[test]
    fn values_are_shown_as_console_shows_them() {
        let value = Value::object([
            (
                "list",
                Value::tuple(vec![
                    Value::int(1),
                    Value::string("x"),
                    Value::null(bakelite_hcl::types::Type::Dynamic),
                ]),
            ),
            ("none", Value::null(bakelite_hcl::types::Type::Dynamic)),
            ("empty", Value::object(Vec::<(&str, Value)>::new())),
        ]);
        insta::assert_snapshot!(display(&value));
        assert_eq!(display(&Value::string("a\"b")), "a\"b");
        assert_eq!(display(&Value::tuple(vec![Value::dynamic()])), "<unknown>");
    }
}
