//! Logarithm and power in 64-bit floating point, computed step by step as the template language's first home does, so that results
//! agree to the last digit on every platform; system libraries differ in it.

/// The natural logarithm.
pub(super) fn logarithm(x: f64) -> f64 {
    libm::log(x)
}

/// `x` to the power of `y`: the whole part of `y` by repeated squaring, its fraction through `exp` and `log`.
pub(super) fn power(x: f64, y: f64) -> f64 {
    if let Some(special) = special_power(x, y) {
        return special;
    }
    let magnitude = y.abs();
    let (mut whole, mut fraction) = (magnitude.trunc(), magnitude.fract());
    if fraction != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= 9.223_372_036_854_776e18 {
        // The result is 0, 1 or infinite: there is no fraction, and the number is even.
        return match x {
            -1.0 => 1.0,
            _ if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            _ => f64::INFINITY,
        };
    }
    // The result is `product × 2^exponent`.
    let (mut product, mut exponent) = (1.0, 0i64);
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            whole += 1.0;
        }
        product = exponential(fraction * libm::log(x));
    }
    let (mut square, square_exponent) = libm::frexp(x);
    let mut square_exponent = i64::from(square_exponent);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and below 2^63"
    )]
    let mut bits = whole as u64;
    while bits != 0 {
        if square_exponent.abs() > 1 << 12 {
            // Far beyond what an f64 holds: infinite or zero.
            exponent += square_exponent;
            break;
        }
        if bits & 1 == 1 {
            product *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        product = 1.0 / product;
        exponent = -exponent;
    }
    libm::ldexp(product, i32::try_from(exponent.clamp(-10_000, 10_000)).unwrap_or(0))
}

/// `e` to the power of a number of moderate size, after N. Shibata (SLEEF): a sixteenth of what is left over the powers of two goes
/// into a Taylor series, whose result is squared four times, one less than it all the while.
fn exponential(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN_2_LOW: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    const TERMS: [f64; 7] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    if !x.is_finite() {
        return libm::exp(x);
    }
    let twos = (x * std::f64::consts::LOG2_E).round_ties_even();
    let rest = twos.mul_add(-LN_2_LOW, twos.mul_add(-LN_2_HIGH, x)) * 0.0625;
    let series = TERMS
        .iter()
        .fold(1.0 / 40320.0, |sum: f64, term| sum.mul_add(rest, *term));
    let mut less_one = rest * series;
    for _ in 0..3 {
        less_one *= less_one + 2.0;
    }
    let result = less_one.mul_add(less_one + 2.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
    libm::ldexp(result, twos as i32)
}

fn special_power(x: f64, y: f64) -> Option<f64> {
    let odd = y.fract() == 0.0 && (y / 2.0).fract() != 0.0;
    Some(match (x, y) {
        (_, 0.0) | (1.0, _) => 1.0,
        (_, 1.0) => x,
        _ if x.is_nan() || y.is_nan() => f64::NAN,
        (0.0, _) if y < 0.0 => {
            if odd {
                f64::INFINITY.copysign(x)
            } else {
                f64::INFINITY
            }
        }
        (0.0, _) => {
            if odd {
                x
            } else {
                0.0
            }
        }
        _ if y.is_infinite() => match x {
            -1.0 => 1.0,
            _ if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            _ => f64::INFINITY,
        },
        _ if x.is_infinite() => match (x > 0.0, y < 0.0) {
            (true, true) => 0.0,
            (true, false) => f64::INFINITY,
            (false, true) => {
                if odd {
                    -0.0
                } else {
                    0.0
                }
            }
            (false, false) => {
                if odd {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
        },
        (_, 0.5) => x.sqrt(),
        (_, -0.5) => 1.0 / x.sqrt(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the last digit is what this is about")]
    fn powers() {
        assert_eq!(power(2.0, 10.0), 1024.0);
        assert_eq!(power(2.0, -1074.0), 5e-324);
        assert_eq!(power(2.0, -1.5), 0.353_553_390_593_273_8);
        assert_eq!(power(-2.0, 3.0), -8.0);
        assert_eq!(power(10.0, 400.0), f64::INFINITY);
        assert_eq!(power(0.5, 1e19), 0.0);
        assert_eq!(power(-1.0, f64::INFINITY), 1.0);
        assert_eq!(power(0.0, -1.0), f64::INFINITY);
        assert!(power(-8.0, 1.0 / 3.0).is_nan());
    }
}
