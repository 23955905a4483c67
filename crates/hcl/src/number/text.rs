//! Numbers from text and to text.

use std::fmt;

use dashu_int::UBig;
use dashu_int::ops::{BitTest as _, DivRem as _};

use super::arithmetic::long_quotient;
use super::{LITERAL_PRECISION, MAX_EXPONENT, Magnitude, Number, bit_length, shift_left};

impl Number {
    /// A literal: `digits[.digits][e[+-]digits]`, 512 bits. `None` also for one that is out of range.
    pub fn parse(text: &str) -> Option<Number> {
        let parts = Parts::of(text)?;
        let literal = !parts.whole.is_empty() && parts.fraction.is_none_or(|digits| !digits.is_empty());
        if literal { parts.number(false) } else { None }
    }

    /// A string converted to a number: like a literal, but with an optional sign, `.5`, `5.` and `Inf`. The whole text must be one.
    pub fn from_text(text: &str) -> Option<Number> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if matches!(rest, "Inf" | "inf") {
            return Some(Number {
                precision: LITERAL_PRECISION,
                ..Number::infinity(negative)
            });
        }
        Parts::of(rest)?.number(negative)
    }

    /// As `console` prints it: the digits of a 64-bit integer, else the nearest `f64` with the digits it needs, with an exponent
    /// below `0.0001` and from `1e+06` on.
    pub fn console(&self) -> String {
        match self.to_i64() {
            Some(whole) => whole.to_string(),
            None => shortest_float(self.to_f64()),
        }
    }
}

/// More digits than this cannot change how a number is rounded but by not being zero: between two numbers of 512 bits there is
/// always one with fewer.
const MOST_DIGITS: usize = 1 << 17;

/// A decimal number taken apart.
struct Parts<'a> {
    whole: &'a str,
    /// The digits after the point, when there is one.
    fraction: Option<&'a str>,
    exponent: i64,
}

impl<'a> Parts<'a> {
    /// An unsigned decimal number with at least one digit.
    fn of(text: &'a str) -> Option<Self> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, decimal_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let after = fraction.unwrap_or("");
        let all_digits = whole.bytes().chain(after.bytes()).all(|byte| byte.is_ascii_digit());
        (all_digits && whole.len() + after.len() > 0).then_some(Self {
            whole,
            fraction,
            exponent,
        })
    }

    /// `None` when it is out of range.
    fn number(&self, negative: bool) -> Option<Number> {
        let after = self.fraction.unwrap_or("");
        let digits = format!("{}{after}", self.whole);
        let digits = digits.trim_start_matches('0');
        let mut significant = digits.to_owned();
        if digits.len() > MOST_DIGITS {
            // Of all further digits only one thing matters for rounding: whether they are all zero.
            significant.truncate(MOST_DIGITS);
            let rest = digits.get(MOST_DIGITS..).unwrap_or_default();
            significant.push(if rest.bytes().all(|digit| digit == b'0') {
                '0'
            } else {
                '1'
            });
        }
        // Only digits are left, so that reading them cannot fail.
        let mantissa =
            UBig::from_str_radix(if significant.is_empty() { "0" } else { &significant }, 10).unwrap_or_default();
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let exponent = self.exponent.saturating_sub(length(after));
        let top = exponent.saturating_add(length(digits));
        if mantissa.is_zero() || top < -MAX_EXPONENT {
            return Some(Number::rounded(negative, UBig::ZERO, 0, LITERAL_PRECISION));
        }
        if top > MAX_EXPONENT {
            return None;
        }
        let exponent = top - length(&significant);
        let power = UBig::from(5u8).pow(usize::try_from(exponent.unsigned_abs()).unwrap_or(0));
        if exponent >= 0 {
            return Number::rounded(negative, mantissa * power, exponent, LITERAL_PRECISION)
                .in_range()
                .ok();
        }
        let (quotient, shift) = long_quotient(&mantissa, &power, LITERAL_PRECISION);
        Number::rounded(negative, quotient, exponent - shift, LITERAL_PRECISION)
            .in_range()
            .ok()
    }
}

/// `[+-]digits`; more than the type holds is as good as its limit.
fn decimal_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude: i64 = digits.parse().unwrap_or(i64::MAX / 2);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

impl fmt::Display for Number {
    /// The text form: the shortest decimal that identifies the value at its own precision, never with an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        match &self.magnitude {
            Magnitude::Infinite => write!(f, "{}Inf", if self.negative { "-" } else { "+" }),
            Magnitude::Finite { mantissa, exponent }
                if *exponent >= 0 && self.top_bit() <= i64::from(self.precision) =>
            {
                write!(f, "{sign}{}", shift_left(mantissa, *exponent))
            }
            Magnitude::Finite { mantissa, exponent } => {
                write!(f, "{sign}{}", shortest(mantissa, *exponent, self.precision).plain())
            }
        }
    }
}

/// Decimal digits and where the point stands: `0.DIGITS × 10^point`.
struct Decimal {
    digits: String,
    point: i64,
}

impl Decimal {
    /// Without an exponent.
    fn plain(&self) -> String {
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        if self.point <= 0 {
            return format!("0.{}{}", zeros(-self.point), self.digits);
        }
        if self.point >= length {
            return format!("{}{}", self.digits, zeros(self.point - length));
        }
        let (whole, fraction) = self.digits.split_at(usize::try_from(self.point).unwrap_or(0));
        format!("{whole}.{fraction}")
    }
}

/// The shortest decimal between the midpoints to the two neighbours of `mantissa × 2^exponent` at a precision, and of those with
/// that many digits the nearest.
fn shortest(mantissa: &UBig, exponent: i64, precision: u32) -> Decimal {
    // The neighbours' midpoints are one unit away when the mantissa has one bit more than the precision.
    let widen = i64::from(precision) + 1 - i64::from(bit_length(mantissa));
    let (middle, exponent) = (shift_left(mantissa, widen), exponent - widen);
    let inclusive = !middle.bit(1);
    let scale = |value: UBig| {
        if exponent >= 0 {
            shift_left(&value, exponent)
        } else {
            value * UBig::from(5u8).pow(steps(exponent))
        }
    };
    let (lower, upper) = (scale(&middle - UBig::ONE), scale(&middle + UBig::ONE));
    let exact = scale(middle);
    // Numbers of this precision are told apart by fewer digits than those that are kept; of the others it only counts whether they are
    // all zero, which takes one more digit.
    let least = u64::from(bit_length(&upper)) * 30_103 / 100_000;
    let dropped = usize::try_from(least.saturating_sub(u64::from(precision) / 3 + 16)).unwrap_or(0);
    let unit = UBig::from(10u8).pow(dropped);
    let digits = |value: UBig| {
        let (kept, rest) = value.div_rem(&unit);
        format!("{kept}{}", u8::from(!rest.is_zero()))
    };
    let (lower, exact, upper) = (digits(lower), digits(exact), digits(upper));
    // One more digit in front leaves room for a carry.
    let width = upper.len() + 1;
    let whole = i64::try_from(width - 1 + dropped).unwrap_or(i64::MAX);
    let bounds = Bounds {
        lower: padded(&lower, width),
        upper: padded(&upper, width),
        inclusive,
    };
    normal(&bounds.shortest(&padded(&exact, width)), whole + exponent.min(0))
}

fn steps(exponent: i64) -> usize {
    usize::try_from(exponent.unsigned_abs()).unwrap_or(0)
}

fn padded(digits: &str, width: usize) -> Vec<u8> {
    // Not by a width of the formatter: that has a limit, beyond which it panics.
    let zeros = width.saturating_sub(digits.len());
    ["0".repeat(zeros).as_str(), digits].concat().into_bytes()
}

/// What a decimal must lie between: digits of one width.
struct Bounds {
    lower: Vec<u8>,
    upper: Vec<u8>,
    /// The bounds themselves are allowed.
    inclusive: bool,
}

impl Bounds {
    /// Cuts the digits off as early as rounding them down or up stays within the bounds.
    fn shortest(&self, exact: &[u8]) -> Vec<u8> {
        for length in 1..exact.len() {
            let (head, tail) = exact.split_at(length);
            let up = incremented(head);
            match (self.allows_down(head), self.allows_up(&up)) {
                (true, true) => return if rounds_up(head, tail) { up } else { head.to_vec() },
                (true, false) => return head.to_vec(),
                (false, true) => return up,
                (false, false) => {}
            }
        }
        exact.to_vec()
    }

    fn allows_down(&self, head: &[u8]) -> bool {
        let (bound, rest) = self.lower.split_at(head.len());
        head > bound || (self.inclusive && all_zero(rest))
    }

    fn allows_up(&self, head: &[u8]) -> bool {
        let (bound, rest) = self.upper.split_at(head.len());
        head < bound || (head == bound && (self.inclusive || !all_zero(rest)))
    }
}

fn all_zero(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == b'0')
}

/// Is the nearest decimal of the head's length the one above? Half goes to the even digit.
fn rounds_up(head: &[u8], tail: &[u8]) -> bool {
    let odd = head.last().is_some_and(|digit| digit % 2 == 1);
    match tail.split_first() {
        Some((b'5', rest)) if all_zero(rest) => odd,
        Some((first, _)) => *first >= b'5',
        None => false,
    }
}

fn incremented(digits: &[u8]) -> Vec<u8> {
    let mut digits = digits.to_vec();
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            break;
        }
        *digit = b'0';
    }
    digits
}

/// Without zeros in front and behind.
fn normal(digits: &[u8], point: i64) -> Decimal {
    let text: String = digits.iter().map(|digit| char::from(*digit)).collect();
    let trimmed = text.trim_start_matches('0');
    let point = point - i64::try_from(text.len() - trimmed.len()).unwrap_or(0);
    Decimal {
        digits: trimmed.trim_end_matches('0').to_owned(),
        point,
    }
}

/// A `f64` with as many digits as it needs, as Go's `%g` writes it.
fn shortest_float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
