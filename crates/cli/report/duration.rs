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
}
