//! Functions on numbers. Whole numbers are exact whatever their size; `log` and `pow` compute with 64-bit floating point.

use dashu_int::UBig;

use super::arguments::{any, failed, number, shown, wrong};
use super::float;
use super::{Call, Function, FunctionError, Returns, Run};
use crate::convert;
use crate::number::Number;
use crate::types::Type;
use crate::value::{Kind, Value};

/// Numbers.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "abs",
        doc: "The number without its sign.",
        parameters: &[number("number")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("abs(-1.5)", "1.5")],
        run: Run::Plain(|call| Ok(Value::number(call.number(0)?.abs()))),
    },
    Function {
        name: "ceil",
        doc: "The least integer that is not below the number.",
        parameters: &[number("number")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("ceil(1.1)", "2")],
        run: Run::Plain(|call| Ok(without_sign_of_zero(call.number(0)?.ceil()))),
    },
    Function {
        name: "floor",
        doc: "The greatest integer that is not above the number.",
        parameters: &[number("number")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("floor(-1.1)", "-2")],
        run: Run::Plain(|call| Ok(without_sign_of_zero(call.number(0)?.floor()))),
    },
    Function {
        name: "log",
        doc: "The logarithm of a number to a base.",
        parameters: &[number("number"), number("base")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("log(16, 2)", "4")],
        run: Run::Plain(|call| {
            computed(float::logarithm(call.number(0)?.to_f64()) / float::logarithm(call.number(1)?.to_f64()))
        }),
    },
    Function {
        name: "max",
        doc: "The greatest of one or more numbers.",
        parameters: &[],
        variadic: Some(&number("numbers")),
        result: Returns::NUMBER,
        examples: &[("max(5, 12, 9)", "12")],
        run: Run::Plain(|call| extreme(call, |new, best| new > best)),
    },
    Function {
        name: "min",
        doc: "The least of one or more numbers.",
        parameters: &[],
        variadic: Some(&number("numbers")),
        result: Returns::NUMBER,
        examples: &[("min(5, 12, 9)", "5")],
        run: Run::Plain(|call| extreme(call, |new, best| new < best)),
    },
    Function {
        name: "parseint",
        doc: "Parses an integer written in a base from 2 to 62. Up to base 36 upper and lower case are the same digit; \
              beyond, `a` to `z` come before `A` to `Z`.",
        parameters: &[any("string"), number("base")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("parseint(\"ff\", 16)", "255"), ("parseint(\"-1010\", 2)", "-10")],
        run: Run::Plain(parseint),
    },
    Function {
        name: "pow",
        doc: "A number to the power of another one.",
        parameters: &[number("base"), number("exponent")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("pow(2, 10)", "1024"), ("pow(2, 0.5)", "1.4142135623730951")],
        run: Run::Plain(|call| computed(float::power(call.number(0)?.to_f64(), call.number(1)?.to_f64()))),
    },
    Function {
        name: "signum",
        doc: "The sign of an integer: -1, 0 or 1.",
        parameters: &[number("number")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("signum(-13)", "-1")],
        run: Run::Plain(|call| Ok(Value::int(call.integer(0)?.signum()))),
    },
    Function {
        name: "sum",
        doc: "The sum of a list, set or tuple of numbers.",
        parameters: &[any("numbers")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("sum([10, 13, 6, 4.5])", "33.5")],
        run: Run::Plain(sum),
    },
];

/// An integer has no negative zero.
fn without_sign_of_zero(whole: Number) -> Value {
    Value::number(if whole.is_zero() { Number::from(0i64) } else { whole })
}

fn computed(result: f64) -> Result<Value, FunctionError> {
    Number::from_f64(result)
        .map(Value::number)
        .map_err(|error| failed(error.to_string()))
}

fn extreme(call: &Call<'_>, is_better: fn(&Number, &Number) -> bool) -> Result<Value, FunctionError> {
    if call.arguments.is_empty() {
        return Err(failed("at least one number is required"));
    }
    let mut best = call.number(0)?;
    for index in 1..call.arguments.len() {
        let new = call.number(index)?;
        if is_better(new, best) {
            best = new;
        }
    }
    Ok(Value::number(best.clone()))
}

fn parseint(call: &Call<'_>) -> Result<Value, FunctionError> {
    /// Reading takes time that grows with the square of the length.
    const MOST_DIGITS: usize = 10_000;
    let Some(written) = call.value(0)?.as_str() else {
        return Err(wrong(
            0,
            format!("a string is required, not {}", call.value(0)?.type_of()),
        ));
    };
    let base = call.number(1)?.to_i64().and_then(|base| u8::try_from(base).ok());
    let base = base
        .filter(|base| (2..=62).contains(base))
        .ok_or_else(|| wrong(1, "the base must be from 2 to 62"))?;
    let negative = written.starts_with('-');
    let digits = written.strip_prefix(['-', '+']).unwrap_or(written);
    if digits.len() > MOST_DIGITS {
        return Err(wrong(
            0,
            format!("a number of at most {MOST_DIGITS} digits is required"),
        ));
    }
    let magnitude = integer(digits, base)
        .ok_or_else(|| wrong(0, format!("{} is not an integer in base {base}", shown(written))))?;
    Ok(Value::number(Number::from_integer(negative, magnitude)))
}

fn integer(digits: &str, base: u8) -> Option<UBig> {
    if digits.is_empty() {
        return None;
    }
    let mut magnitude = UBig::ZERO;
    for digit in digits.bytes() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'z' => digit - b'a' + 10,
            b'A'..=b'Z' if base <= 36 => digit - b'A' + 10,
            b'A'..=b'Z' => digit - b'A' + 36,
            _ => return None,
        };
        if value >= base {
            return None;
        }
        magnitude = magnitude * UBig::from(base) + UBig::from(value);
    }
    Some(magnitude)
}

fn sum(call: &Call<'_>) -> Result<Value, FunctionError> {
    let elements = call.elements(0)?;
    let mut total: Option<Number> = None;
    for (place, element) in elements.iter().enumerate() {
        let element = convert::convert(element, &Type::Number)
            .map_err(|error| wrong(0, format!("element {place} is not a number: {error}")))?;
        let next = match &element.kind {
            Kind::Number(next) => next,
            Kind::Unknown(_) => return Ok(Value::unknown(Type::Number)),
            _ => return Err(wrong(0, format!("element {place} is null"))),
        };
        total = Some(match total {
            Some(total) => total.add(next).map_err(|error| failed(error.to_string()))?,
            None => next.clone(),
        });
    }
    total
        .map(Value::number)
        .ok_or_else(|| wrong(0, "an empty list has no sum"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_base() {
        assert_eq!(integer("zZ", 36), Some(UBig::from(35u32 * 36 + 35)));
        assert_eq!(integer("zZ", 62), Some(UBig::from(35u32 * 62 + 61)));
        assert_eq!(integer("2", 2), None);
        assert_eq!(integer("1_0", 10), None);
        assert_eq!(integer("é", 62), None);
    }
}
