//! Durations in Go's syntax (`1h30m`, `300ms`), which every duration option of a template uses: parsed, printed in canonical form,
//! and as a newtype for options structs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration option: nanoseconds, possibly negative, read from and written as Go's syntax.
///
/// `"90s"` reads as one and a half minutes and prints as `1m30s`; `"0"` needs no unit, anything else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration {
    nanoseconds: i64,
}

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

impl GoDuration {
    /// From whole seconds.
    pub const fn from_seconds(seconds: u32) -> Self {
        Self {
            nanoseconds: seconds as i64 * 1_000_000_000,
        }
    }

    /// From nanoseconds.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// Nanoseconds, negative for a duration with a minus sign.
    pub const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// As a span of time; a negative duration is none.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }

    /// Is it exactly zero?
    pub const fn is_zero(self) -> bool {
        self.nanoseconds == 0
    }
}

impl From<Duration> for GoDuration {
    /// A span longer than 292 years becomes the longest duration there is.
    fn from(span: Duration) -> Self {
        Self {
            nanoseconds: i64::try_from(span.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.to_std()
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

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let too_long = || DurationError::TooLong(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::default());
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
        let nanoseconds = match (negative, i64::try_from(total)) {
            (false, Ok(total)) => total,
            (true, Ok(total)) => -total,
            (true, Err(_)) => i64::MIN,
            (false, Err(_)) => return Err(too_long()),
        };
        Ok(Self { nanoseconds })
    }
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

impl fmt::Display for GoDuration {
    /// Canonical: `1m0s`, `1.5s`, `100ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
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
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "go-duration" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<String, DurationError> {
        text.parse::<GoDuration>().map(|duration| duration.to_string())
    }

    #[test]
    fn durations_print_in_canonical_form() {
        for (text, printed) in [
            ("0", "0s"),
            ("90s", "1m30s"),
            ("1m", "1m0s"),
            ("100ms", "100ms"),
            ("1.5s", "1.5s"),
            ("1h30m", "1h30m0s"),
            ("-1.5h", "-1h30m0s"),
            (".5s", "500ms"),
            ("5.s", "5s"),
            ("1us", "1\u{b5}s"),
            ("1500ns", "1.5\u{b5}s"),
            ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
            ("+5m", "5m0s"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_says_why() {
        assert_eq!(parse("5"), Err(DurationError::MissingUnit("5".into())));
        assert_eq!(
            parse("5 m"),
            Err(DurationError::UnknownUnit {
                text: "5 m".into(),
                unit: " m".into()
            })
        );
        assert_eq!(
            parse("1d"),
            Err(DurationError::UnknownUnit {
                text: "1d".into(),
                unit: "d".into()
            })
        );
        for text in ["", "-", ".s", "abc", "s"] {
            assert_eq!(parse(text), Err(DurationError::Invalid(text.into())), "{text}");
        }
        assert_eq!(
            parse("9223372036854775808ns"),
            Err(DurationError::TooLong("9223372036854775808ns".into()))
        );
    }

    proptest! {
        #[test]
        fn parsing_undoes_printing(nanoseconds in any::<i64>()) {
            let duration = GoDuration::from_nanoseconds(nanoseconds);
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[-+.0-9a-zµ]*") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
