//! Functions that the evaluator does itself, because it evaluates their arguments in its own way. Their rows are here with all others.

use super::arguments::any;
use super::{Function, Returns, Run, Special};

/// Attempts and conversion.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "can",
        doc: "Whether an expression can be evaluated without an error.",
        parameters: &[any("expression")],
        variadic: None,
        result: Returns::BOOL,
        examples: &[("can({a = 1}.b)", "false"), ("can(1 + 1)", "true")],
        run: Run::Special(Special::Can),
    },
    Function {
        name: "convert",
        doc: "A value converted to a type, which is written as in `variable` blocks.",
        parameters: &[any("value"), any("type")],
        variadic: None,
        result: Returns::ANY,
        examples: &[("jsonencode(convert([1, 2], list(string)))", "[\"1\",\"2\"]")],
        run: Run::Special(Special::Convert),
    },
    Function {
        name: "try",
        doc: "The value of the first expression that can be evaluated without an error.",
        parameters: &[],
        variadic: Some(&any("expressions")),
        result: Returns::ANY,
        examples: &[("try({a = 1}.b, \"none\")", "none")],
        run: Run::Special(Special::Try),
    },
];
