//! The type of duration options: read from and written in Go's notation (`1h30m`, `300ms`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bakelite_hcl::duration;
pub use bakelite_hcl::duration::DurationError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration option: nanoseconds, possibly negative, read from and written as Go's syntax.
///
/// `"90s"` reads as one and a half minutes and prints as `1m30s`; `"0"` needs no unit, anything else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration {
    nanoseconds: i64,
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

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        duration::parse(text).map(Self::from_nanoseconds)
    }
}

impl fmt::Display for GoDuration {
    /// Canonical: `1m0s`, `1.5s`, `100ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        duration::write(self.nanoseconds, f)
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
