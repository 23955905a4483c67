//! Durations in Go's notation: `1h30m`, `-1.5s`, `0`.

use jiff::SignedDuration;

use super::arguments::shown;

const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A sequence of decimal numbers with units, with an optional sign; the error is a fragment.
pub(super) fn parse(written: &str) -> Result<SignedDuration, String> {
    read(written).ok_or_else(|| format!("{} is not a duration like `1h30m` or `-10s`", shown(written)))
}

fn read(written: &str) -> Option<SignedDuration> {
    let negative = written.starts_with('-');
    let mut rest = written.strip_prefix(['-', '+']).unwrap_or(written);
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let number = rest.get(..rest.find(|next: char| !next.is_ascii_digit() && next != '.')?)?;
        rest = rest.strip_prefix(number)?;
        let unit = rest.get(
            ..rest
                .find(|next: char| next.is_ascii_digit() || next == '.')
                .unwrap_or(rest.len()),
        )?;
        rest = rest.strip_prefix(unit)?;
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *nanoseconds)?)?;
    }
    let total = i64::try_from(if negative { -total } else { total }).ok()?;
    Some(SignedDuration::from_nanos(total))
}

/// A decimal number times a unit, cut to whole nanoseconds.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<i128>().ok()
        }
    };
    // Digits beyond the 15th are less than a nanosecond in any unit.
    let fraction = fraction.get(..fraction.len().min(15))?;
    let power = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    digits(whole)?
        .checked_mul(unit)?
        .checked_add(digits(fraction)? * unit / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        let nanoseconds = |written: &str| parse(written).unwrap().as_nanos();
        assert_eq!(nanoseconds("1h30m5s"), 5_405_000_000_000);
        assert_eq!(nanoseconds("-1.5h"), -5_400_000_000_000);
        assert_eq!(nanoseconds(".5s1.µs"), 500_001_000);
        assert_eq!(nanoseconds("+0"), 0);
        for wrong in [
            "",
            "1",
            "-",
            "s",
            ".s",
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
