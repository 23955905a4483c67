//! Durations as the closing lines have them: the two largest units, in words.

use std::time::Duration;

/// `1 second 820 milliseconds`, `2 minutes 3 seconds`; units that are zero are left out.
pub(super) fn words(duration: Duration) -> String {
    const UNITS: [(&str, u128); 7] = [
        ("week", 604_800_000_000),
        ("day", 86_400_000_000),
        ("hour", 3_600_000_000),
        ("minute", 60_000_000),
        ("second", 1_000_000),
        ("millisecond", 1000),
        ("microsecond", 1),
    ];
    let mut left = duration.as_micros();
    let mut words = Vec::new();
    for (unit, length) in UNITS {
        let count = left / length;
        left %= length;
        if count > 0 {
            words.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    words.truncate(2);
    if words.is_empty() {
        "0 microseconds".into()
    } else {
        words.join(" ")
    }
}

/// To the second: `9s`, `1m 12s`, `2h 05m`.
pub(super) fn brief(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// To the tenth of a second below an hour: `0.3s`, `1m 12.0s`, `2h 05m`.
pub(super) fn precise(duration: Duration) -> String {
    // Rounded first, so that 59.96 s are a minute.
    let tenths = (duration.as_millis() + 50) / 100;
    match tenths {
        0..600 => format!("{}.{}s", tenths / 10, tenths % 10),
        600..36_000 => format!("{}m {:02}.{}s", tenths / 600, tenths / 10 % 60, tenths % 10),
        _ => brief(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_largest_units() {
        let cases = [
            (1_820_113, "1 second 820 milliseconds"),
            (6_403, "6 milliseconds 403 microseconds"),
            (123_000_000, "2 minutes 3 seconds"),
            (3_600_000_001, "1 hour 1 microsecond"),
            (0, "0 microseconds"),
        ];
        for (micros, expected) in cases {
            assert_eq!(words(Duration::from_micros(micros)), expected);
        }
    }

    #[test]
    fn short_durations_have_their_units() {
        let of = |milliseconds| Duration::from_millis(milliseconds);
        assert_eq!(
            [9_999, 72_000, 7_512_000].map(|one| brief(of(one))),
            ["9s", "1m 12s", "2h 05m"]
        );
        let precisely = [250, 59_960, 72_040, 7_512_000].map(|one| precise(of(one)));
        assert_eq!(precisely, ["0.3s", "1m 00.0s", "1m 12.0s", "2h 05m"]);
    }
}
