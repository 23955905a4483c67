//! Operators of one and of two operands.

use super::context::Context;
use super::expect::Expected;
use super::{attempt, evaluate_in};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::number::{Number, NumberError};
use crate::source::Place;
use crate::syntax::{BinaryOperator, Expression, Operation, UnaryOperator};
use crate::types::Type;
use crate::value::Value;
use crate::value::equality;

/// A value with the errors of the expression that it came from.
type Attempt = (Value, Diagnostics);

/// `a + b`, `a * b + c`: one operation after the other.
pub(super) fn operations(
    context: &Context<'_>,
    first: &Expression,
    operations: &[Operation],
    diagnostics: &mut Diagnostics,
) -> Value {
    let mut left = attempt(context, first);
    let mut affordable = true;
    let mut left_place = first.place;
    for Operation { operator, operand } in operations {
        let place = left_place.to(operand.place);
        let operands = Operands {
            left,
            left_place,
            right: attempt(context, operand),
            right_place: operand.place,
            place,
        };
        if matches!(operator, BinaryOperator::Equal | BinaryOperator::NotEqual) {
            affordable = affordable
                && context.spend_on(&operands.left.0, 1, place)
                && context.spend_on(&operands.right.0, 1, place);
        }
        if !affordable {
            return Value::dynamic();
        }
        left = operands.apply(*operator);
        left_place = place;
    }
    diagnostics.extend(left.1);
    left.0
}

/// Both sides of an operator: always evaluated, because either may decide the result.
struct Operands {
    left: Attempt,
    left_place: Place,
    right: Attempt,
    right_place: Place,
    place: Place,
}

impl Operands {
    fn apply(self, operator: BinaryOperator) -> Attempt {
        let marks = match operator {
            BinaryOperator::Equal | BinaryOperator::NotEqual => {
                self.left.0.marks_within().union(self.right.0.marks_within())
            }
            _ => self.left.0.marks.union(self.right.0.marks),
        };
        let (value, errors) = match operator {
            BinaryOperator::And | BinaryOperator::Or => self.logic(operator),
            BinaryOperator::Equal => self.equality(false),
            BinaryOperator::NotEqual => self.equality(true),
            _ => self.arithmetic(operator),
        };
        (value.with_marks(marks), errors)
    }

    fn equality(self, negated: bool) -> Attempt {
        let errors = joined(self.left.1, self.right.1);
        let answer = if errors.has_errors() {
            None
        } else {
            equality::equal(&self.left.0, &self.right.0)
        };
        let value = answer.map_or_else(|| Value::unknown(Type::Bool), |equal| Value::bool(equal != negated));
        (value, errors)
    }

    /// The value that decides (true for `||`, false for `&&`) on either side makes the other side's errors vanish; a null decides
    /// for `&&`.
    fn logic(self, operator: BinaryOperator) -> Attempt {
        let deciding = operator == BinaryOperator::Or;
        let decides = |(value, errors): &Attempt| {
            !errors.has_errors() && (value.as_bool() == Some(deciding) || (!deciding && value.is_null()))
        };
        let sides = [
            as_bool(operator, self.left, self.left_place),
            as_bool(operator, self.right, self.right_place),
        ];
        if sides.iter().any(decides) {
            return (Value::bool(deciding), Diagnostics::default());
        }
        let [(left, left_errors), (right, right_errors)] = sides;
        let mut errors = joined(left_errors, right_errors);
        if !errors.has_errors() && (left.is_null() || right.is_null()) {
            errors.push(null_operand(operator, self.place));
        }
        let known = !errors.has_errors() && left.is_known() && right.is_known();
        (
            if known {
                Value::bool(!deciding)
            } else {
                Value::unknown(Type::Bool)
            },
            errors,
        )
    }

    fn arithmetic(self, operator: BinaryOperator) -> Attempt {
        let kind = if is_comparison(operator) {
            Type::Bool
        } else {
            Type::Number
        };
        let mut errors = joined(self.left.1, self.right.1);
        if errors.has_errors() {
            return (Value::unknown(kind), errors);
        }
        if self.left.0.is_null() || self.right.0.is_null() {
            errors.push(null_operand(operator, self.place));
            return (Value::unknown(kind), errors);
        }
        let left = operand(
            symbol(operator),
            &self.left.0,
            Type::Number,
            self.left_place,
            &mut errors,
        );
        let right = operand(
            symbol(operator),
            &self.right.0,
            Type::Number,
            self.right_place,
            &mut errors,
        );
        let numbers = left
            .as_ref()
            .and_then(Value::as_number)
            .zip(right.as_ref().and_then(Value::as_number));
        let Some((left, right)) = numbers else {
            return (Value::unknown(kind), errors);
        };
        match computed(operator, left, right) {
            Ok(value) => (value, errors),
            Err(error) => {
                errors.push(Diagnostic::error(self.place, error.to_string()));
                (Value::unknown(kind), errors)
            }
        }
    }
}

fn joined(mut left: Diagnostics, right: Diagnostics) -> Diagnostics {
    left.extend(right);
    left
}

fn null_operand(operator: BinaryOperator, place: Place) -> Diagnostic {
    Diagnostic::error(place, format!("an operand of `{}` is null", symbol(operator)))
}

fn symbol(operator: BinaryOperator) -> &'static str {
    match operator {
        BinaryOperator::Or => "||",
        BinaryOperator::And => "&&",
        BinaryOperator::Equal => "==",
        BinaryOperator::NotEqual => "!=",
        BinaryOperator::Less => "<",
        BinaryOperator::LessOrEqual => "<=",
        BinaryOperator::Greater => ">",
        BinaryOperator::GreaterOrEqual => ">=",
        BinaryOperator::Add => "+",
        BinaryOperator::Subtract => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Remainder => "%",
    }
}

fn is_comparison(operator: BinaryOperator) -> bool {
    use BinaryOperator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    matches!(operator, Less | LessOrEqual | Greater | GreaterOrEqual)
}

fn computed(operator: BinaryOperator, left: &Number, right: &Number) -> Result<Value, NumberError> {
    Ok(match operator {
        BinaryOperator::Less => Value::bool(left < right),
        BinaryOperator::LessOrEqual => Value::bool(left <= right),
        BinaryOperator::Greater => Value::bool(left > right),
        BinaryOperator::GreaterOrEqual => Value::bool(left >= right),
        BinaryOperator::Add => Value::number(left.add(right)?),
        BinaryOperator::Subtract => Value::number(left.sub(right)?),
        BinaryOperator::Multiply => Value::number(left.mul(right)?),
        BinaryOperator::Divide => Value::number(left.div(right)?),
        BinaryOperator::Remainder => Value::number(left.rem(right)?),
        BinaryOperator::Or | BinaryOperator::And | BinaryOperator::Equal | BinaryOperator::NotEqual => Value::dynamic(),
    })
}

/// The operand of a logical operator as a bool, null or unknown; what cannot be one has an error.
fn as_bool(operator: BinaryOperator, (value, mut errors): Attempt, place: Place) -> Attempt {
    if errors.has_errors() || value.is_null() {
        return (value, errors);
    }
    let value = operand(symbol(operator), &value, Type::Bool, place, &mut errors).unwrap_or_else(Value::dynamic);
    (value, errors)
}

fn operand(symbol: &str, value: &Value, kind: Type, place: Place, diagnostics: &mut Diagnostics) -> Option<Value> {
    Expected {
        kind,
        role: &format!("this operand of `{symbol}`"),
        place,
    }
    .of(value, diagnostics)
}

pub(super) fn unary(
    context: &Context<'_>,
    operator: UnaryOperator,
    expression: &Expression,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Value {
    let given = evaluate_in(context, expression, diagnostics);
    let (kind, symbol) = match operator {
        UnaryOperator::Not => (Type::Bool, "!"),
        UnaryOperator::Negate => (Type::Number, "-"),
    };
    let unknown = || Value::unknown(kind.clone()).with_marks(given.marks);
    let place = if given.is_null() { place } else { expression.place };
    let Some(value) = operand(symbol, &given, kind.clone(), place, diagnostics) else {
        return unknown();
    };
    let result = match operator {
        UnaryOperator::Not => value.as_bool().map(|truth| Value::bool(!truth)),
        UnaryOperator::Negate => value.as_number().map(|number| Value::number(number.neg())),
    };
    result.map_or_else(unknown, |value| value.with_marks(given.marks))
}
