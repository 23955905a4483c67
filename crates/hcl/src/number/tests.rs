//! Numbers as they are read, computed and shown.

use super::*;

fn literal(text: &str) -> Number {
    Number::from_text(text).unwrap()
}

#[test]
fn literals_have_their_own_grammar() {
    for text in ["0", "007", "1.5", "1e3", "1E+3", "1.5e-3", "00.50"] {
        assert!(Number::parse(text).is_some(), "{text}");
    }
    for text in [
        "", ".5", "5.", "1_000", "0x10", "-1", "+1", "1e", "1e+", "e1", ".", "Inf", " 1", "1 ", "1.2.3", "１",
    ] {
        assert!(Number::parse(text).is_none(), "{text}");
    }
}

#[test]
fn strings_convert_by_a_wider_grammar() {
    for (text, shown) in [
        (".5", "0.5"),
        ("5.", "5"),
        ("+5", "5"),
        ("-0", "-0"),
        ("Inf", "+Inf"),
        ("-Inf", "-Inf"),
        ("1e3", "1000"),
    ] {
        assert_eq!(literal(text).to_string(), shown, "{text}");
    }
    for text in ["", "-", "+-5", ".", " 5", "5 ", "0x10", "1_0", "NaN", "true"] {
        assert!(Number::from_text(text).is_none(), "{text}");
    }
}

#[test]
fn text_is_the_shortest_of_the_number_s_own_precision() {
    let third = literal("1").div(&literal("3")).unwrap();
    assert_eq!(third.to_string(), format!("0.{}5", "3".repeat(154)));
    assert_eq!(third.mul(&literal("3")).unwrap(), literal("1"));
    assert_eq!(literal("0.1").add(&literal("0.2")).unwrap(), literal("0.3"));
    assert_eq!(literal("1e21").to_string(), "1000000000000000000000");
    assert_eq!(
        Number::from_f64(2f64.powi(64)).unwrap().to_string(),
        "18446744073709550000"
    );
    assert_eq!(Number::from_f64(0.1).unwrap().to_string(), "0.1");
    assert_eq!(Number::from_f64(5e-324).unwrap().to_f64().to_bits(), 1);
    assert_eq!(
        Number::from(1).div(&Number::from(3)).unwrap().to_string(),
        "0.33333333333333333334"
    );
}

/// Half of the least subnormal is 2.4703282292062327208…e-324.
#[test]
fn a_double_below_half_of_the_least_is_zero() {
    for (text, bits) in [
        ("2e-324", 0),
        ("2.4703282292062327e-324", 0),
        ("2.4703282292062328e-324", 1),
        ("7e-324", 1),
        ("8e-324", 2),
    ] {
        assert_eq!(literal(text).to_f64().to_bits(), bits, "{text}");
    }
}

/// What keeps numbers from being `dashu-float`'s: version 0.6.2 answers each of these otherwise.
#[test]
fn numbers_differ_from_those_of_dashu_float() {
    // A difference has up to two bits more than the precision there, so that it is not the literal.
    for (a, b, difference) in [
        ("3", "0.1", "2.9"),
        ("10", "0.1", "9.9"),
        ("100", "0.7", "99.3"),
        ("1024", "0.1", "1023.9"),
    ] {
        assert_eq!(literal(a).sub(&literal(b)).unwrap(), literal(difference), "{a} - {b}");
    }
    // The greatest double, which is infinite there, and the least one, which is zero.
    assert_eq!(literal("1.7976931348623158e308").to_f64().to_bits(), f64::MAX.to_bits());
    assert_eq!(literal("2.4703282292062328e-324").to_f64().to_bits(), 1);
    // Infinities are values, and errors there.
    let infinity = literal("1").div(&literal("0")).unwrap();
    assert!(infinity.add(&literal("1")).unwrap().is_infinite());
    // A product gets the bits that it needs, where each operand has 64 of them.
    let large = Number::from(i64::MAX);
    assert_eq!(
        large.mul(&large).unwrap().to_string(),
        "85070591730234615847396907784232501249"
    );
}

/// As Go 1.26 prints `strconv.FormatFloat(x, 'f', -1, 64)`.
#[test]
fn of_two_texts_that_are_as_near_the_even_one_is_taken() {
    for (float, text) in [
        (-8_657_104_177_951_481.0 / 4.0, "-2164276044487870.2"),
        (8_657_104_177_951_483.0 / 4.0, "2164276044487870.8"),
    ] {
        assert_eq!(Number::from_f64(float).unwrap().to_string(), text);
    }
}

#[test]
fn console_switches_to_exponents() {
    let cases = [
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9.223372036854776e+18"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("123456789.125", "1.23456789125e+08"),
        ("1234567.5", "1.2345675e+06"),
        ("123456.5", "123456.5"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e100", "1e+100"),
        ("1e1000", "+Inf"),
        ("-1e1000", "-Inf"),
        ("0.5", "0.5"),
    ];
    for (text, shown) in cases {
        assert_eq!(literal(text).console(), shown);
    }
}

#[test]
fn what_has_no_result_is_an_error() {
    let (zero, infinity) = (Number::from(0), Number::infinity(false));
    assert_eq!(Number::from(5).div(&zero).unwrap().to_string(), "+Inf");
    assert_eq!(Number::from(-5).div(&zero).unwrap().to_string(), "-Inf");
    assert_eq!(zero.div(&zero), Err(NumberError::Quotient));
    assert_eq!(infinity.div(&infinity), Err(NumberError::Quotient));
    assert_eq!(infinity.sub(&infinity), Err(NumberError::Sum));
    assert_eq!(infinity.mul(&zero), Err(NumberError::Product));
    assert_eq!(Number::from(5).rem(&zero).unwrap(), Number::from(5));
    assert_eq!(Number::from(-7).rem(&Number::from(3)).unwrap(), Number::from(-1));
    assert!(Number::from_f64(f64::NAN).is_err());
}

#[test]
fn huge_exponents_neither_hang_nor_overflow() {
    for text in ["1e999999999", "1e99999999999999999999999"] {
        assert!(Number::parse(text).is_none());
        assert!(Number::from_text(&format!("-0{text}")).is_none());
        assert!(literal(&text.replace('e', "e-")).is_zero());
    }
    assert!(literal("0e99999999999999999999999").is_zero());
    let large = literal("1e19000");
    assert_eq!(large.mul(&large), Err(NumberError::TooLarge));
    assert_eq!(large.div(&literal("1e-19000")), Err(NumberError::TooLarge));
    assert_eq!(large.to_string().len(), 19_001);
}

#[test]
fn integers_of_any_size_are_exact_and_their_quotients_bounded() {
    let large = Number::from_integer(true, UBig::ONE << 60_000);
    assert_eq!(large.integer_magnitude(), Some(UBig::ONE << 60_000));
    let third = large.div(&Number::from(3)).unwrap();
    assert!(third.to_string().len() > 18_000 && third.precision() < 10_000);
    let tiny = Number::from(1).div(&large).unwrap().div(&Number::from(3)).unwrap();
    assert!(tiny.to_string().starts_with("-0.000"));
}

#[test]
fn rounding_to_whole_numbers() {
    let cases = [
        ("1.5", 1, 2),
        ("-1.5", -2, -1),
        ("3", 3, 3),
        ("0.2", 0, 1),
        ("-0.2", -1, 0),
    ];
    for (text, floor, ceil) in cases {
        assert_eq!(literal(text).floor(), Number::from(floor), "{text}");
        assert_eq!(literal(text).ceil(), Number::from(ceil), "{text}");
    }
}

mod oracle {
    //! The same operations on exact fractions, and the same roundings by their definition.

    use dashu_int::IBig;
    use proptest::prelude::*;

    use super::*;

    /// Numerator and denominator.
    type Fraction = (IBig, IBig);

    fn exact(number: &Number) -> Fraction {
        let Magnitude::Finite { mantissa, exponent } = &number.magnitude else {
            panic!("infinite")
        };
        let power = IBig::ONE << usize::try_from(exponent.unsigned_abs()).unwrap();
        let signed = if number.negative {
            -IBig::from(mantissa.clone())
        } else {
            IBig::from(mantissa.clone())
        };
        if *exponent >= 0 {
            (signed * power, IBig::ONE)
        } else {
            (signed, power)
        }
    }

    fn distance(a: &Fraction, b: &Fraction) -> Fraction {
        let difference = &a.0 * &b.1 - &b.0 * &a.1;
        (
            if difference < IBig::ZERO {
                -difference
            } else {
                difference
            },
            &a.1 * &b.1,
        )
    }

    fn less(a: &Fraction, b: &Fraction) -> bool {
        &a.0 * &b.1 < &b.0 * &a.1
    }

    /// `number` is the nearest of its precision to the exact fraction; a tie went to the even mantissa.
    fn is_nearest(number: &Number, wanted: &Fraction) -> bool {
        if wanted.0.is_zero() {
            return number.is_zero();
        }
        let Magnitude::Finite { mantissa, exponent } = &number.magnitude else {
            return false;
        };
        let spare = i64::from(number.precision) - i64::from(bit_length(mantissa));
        let off = distance(&exact(number), wanted);
        // Half of the last place: of the next smaller binade when the mantissa is a power of two and the fraction lies below.
        let half = |unit: i64| {
            let power = IBig::ONE << usize::try_from((unit - 1).unsigned_abs()).unwrap();
            if unit > 0 {
                (power, IBig::ONE)
            } else {
                (IBig::ONE, power)
            }
        };
        let bound = half(exponent - spare);
        let odd = spare == 0;
        less(&off, &bound) || (!less(&bound, &off) && !odd)
    }

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![
            any::<i64>().prop_map(Number::from),
            (-1000..1000i64).prop_map(Number::from),
            any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float)
                .ok()
                .filter(|n| !n.is_infinite())),
            "-?[0-9]{1,160}(\\.[0-9]{1,160})?(e-?[0-9]{1,2})?".prop_map(|text| literal(&text)),
        ]
    }

    proptest! {
        #[test]
        fn results_are_the_nearest(a in number(), b in number()) {
            let (x, y) = (exact(&a), exact(&b));
            let sum = (&x.0 * &y.1 + &y.0 * &x.1, &x.1 * &y.1);
            prop_assert!(is_nearest(&a.add(&b).unwrap(), &sum));
            let difference = (&x.0 * &y.1 - &y.0 * &x.1, &x.1 * &y.1);
            prop_assert!(is_nearest(&a.sub(&b).unwrap(), &difference));
            prop_assert!(is_nearest(&a.mul(&b).unwrap(), &(&x.0 * &y.0, &x.1 * &y.1)));
            if !b.is_zero() {
                let (mut over, mut under) = (&x.0 * &y.1, &x.1 * &y.0);
                if under < IBig::ZERO {
                    (over, under) = (-over, -under);
                }
                prop_assert!(is_nearest(&a.div(&b).unwrap(), &(over, under)));
            }
        }

        #[test]
        fn order_is_that_of_the_fractions(a in number(), b in number()) {
            let (x, y) = (exact(&a), exact(&b));
            prop_assert_eq!(a.cmp(&b), (&x.0 * &y.1).cmp(&(&y.0 * &x.1)));
        }

        #[test]
        fn literals_are_the_nearest_to_their_text(whole in "[0-9]{1,200}", fraction in "[0-9]{1,200}") {
            let scale = UBig::from(10u8).pow(fraction.len());
            let digits = UBig::from_str_radix(&format!("{whole}{fraction}"), 10).unwrap();
            let number = Number::parse(&format!("{whole}.{fraction}")).unwrap();
            prop_assert!(is_nearest(&number, &(IBig::from(digits), IBig::from(scale))));
        }

        #[test]
        fn text_identifies_the_number(number in number()) {
            let text = number.to_string();
            let back = literal(&text);
            // What was read has 512 bits; rounded to the number's own precision it is the number.
            let Magnitude::Finite { mantissa, exponent } = back.magnitude else { panic!("infinite") };
            let rounded = Number::rounded(back.negative, mantissa, exponent, number.precision);
            prop_assert_eq!(rounded, number);
        }

        #[test]
        fn text_cannot_be_shorter(number in number()) {
            let text = number.to_string();
            let digits = text.trim_start_matches(['-', '0', '.']).trim_end_matches('0').replace('.', "");
            // A digit less, rounded either way, is another number of the precision.
            if digits.len() > 1 && text.contains('.') {
                for candidate in [text[..text.len() - 1].to_owned(), format!("{}9", &text[..text.len() - 1])] {
                    if candidate.len() < text.len() {
                        let back = literal(&candidate);
                        let Magnitude::Finite { mantissa, exponent } = back.magnitude else { panic!("infinite") };
                        prop_assert_ne!(Number::rounded(back.negative, mantissa, exponent, number.precision), number.clone());
                    }
                }
            }
        }

        #[test]
        fn floats_survive(float in any::<f64>()) {
            prop_assume!(!float.is_nan());
            prop_assert_eq!(Number::from_f64(float).unwrap().to_f64().to_bits(), float.to_bits());
        }

        #[test]
        fn wide_numbers_round_to_floats_as_their_text_does(text in "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,3})?") {
            prop_assert_eq!(literal(&text).to_f64().to_bits(), text.parse::<f64>().unwrap().to_bits());
        }

        #[test]
        fn float_text_is_as_short_as_that_of_the_standard_library(float in any::<f64>()) {
            prop_assume!(float.is_finite() && float.abs() > 1e-30);
            let text = Number::from_f64(float).unwrap().to_string();
            // Where two texts are equally short and near, the standard library takes the upper one and Go the even one.
            prop_assert_eq!(text.len(), float.to_string().len());
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits());
        }

        #[test]
        fn whole_numbers_survive(number in any::<i64>()) {
            prop_assert_eq!(Number::from(number).to_i64(), Some(number));
            prop_assert_eq!(Number::from(number).to_string(), number.to_string());
        }
    }
}
