//! `x[*].a` and `x.*.a`

use super::context::Context;
use super::evaluate_in;
use crate::diagnostic::Diagnostics;
use crate::syntax::Expression;
use crate::types::Type;
use crate::value::{Kind, Value};

/// Of a sequence each element, of null nothing, of anything else that one value.
pub(super) fn splat(
    context: &Context<'_>,
    source: &Expression,
    rest: &Expression,
    diagnostics: &mut Diagnostics,
) -> Value {
    let source = evaluate_in(context, source, diagnostics);
    let single;
    let elements = match &source.kind {
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => &**elements,
        Kind::Null(_) => &[],
        Kind::Unknown(Type::Dynamic | Type::List(_) | Type::Set(_) | Type::Tuple(_)) => {
            return Value::dynamic().with_marks(source.marks);
        }
        _ => {
            single = source.clone();
            std::slice::from_ref(&single)
        }
    };
    let before = diagnostics.iter().count();
    let mut results = Vec::with_capacity(elements.len());
    for element in elements {
        // The element has the marks of the whole, so that no error shows it.
        let element = element.clone().with_marks(source.marks);
        results.push(evaluate_in(&context.with_splat_element(&element), rest, diagnostics));
        if diagnostics.iter().count() > before {
            return Value::dynamic().with_marks(source.marks);
        }
    }
    Value::tuple(results).with_marks(source.marks)
}
