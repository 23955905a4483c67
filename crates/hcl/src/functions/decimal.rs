//! Decimal digits of numbers, and the ways to write them: `%f`, `%e`, `%g`.

use dashu_int::UBig;

use crate::number::Number;

/// `0.DIGITS × 10^point`, without zeros at either end; no digits at all for zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digits {
    digits: String,
    point: i64,
}

impl Digits {
    /// All digits of a number's magnitude; `None` for an infinity.
    pub(super) fn exact(number: &Number) -> Option<Self> {
        let (mantissa, exponent) = number.mantissa_and_exponent()?;
        let power = usize::try_from(exponent.unsigned_abs()).ok()?;
        if exponent >= 0 {
            return Some(Self::normal(&(mantissa << power).to_string(), 0));
        }
        Some(Self::normal(
            &(mantissa * UBig::from(5u8).pow(power)).to_string(),
            exponent,
        ))
    }

    /// As few digits as identify the number at its own precision; `None` for an infinity.
    pub(super) fn shortest(number: &Number) -> Option<Self> {
        number.mantissa_and_exponent()?;
        let text = number.abs().to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        Some(Self::normal(&format!("{whole}{fraction}"), -length(fraction)))
    }

    /// `TEXT × 10^exponent`
    fn normal(text: &str, exponent: i64) -> Self {
        let significant = text.trim_start_matches('0');
        let digits = significant.trim_end_matches('0').to_owned();
        let point = if digits.is_empty() {
            0
        } else {
            length(significant) + exponent
        };
        Self { digits, point }
    }

    /// At most that many digits, rounded; half goes to the even digit.
    fn rounded(&self, count: i64) -> Self {
        let Ok(kept) = usize::try_from(count) else {
            return Self {
                digits: String::new(),
                point: 0,
            };
        };
        let Some((head, tail)) = self.digits.split_at_checked(kept) else {
            return self.clone();
        };
        if tail.is_empty() {
            return self.clone();
        }
        let odd = head.bytes().last().is_some_and(|digit| digit % 2 == 1);
        let up = match tail.as_bytes() {
            [b'5'] => odd,
            [first, ..] => *first >= b'5',
            [] => false,
        };
        if !up {
            return Self::normal(head, self.point - count);
        }
        let mut raised: Vec<u8> = std::iter::once(b'0').chain(head.bytes()).collect();
        for digit in raised.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
        let raised: String = raised.into_iter().map(char::from).collect();
        Self::normal(&raised, self.point - count)
    }

    /// The digit at a place after (or, below zero, before) the first one; zeros go on for ever.
    fn run(&self, from: i64, count: usize) -> String {
        let mut run = String::with_capacity(count);
        for place in (from..).take(count) {
            let digit = usize::try_from(place)
                .ok()
                .and_then(|place| self.digits.as_bytes().get(place));
            run.push(char::from(digit.copied().unwrap_or(b'0')));
        }
        run
    }

    /// With that many digits after the point.
    pub(super) fn fixed(&self, precision: usize) -> String {
        let rounded = self.rounded(self.point.saturating_add(size(precision)));
        let whole = usize::try_from(rounded.point).unwrap_or(0).max(1);
        let fraction = rounded.run(rounded.point, precision);
        let whole = rounded.run(rounded.point - size(whole), whole);
        if precision == 0 {
            whole
        } else {
            format!("{whole}.{fraction}")
        }
    }

    /// `d.ddde+dd` with that many digits after the point.
    pub(super) fn scientific(&self, precision: usize, letter: char) -> String {
        let rounded = self.rounded(size(precision).saturating_add(1));
        let exponent = if rounded.digits.is_empty() {
            0
        } else {
            rounded.point - 1
        };
        let sign = if exponent < 0 { '-' } else { '+' };
        let fraction = if precision == 0 {
            String::new()
        } else {
            format!(".{}", rounded.run(1, precision))
        };
        format!("{}{fraction}{letter}{sign}{:02}", rounded.run(0, 1), exponent.abs())
    }

    /// With that many digits, or all there are, and an exponent only where the number is small or large.
    pub(super) fn general(&self, precision: Option<usize>, letter: char) -> String {
        let rounded = match precision {
            Some(precision) => self.rounded(size(precision.max(1))),
            None => self.clone(),
        };
        let count = rounded.digits.len();
        let limit = match precision {
            // Zeros at the end of an integer are no reason for an exponent, digits that are there are none either.
            Some(precision) if precision > count && size(count) >= rounded.point => size(count),
            Some(precision) => size(precision.max(1)),
            None => 6,
        };
        let exponent = rounded.point - 1;
        if !rounded.digits.is_empty() && (exponent < -4 || exponent >= limit) {
            return rounded.scientific(count.saturating_sub(1), letter);
        }
        rounded.fixed(usize::try_from(size(count) - rounded.point).unwrap_or(0))
    }
}

fn length(text: &str) -> i64 {
    size(text.len())
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Digits {
        Digits::exact(&Number::from_text(text).unwrap()).unwrap()
    }

    #[test]
    fn ways_to_write() {
        assert_eq!(digits("2.5").fixed(0), "2");
        assert_eq!(digits("3.5").fixed(0), "4");
        assert_eq!(digits("0.5").fixed(0), "0");
        assert_eq!(digits("0.75").fixed(0), "1");
        assert_eq!(digits("99.99").fixed(1), "100.0");
        assert_eq!(digits("0.001").fixed(2), "0.00");
        assert_eq!(digits("0").scientific(6, 'e'), "0.000000e+00");
        assert_eq!(digits("9.99").scientific(1, 'E'), "1.0E+01");
        assert_eq!(digits("1e100").scientific(0, 'e'), "1e+100");
        assert_eq!(digits("0.00001").general(Some(3), 'e'), "1e-05");
        assert_eq!(digits("123456").general(Some(3), 'e'), "1.23e+05");
        assert_eq!(digits("100").general(Some(10), 'e'), "100");
        assert_eq!(digits("0").general(None, 'e'), "0");
    }
}
