//! What a scalar stands for: a string, a number, a boolean, a timestamp.

use dashu_int::UBig;

use super::super::encoding::decode_base64;
use super::super::time::Moment;
use crate::number::Number;
use crate::types::Type;
use crate::value::Value;

/// The value of a scalar by its tag (of YAML's own, without prefix) or, when it has none, by how it looks; what is quoted
/// is text.
pub(super) fn resolve(text: &str, is_quoted: bool, tag: Option<&str>) -> Result<Value, String> {
    if !matches!(tag, Some("str" | "binary")) && may_mean_something(text) {
        if is_quoted {
            return Ok(Value::string(text));
        }
        if let Some(value) = by_looks(text, tag)? {
            return Ok(value);
        }
    }
    let wrong = |tag: &str| format!("`{text}` is not a value of type `!!{tag}`");
    match tag {
        None | Some("str") => Ok(Value::string(text)),
        Some("binary") => match decode_base64(text) {
            Ok(_) => Ok(Value::string(text)),
            Err(_) => Err(wrong("binary")),
        },
        Some("bool") => truth(text).map(Value::bool).ok_or_else(|| wrong("bool")),
        Some(tag @ ("int" | "float")) => tagged_number(text).map(Value::number).ok_or_else(|| wrong(tag)),
        Some("timestamp") => timestamp(text).map(Value::string).ok_or_else(|| wrong("timestamp")),
        Some("null") => Ok(Value::null(Type::Dynamic)),
        Some(other) => Err(format!("the tag `!!{other}` is not supported")),
    }
}

/// By its first character, a scalar may be something else than text.
fn may_mean_something(text: &str) -> bool {
    text.chars()
        .next()
        .is_none_or(|first| first.is_ascii_digit() || "+-.~yYnNtTfFoO".contains(first))
}

/// `None` when it looks like text.
fn by_looks(text: &str, tag: Option<&str>) -> Result<Option<Value>, String> {
    if let Some(value) = word(text) {
        return Ok(Some(value));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("there is no value for a floating point number that is none".to_owned());
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
        if matches!(tag, None | Some("timestamp"))
            && let Some(moment) = timestamp(text)
        {
            return Ok(Some(Value::string(moment)));
        }
        let plain = text.replace('_', "");
        if let Some(number) = Number::from_text(&plain).or_else(|| binary(&plain)) {
            return Ok(Some(Value::number(number)));
        }
        if plain.starts_with("0b") || plain.starts_with("-0b") {
            return Err(format!("`{text}` is not a binary number"));
        }
        return Ok(None);
    }
    Ok(if text.starts_with('.') {
        Number::from_text(text).map(Value::number)
    } else {
        None
    })
}

/// Words with a meaning.
fn word(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::null(Type::Dynamic),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::number(Number::infinity(false)),
        "-.inf" | "-.Inf" | "-.INF" => Value::number(Number::infinity(true)),
        _ => Value::bool(truth(text)?),
    })
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A scalar tagged as a number may also be written in another base.
fn tagged_number(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let in_base = |prefix: &str, base: u32| {
        let digits = digits.to_ascii_lowercase();
        let magnitude = u64::from_str_radix(digits.strip_prefix(prefix)?, base).ok()?;
        Some(Number::from_integer(negative, UBig::from(magnitude)))
    };
    let other_base = || in_base("0x", 16).or_else(|| in_base("0o", 8));
    Number::from_text(&plain).or_else(other_base).or_else(|| binary(&plain))
}

/// `0b101` or `-0b101`
fn binary(plain: &str) -> Option<Number> {
    let (negative, digits) = match plain.strip_prefix("-0b") {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix("0b")?),
    };
    if !digits.bytes().all(|digit| matches!(digit, b'0' | b'1')) {
        return None;
    }
    Some(Number::from_integer(
        negative,
        UBig::from(u64::from_str_radix(digits, 2).ok()?),
    ))
}

/// A date, a date and a time after a space (in UTC), or RFC 3339 with numbers of one digit allowed and fractions dropped.
fn timestamp(text: &str) -> Option<String> {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, Some(text.get(at..)?)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || parts.next().is_some() {
        return None;
    }
    let date = format!("{year}-{month:0>2}-{day:0>2}");
    let Some(time) = time else {
        return Some(Moment::parse(&format!("{date}T00:00:00Z")).ok()?.rfc3339());
    };
    let in_utc = time.starts_with(' ');
    let time = time.get(1..)?;
    let clock_end = if in_utc {
        time.len()
    } else {
        time.find(['Z', '+', '-'])?
    };
    let (clock, zone) = time.split_at_checked(clock_end)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || hour.is_empty() || minute.is_empty() {
        return None;
    }
    let (whole, fraction) = second.split_at_checked(second.find('.').unwrap_or(second.len()))?;
    let zone = if in_utc { "Z" } else { zone };
    let moment = Moment::parse(&format!("{date}T{hour:0>2}:{minute:0>2}:{whole:0>2}{fraction}{zone}"));
    Some(moment.ok()?.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        resolve(text, false, None).map_or_else(|error| error, |value| value.to_string())
    }

    #[test]
    fn looks() {
        let cases = [
            ("yes", "true"),
            ("Off", "false"),
            ("yEs", "\"yEs\""),
            ("~", "null"),
            ("", "null"),
            ("017", "17"),
            ("1_000", "1000"),
            ("0b11", "3"),
            ("-0b11", "-3"),
            ("0b12", "`0b12` is not a binary number"),
            ("0x1f", "\"0x1f\""),
            ("0o17", "\"0o17\""),
            ("1e3", "1000"),
            ("1.", "1"),
            (".5", "0.5"),
            ("+1", "1"),
            ("-", "\"-\""),
            ("-.inf", "-Inf"),
            ("NaN", "\"NaN\""),
            ("1.2.3", "\"1.2.3\""),
            ("x1", "\"x1\""),
            ("2001-12-14t21:59:43.10-05:00", "\"2001-12-14T21:59:43-05:00\""),
            ("2001-12-15 2:59:43.10", "\"2001-12-15T02:59:43Z\""),
            ("2002-1-4", "\"2002-01-04T00:00:00Z\""),
            ("2002-12-14x", "\"2002-12-14x\""),
            ("2002-13-14", "\"2002-13-14\""),
        ];
        for (text, shown) in cases {
            assert_eq!(plain(text), shown, "{text}");
        }
    }

    #[test]
    fn tags() {
        let tagged = |tag, text| resolve(text, false, Some(tag)).map(|value| value.to_string());
        assert_eq!(tagged("str", "yes").unwrap(), "\"yes\"");
        assert_eq!(tagged("int", "0x1f").unwrap(), "31");
        assert_eq!(tagged("null", "x").unwrap(), "null");
        assert_eq!(resolve("5", true, Some("int")).unwrap().to_string(), "\"5\"");
        for (tag, text) in [
            ("int", "x"),
            ("bool", "x"),
            ("binary", "%"),
            ("timestamp", "x"),
            ("foo", "x"),
        ] {
            assert!(tagged(tag, text).is_err(), "{tag}");
        }
    }
}
