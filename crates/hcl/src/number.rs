//! Numbers: binary floating point of up to 512 bits, as the language has it. Every number carries its own precision: a literal has
//! 512 bits, an integer of the program 64, a result as many as the larger of its operands. It decides how results are rounded and how
//! many digits the written form needs.

mod arithmetic;
mod text;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use dashu_int::UBig;

/// Bits of mantissa that a literal gets.
pub const LITERAL_PRECISION: u32 = 512;
/// Bits of mantissa of a number made from a 64-bit integer.
const INTEGER_PRECISION: u32 = 64;
/// Bits of mantissa of a number made from a `f64`.
const FLOAT_PRECISION: u32 = 53;
/// Beyond this power of two a number overflows to infinity or underflows to zero, so that no text of a number is longer than about
/// 20,000 digits, and no arithmetic takes long.
const MAX_EXPONENT: i64 = 1 << 16;

/// A number: a sign, a mantissa and a power of two, or an infinity.
#[derive(Debug, Clone)]
pub struct Number {
    negative: bool,
    magnitude: Magnitude,
    /// Bits that results derived from this number may have.
    precision: u32,
}

/// A number without its sign.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Magnitude {
    /// `mantissa × 2^exponent`; the mantissa is odd, or zero with exponent zero.
    Finite { mantissa: UBig, exponent: i64 },
    /// Beyond all.
    Infinite,
}

/// Why an operation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// `0/0`, `∞/∞`
    #[error("dividing zero by zero or infinity by infinity has no result")]
    Quotient,
    /// `∞-∞`
    #[error("adding infinities of opposite sign has no result")]
    Sum,
    /// `0×∞`
    #[error("multiplying zero by infinity has no result")]
    Product,
    /// Beyond what a number here can be.
    #[error("the result is out of range, which ends at 2^{MAX_EXPONENT}")]
    TooLarge,
    /// A floating point computation that is not a number.
    #[error("the result is not a number")]
    NotANumber,
}

impl Number {
    /// Plus or minus infinity.
    pub fn infinity(negative: bool) -> Self {
        Self {
            negative,
            magnitude: Magnitude::Infinite,
            precision: INTEGER_PRECISION,
        }
    }

    /// The nearest number of a `f64`; not-a-number has none.
    pub fn from_f64(value: f64) -> Result<Self, NumberError> {
        if value.is_nan() {
            return Err(NumberError::NotANumber);
        }
        if value.is_infinite() {
            return Ok(Self {
                precision: FLOAT_PRECISION,
                ..Self::infinity(value < 0.0)
            });
        }
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let biased = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
        let (mantissa, exponent) = if biased == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, biased - 1075)
        };
        Ok(Self::rounded(
            value.is_sign_negative(),
            UBig::from(mantissa),
            exponent,
            FLOAT_PRECISION,
        ))
    }

    /// An exact integer of any size; it gets at least 64 bits of precision.
    pub fn from_integer(negative: bool, magnitude: UBig) -> Self {
        let precision = bit_length(&magnitude).max(INTEGER_PRECISION);
        Self::rounded(negative, magnitude, 0, precision)
    }

    /// `mantissa × 2^exponent`, rounded half to even to that many bits.
    fn rounded(negative: bool, mantissa: UBig, exponent: i64, precision: u32) -> Self {
        let (mantissa, exponent) = round_half_even(mantissa, exponent, precision);
        let Some(zeros) = mantissa.trailing_zeros() else {
            return Self {
                negative,
                magnitude: Magnitude::Finite {
                    mantissa: UBig::ZERO,
                    exponent: 0,
                },
                precision,
            };
        };
        let exponent = exponent + i64::try_from(zeros).unwrap_or(i64::MAX);
        let mantissa = mantissa >> zeros;
        let top = exponent.saturating_add(i64::from(bit_length(&mantissa)));
        let magnitude = if top > MAX_EXPONENT {
            Magnitude::Infinite
        } else if top < -MAX_EXPONENT {
            Magnitude::Finite {
                mantissa: UBig::ZERO,
                exponent: 0,
            }
        } else {
            Magnitude::Finite { mantissa, exponent }
        };
        Self {
            negative,
            magnitude,
            precision,
        }
    }

    /// The number, unless rounding has made it infinite: a computation of finite numbers is not.
    fn in_range(self) -> Result<Self, NumberError> {
        if self.is_infinite() {
            return Err(NumberError::TooLarge);
        }
        Ok(self)
    }

    /// The bits of mantissa that results derived from it may have.
    pub fn precision(&self) -> u32 {
        self.precision
    }

    /// Is it an integer? Infinities are not.
    pub fn is_integer(&self) -> bool {
        matches!(&self.magnitude, Magnitude::Finite { exponent, .. } if *exponent >= 0)
    }

    /// Plus or minus infinity?
    pub fn is_infinite(&self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// Zero of either sign?
    pub fn is_zero(&self) -> bool {
        matches!(&self.magnitude, Magnitude::Finite { mantissa, .. } if mantissa.is_zero())
    }

    /// Below zero, or the negative zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i64 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// The magnitude of an integer; `None` for fractions and infinities.
    pub fn integer_magnitude(&self) -> Option<UBig> {
        match &self.magnitude {
            Magnitude::Finite { mantissa, exponent } => Some(mantissa << usize::try_from(*exponent).ok()?),
            Magnitude::Infinite => None,
        }
    }

    /// The magnitude as `mantissa × 2^exponent`; `None` for infinities.
    pub fn mantissa_and_exponent(&self) -> Option<(&UBig, i64)> {
        match &self.magnitude {
            Magnitude::Finite { mantissa, exponent } => Some((mantissa, *exponent)),
            Magnitude::Infinite => None,
        }
    }

    /// The same number as `i64`, when it is one.
    pub fn to_i64(&self) -> Option<i64> {
        if self.top_bit() > 64 {
            return None;
        }
        let magnitude = i128::from(u64::try_from(self.integer_magnitude()?).ok()?);
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// The same number as `u64`, when it is one.
    pub fn to_u64(&self) -> Option<u64> {
        if self.top_bit() > 64 || self.signum() < 0 {
            return None;
        }
        u64::try_from(self.integer_magnitude()?).ok()
    }

    /// The nearest `f64`, infinite when it is too large.
    pub fn to_f64(&self) -> f64 {
        let magnitude = match &self.magnitude {
            Magnitude::Infinite => f64::INFINITY,
            Magnitude::Finite { mantissa, exponent } => magnitude_to_f64(mantissa, *exponent),
        };
        if self.negative { -magnitude } else { magnitude }
    }

    /// The exponent of the first power of two above the number; 0 for zero.
    fn top_bit(&self) -> i64 {
        match &self.magnitude {
            Magnitude::Finite { mantissa, .. } if mantissa.is_zero() => 0,
            Magnitude::Finite { mantissa, exponent } => exponent + i64::from(bit_length(mantissa)),
            Magnitude::Infinite => i64::MAX,
        }
    }

    /// How long its text may be, roughly.
    pub(crate) fn digits_at_most(&self) -> u64 {
        match &self.magnitude {
            Magnitude::Infinite => 0,
            Magnitude::Finite { mantissa, exponent } => {
                exponent.unsigned_abs() / 3 + u64::from(bit_length(mantissa)) / 3
            }
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        match (&self.magnitude, &other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) => Ordering::Equal,
            (Magnitude::Infinite, _) => Ordering::Greater,
            (_, Magnitude::Infinite) => Ordering::Less,
            (
                Magnitude::Finite {
                    mantissa: a,
                    exponent: p,
                },
                Magnitude::Finite {
                    mantissa: b,
                    exponent: q,
                },
            ) => {
                if a.is_zero() || b.is_zero() {
                    return b.is_zero().cmp(&a.is_zero());
                }
                self.top_bit().cmp(&other.top_bit()).then_with(|| {
                    let common = *p.min(q);
                    shift_left(a, p - common).cmp(&shift_left(b, q - common))
                })
            }
        }
    }
}

/// Bits of a mantissa; a mantissa never comes near the limit of the type.
fn bit_length(mantissa: &UBig) -> u32 {
    u32::try_from(dashu_int::ops::BitTest::bit_len(mantissa)).unwrap_or(u32::MAX)
}

/// `mantissa × 2^by` for `by ≥ 0`.
fn shift_left(mantissa: &UBig, by: i64) -> UBig {
    mantissa << usize::try_from(by).unwrap_or(0)
}

/// Cuts a mantissa down to that many bits, rounding half to even.
fn round_half_even(mantissa: UBig, exponent: i64, precision: u32) -> (UBig, i64) {
    let excess = bit_length(&mantissa).saturating_sub(precision);
    if excess == 0 {
        return (mantissa, exponent);
    }
    let cut = excess as usize;
    let kept = &mantissa >> cut;
    let rest = mantissa - (&kept << cut);
    let half = UBig::ONE << (cut - 1);
    let up = match rest.cmp(&half) {
        Ordering::Greater => true,
        Ordering::Equal => kept.trailing_zeros() == Some(0),
        Ordering::Less => false,
    };
    (
        if up { kept + UBig::ONE } else { kept },
        exponent.saturating_add(i64::from(excess)),
    )
}

fn magnitude_to_f64(mantissa: &UBig, exponent: i64) -> f64 {
    let top = exponent + i64::from(bit_length(mantissa));
    // Below half of the least subnormal, 2^-1074.
    if mantissa.is_zero() || top < -1074 {
        return 0.0;
    }
    if top > 1024 {
        return f64::INFINITY;
    }
    // A subnormal has fewer bits: its last one stands for 2^-1074.
    let available = (top + 1074).clamp(0, i64::from(FLOAT_PRECISION));
    let (mantissa, exponent) = if available == 0 {
        // Between half of the least subnormal and all of it: half rounds to even, that is to zero.
        let more_than_half = !(mantissa.is_one() && exponent == -1075);
        (if more_than_half { UBig::ONE } else { UBig::ZERO }, -1074)
    } else {
        round_half_even(
            mantissa.clone(),
            exponent,
            u32::try_from(available).unwrap_or(FLOAT_PRECISION),
        )
    };
    let Ok(bits) = u64::try_from(mantissa) else {
        return f64::INFINITY;
    };
    // Two steps, because 2^-1074 times a power of two may not be a `f64` by itself.
    #[expect(clippy::cast_precision_loss, reason = "at most 53 bits")]
    let whole = bits as f64;
    let first = exponent / 2;
    whole * power_of_two(first) * power_of_two(exponent - first)
}

fn power_of_two(exponent: i64) -> f64 {
    2f64.powi(i32::try_from(exponent).unwrap_or(0))
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::rounded(value < 0, UBig::from(value.unsigned_abs()), 0, INTEGER_PRECISION)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::rounded(false, UBig::from(value), 0, INTEGER_PRECISION)
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::rounded(false, UBig::from(value), 0, INTEGER_PRECISION)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    /// By value: precision does not matter, and both zeros are the same.
    fn cmp(&self, other: &Self) -> Ordering {
        self.signum().cmp(&other.signum()).then_with(|| {
            let order = self.compare_magnitude(other);
            if self.signum() < 0 { order.reverse() } else { order }
        })
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.signum().hash(state);
        if let Magnitude::Finite { mantissa, exponent } = &self.magnitude {
            mantissa.hash(state);
            exponent.hash(state);
        }
    }
}

#[cfg(test)]
mod tests;
