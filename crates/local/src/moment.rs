//! Points in time as the state directory keeps them and as the API writes them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) fn now() -> Moment {
        Moment(Timestamp::now().as_millisecond())
    }

    /// Reads an ISO 8601 instant (`2027-01-01T00:00:00Z`), as clients send them.
    pub(crate) fn parse(text: &str) -> Option<Moment> {
        text.parse::<Timestamp>()
            .ok()
            .map(|timestamp| Moment(timestamp.as_millisecond()))
    }

    /// Reads `YYYYMMDDThhmmssZ`, as signatures have it.
    pub(crate) fn parse_basic(text: &str) -> Option<Moment> {
        let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
        let is_whole = text.len() == "20261121T073000Z".len();
        let timestamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        is_whole.then(|| Moment(timestamp.as_millisecond()))
    }

    pub(crate) fn plus(self, duration: Duration) -> Moment {
        Moment(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Returns seconds since 1970, as JSON APIs have them.
    pub(crate) fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// Returns how many seconds have passed from `earlier` to here; negative when it was later.
    pub(crate) fn seconds_since(self, earlier: Moment) -> i64 {
        (self.0 - earlier.0) / 1000
    }
}

impl std::fmt::Display for Moment {
    /// `2026-11-21T07:30:00.000Z`
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let timestamp = Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(formatter, "{}", timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_milliseconds_and_read_back() {
        let moment = Moment::parse("2026-11-21T07:30:00.5Z").unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T07:30:00.500Z");
        assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        assert_eq!(Moment::parse("yesterday"), None);
        let basic = Moment::parse_basic("20261121T073000Z").unwrap();
        assert_eq!(basic.to_string(), "2026-11-21T07:30:00.000Z");
        for text in [
            "",
            "20261121",
            "2026112T0730000Z",
            "20261121T073000",
            "20261321T073000Z",
            "99991121T073000Z\n",
        ] {
            assert_eq!(Moment::parse_basic(text), None, "{text}");
        }
    }
}
