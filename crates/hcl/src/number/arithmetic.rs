//! Arithmetic: exact, then rounded half to even to the larger precision of the operands.

use dashu_int::UBig;

use super::{LITERAL_PRECISION, Magnitude, Number, NumberError, bit_length, shift_left};

/// No result has more bits: an integer of any size may be read from text, but its fractions need not have a million digits.
const RESULT_PRECISION: u32 = 8192;

impl Number {
    /// The bits that a result of both gets.
    fn precision_with(&self, other: &Number) -> u32 {
        self.precision.max(other.precision).min(RESULT_PRECISION)
    }

    /// `self + other`
    pub fn add(&self, other: &Number) -> Result<Number, NumberError> {
        let precision = self.precision_with(other);
        match (&self.magnitude, &other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) if self.negative != other.negative => Err(NumberError::Sum),
            (Magnitude::Infinite, _) => Ok(Number {
                precision,
                ..self.clone()
            }),
            (_, Magnitude::Infinite) => Ok(Number {
                precision,
                ..other.clone()
            }),
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
                let common = *p.min(q);
                let (a, b) = (shift_left(a, p - common), shift_left(b, q - common));
                let (negative, sum) = match (self.negative == other.negative, a.cmp(&b)) {
                    (true, _) => (self.negative, a + b),
                    (false, std::cmp::Ordering::Equal) => (false, UBig::ZERO),
                    (false, std::cmp::Ordering::Greater) => (self.negative, a - b),
                    (false, std::cmp::Ordering::Less) => (other.negative, b - a),
                };
                Number::rounded(negative, sum, common, precision).in_range()
            }
        }
    }

    /// `self - other`
    pub fn sub(&self, other: &Number) -> Result<Number, NumberError> {
        self.add(&other.neg())
    }

    /// `self × other`. A product that needs more bits than its operands have gets them, up to those of a literal.
    pub fn mul(&self, other: &Number) -> Result<Number, NumberError> {
        let precision = self.precision_with(other);
        let negative = self.negative != other.negative;
        match (&self.magnitude, &other.magnitude) {
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
                let product = a * b;
                let needed = bit_length(&product).min(LITERAL_PRECISION);
                Number::rounded(negative, product, p + q, precision.max(needed)).in_range()
            }
            _ if self.is_zero() || other.is_zero() => Err(NumberError::Product),
            _ => Ok(Number {
                precision,
                ..Number::infinity(negative)
            }),
        }
    }

    /// `self / other`. Dividing by zero gives an infinity.
    pub fn div(&self, other: &Number) -> Result<Number, NumberError> {
        let precision = self.precision_with(other);
        let negative = self.negative != other.negative;
        match (&self.magnitude, &other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) => Err(NumberError::Quotient),
            (Magnitude::Infinite, _) => Ok(Number {
                precision,
                ..Number::infinity(negative)
            }),
            (_, Magnitude::Infinite) => Ok(Number::rounded(negative, UBig::ZERO, 0, precision)),
            _ if self.is_zero() && other.is_zero() => Err(NumberError::Quotient),
            _ if other.is_zero() => Ok(Number {
                precision,
                ..Number::infinity(negative)
            }),
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
                let (quotient, shift) = long_quotient(a, b, precision);
                Number::rounded(negative, quotient, p - q - shift, precision).in_range()
            }
        }
    }

    /// The remainder of the division truncated toward zero: it has the sign of `self`. By zero it is `self`.
    pub fn rem(&self, other: &Number) -> Result<Number, NumberError> {
        if self.is_infinite() {
            return Ok(self.clone());
        }
        if other.is_zero() {
            return Ok(self.clone());
        }
        if other.is_infinite() {
            return Ok(self.clone());
        }
        let quotient = self.div(other)?;
        let precision = quotient.precision;
        let whole = Number {
            precision,
            ..quotient.truncate()
        };
        let product = match (&whole.magnitude, &other.magnitude) {
            (
                Magnitude::Finite {
                    mantissa: a,
                    exponent: p,
                },
                Magnitude::Finite {
                    mantissa: b,
                    exponent: q,
                },
            ) => Number::rounded(whole.negative != other.negative, a * b, p + q, precision),
            _ => return Err(NumberError::Quotient),
        };
        self.sub(&product)
    }

    /// `-self`
    #[must_use]
    pub fn neg(&self) -> Number {
        Number {
            negative: !self.negative,
            ..self.clone()
        }
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(&self) -> Number {
        Number {
            negative: false,
            ..self.clone()
        }
    }

    /// Without its fraction, toward zero. Infinities stay.
    #[must_use]
    pub fn truncate(&self) -> Number {
        match &self.magnitude {
            Magnitude::Finite { mantissa, exponent } if *exponent < 0 => {
                let cut = usize::try_from(-exponent).unwrap_or(usize::MAX);
                Number::rounded(self.negative, mantissa >> cut, 0, self.precision)
            }
            _ => self.clone(),
        }
    }

    /// The largest integer that is not above it. Infinities stay.
    #[must_use]
    pub fn floor(&self) -> Number {
        self.toward(true)
    }

    /// The least integer that is not below it. Infinities stay.
    #[must_use]
    pub fn ceil(&self) -> Number {
        self.toward(false)
    }

    fn toward(&self, negative: bool) -> Number {
        let truncated = self.truncate();
        if self.is_integer() || self.is_infinite() || self.negative != negative {
            return truncated;
        }
        let magnitude = truncated.integer_magnitude().unwrap_or_default() + UBig::ONE;
        Number::rounded(negative, magnitude, 0, self.precision)
    }
}

/// `a × 2^shift / b` with enough bits that rounding to `precision` is right: the last bit stands for what is left over.
pub(super) fn long_quotient(a: &UBig, b: &UBig, precision: u32) -> (UBig, i64) {
    let wanted = i64::from(precision) + 2;
    let shift = (wanted + i64::from(bit_length(b)) - i64::from(bit_length(a))).max(0);
    let dividend = shift_left(a, shift);
    let quotient = &dividend / b;
    let exact = &quotient * b == dividend;
    let marked = (quotient << 1usize) + if exact { UBig::ZERO } else { UBig::ONE };
    (marked, shift + 1)
}
