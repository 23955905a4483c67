//! Durations in Go's notation: `1h30m`, `300ms`, `-1.5s`. `timeadd` reads them, and every duration option of a template.

use std::fmt;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing, a lone sign, or something that is not a number where a number belongs.
    #[error("`{0}` is not a duration")]
    Invalid(String),
    /// A number without a unit.
    #[error("`{0}` is not a duration: the unit is missing")]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("`{text}` is not a duration: there is no unit `{unit}`")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The unit as written.
        unit: String,
    },
    /// More than about 292 years.
    #[error("`{0}` is too long for a duration")]
    TooLong(String),
}

impl DurationError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        "write a number with a unit, such as \"300ms\", \"90s\", \"5m\" or \"1h30m\" (units: ns, us, ms, s, m, h)"
    }
}

/// Reads a duration as nanoseconds, negative ones after a minus sign. `0` needs no unit, anything else does.
///
/// # Errors
///
/// Another notation, and what is longer than about 292 years.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let Some(scale) = unit_of(unit) else {
            return Err(DurationError::UnknownUnit {
                text: text.to_owned(),
                unit: unit.to_owned(),
            });
        };
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| too_long())?
        };
        let part = whole
            .checked_mul(scale)
            .and_then(|part| part.checked_add(fraction_of(fraction, scale)));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        if total > 1 << 63 {
            return Err(too_long());
        }
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (false, Ok(total)) => Ok(total),
        (true, Ok(total)) => Ok(-total),
        (true, Err(_)) => Ok(i64::MIN),
        (false, Err(_)) => Err(too_long()),
    }
}

/// Nanoseconds of a unit.
fn unit_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // U+00B5 micro sign and U+03BC Greek letter mu
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.FRACTION × scale`, cut off below one nanosecond. Digits beyond the 18th cannot matter.
fn fraction_of(fraction: &str, scale: u64) -> u64 {
    let (mut value, mut power) = (0u128, 1u128);
    for digit in fraction.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        power *= 10;
    }
    u64::try_from(value * u128::from(scale) / power).unwrap_or(0)
}

/// Writes nanoseconds in the canonical form: `1m0s`, `1.5s`, `100ms`, `0s`.
///
/// # Errors
///
/// Those of the formatter.
pub fn write(nanoseconds: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total = nanoseconds.unsigned_abs();
    if nanoseconds < 0 {
        f.write_str("-")?;
    }
    let fraction = |f: &mut fmt::Formatter<'_>, value: u64, scale: u64, unit: &str| {
        let width = scale.ilog10() as usize;
        let below = format!("{:0width$}", value % scale);
        let below = if scale == 1 { "" } else { below.trim_end_matches('0') };
        let point = if below.is_empty() { "" } else { "." };
        write!(f, "{}{point}{below}{unit}", value / scale)
    };
    match total {
        0 => f.write_str("0s"),
        1..1_000 => write!(f, "{total}ns"),
        1_000..1_000_000 => fraction(f, total, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => fraction(f, total, 1_000_000, "ms"),
        _ => {
            let minutes = total / 60_000_000_000;
            if minutes >= 60 {
                write!(f, "{}h", minutes / 60)?;
            }
            if minutes > 0 {
                write!(f, "{}m", minutes % 60)?;
            }
            fraction(f, total % 60_000_000_000, 1_000_000_000, "s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        for (written, nanoseconds) in [
            ("1h30m5s", 5_405_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            (".5s1.µs", 500_001_000),
            ("+0", 0),
            ("1.0000000000000000000000000000000000000001s", 1_000_000_000),
        ] {
            assert_eq!(parse(written), Ok(nanoseconds), "{written}");
        }
        for wrong in [
            "1",
            "1x",
            "1h 5m",
            "1.2.3s",
            "300000000h",
            "99999999999999999999999999999999999999999s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
