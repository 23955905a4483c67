//! Functions on lists, tuples and other sequences.

use super::arguments::{any, converted, failed, list, number, parameter, texts, unified, wrong};
use super::seen::Seen;
use super::{Call, Function, FunctionError, Returns, Run};
use crate::number::Number;
use crate::types::Type;
use crate::value::equality;
use crate::value::{Kind, Value};

/// Sequences.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "alltrue",
        doc: "Tells whether all elements of a list are true; so it is for an empty list. A null is not true.",
        parameters: &[parameter("list", || Type::list(Type::Bool))],
        variadic: None,
        result: Returns::BOOL,
        examples: &[
            ("alltrue([true, \"true\"])", "true"),
            ("alltrue([true, false])", "false"),
        ],
        run: Run::Structural(alltrue),
    },
    Function {
        name: "anytrue",
        doc: "Tells whether at least one element of a list is true; nulls are skipped.",
        parameters: &[parameter("list", || Type::list(Type::Bool))],
        variadic: None,
        result: Returns::BOOL,
        examples: &[("anytrue([false, true])", "true"), ("anytrue([])", "false")],
        run: Run::Structural(anytrue),
    },
    Function {
        name: "chunklist",
        doc: "Cuts a list into lists of that many elements; the last one may be shorter. With size 0 the whole list is \
              one chunk.",
        parameters: &[list("list"), number("size")],
        variadic: None,
        result: Returns::Varies("list(list(any))"),
        examples: &[(
            "jsonencode(chunklist([\"a\", \"b\", \"c\"], 2))",
            "[[\"a\",\"b\"],[\"c\"]]",
        )],
        run: Run::Structural(chunklist),
    },
    Function {
        name: "coalescelist",
        doc: "The first list or tuple that is not empty.",
        parameters: &[],
        variadic: Some(&any("lists").or_null()),
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(coalescelist([], [\"b\"]))", "[\"b\"]")],
        run: Run::Structural(coalescelist),
    },
    Function {
        name: "compact",
        doc: "A list of strings without those that are empty or null.",
        parameters: &[texts("list")],
        variadic: None,
        result: Returns::STRINGS,
        examples: &[("jsonencode(compact([\"a\", \"\", null, \"b\"]))", "[\"a\",\"b\"]")],
        run: Run::Plain(compact),
    },
    Function {
        name: "concat",
        doc: "One list of the elements of several lists or tuples, in their order.",
        parameters: &[],
        variadic: Some(&any("lists")),
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(concat([\"a\"], [1, \"b\"]))", "[\"a\",1,\"b\"]")],
        run: Run::Structural(concat),
    },
    Function {
        name: "contains",
        doc: "Tells whether a list, tuple or set contains a value of the same type.",
        parameters: &[any("list"), any("value")],
        variadic: None,
        result: Returns::BOOL,
        examples: &[
            ("contains([\"a\", \"b\"], \"a\")", "true"),
            ("contains([1], \"1\")", "false"),
        ],
        run: Run::Structural(contains),
    },
    Function {
        name: "distinct",
        doc: "A list without the elements that occurred before.",
        parameters: &[list("list")],
        variadic: None,
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(distinct([\"b\", \"a\", \"b\"]))", "[\"b\",\"a\"]")],
        run: Run::Plain(distinct),
    },
    Function {
        name: "element",
        doc: "The element at an index, from 0; an index beyond the end starts again at the beginning.",
        parameters: &[any("list"), number("index")],
        variadic: None,
        result: Returns::ANY,
        examples: &[("element([\"a\", \"b\", \"c\"], 4)", "b")],
        run: Run::Structural(element),
    },
    Function {
        name: "flatten",
        doc: "A tuple of all that is in a sequence, in the sequences in it, and so on.",
        parameters: &[any("list")],
        variadic: None,
        result: Returns::Varies("tuple"),
        examples: &[(
            "jsonencode(flatten([[\"a\", [\"b\"]], [], \"c\"]))",
            "[\"a\",\"b\",\"c\"]",
        )],
        run: Run::Structural(flatten),
    },
    Function {
        name: "index",
        doc: "The index of the first element that equals a value; it is an error when there is none.",
        parameters: &[any("list"), any("value")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("index([\"a\", \"b\"], \"b\")", "1")],
        run: Run::Structural(index),
    },
    Function {
        name: "range",
        doc: "The numbers from a start (0) up to but without an end, by a step (1, or -1 when the end is below the \
              start); at most 1024. Called as `range(end)`, `range(start, end)` or `range(start, end, step)`.",
        parameters: &[],
        variadic: Some(&number("numbers")),
        result: Returns::Type(|| Type::list(Type::Number)),
        examples: &[
            ("jsonencode(range(3))", "[0,1,2]"),
            ("jsonencode(range(1, 8, 2))", "[1,3,5,7]"),
        ],
        run: Run::Plain(range),
    },
    Function {
        name: "reverse",
        doc: "A list, tuple or set in reverse order; of a set it makes a list. For strings there is `strrev`.",
        parameters: &[any("list")],
        variadic: None,
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(reverse([1, 2, 3]))", "[3,2,1]")],
        run: Run::Structural(reverse),
    },
    Function {
        name: "slice",
        doc: "The elements of a list or tuple from one index up to but without another.",
        parameters: &[any("list"), number("start"), number("end")],
        variadic: None,
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(slice([\"a\", \"b\", \"c\"], 1, 3))", "[\"b\",\"c\"]")],
        run: Run::Structural(slice),
    },
    Function {
        name: "sort",
        doc: "A list of strings in the order of their bytes.",
        parameters: &[texts("list")],
        variadic: None,
        result: Returns::STRINGS,
        examples: &[("jsonencode(sort([\"b\", \"a\", \"B\"]))", "[\"B\",\"a\",\"b\"]")],
        run: Run::Plain(sort),
    },
];

fn alltrue(call: &Call<'_>) -> Result<Value, FunctionError> {
    for element in call.elements(0)? {
        match element.kind {
            Kind::Bool(true) => {}
            Kind::Unknown(_) => return Ok(Value::unknown(Type::Bool)),
            _ => return Ok(Value::bool(false)),
        }
    }
    Ok(Value::bool(true))
}

fn anytrue(call: &Call<'_>) -> Result<Value, FunctionError> {
    let elements = call.elements(0)?;
    if elements.iter().any(|element| element.as_bool() == Some(true)) {
        return Ok(Value::bool(true));
    }
    let undecided = elements.iter().any(|element| !element.is_known());
    Ok(if undecided {
        Value::unknown(Type::Bool)
    } else {
        Value::bool(false)
    })
}

fn chunklist(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (list, size) = (call.value(0)?, call.integer(1)?);
    let size = usize::try_from(size).map_err(|_| failed("the size of a chunk must not be negative"))?;
    let Kind::List(kind, elements) = &list.kind else {
        return Err(wrong(0, "a list is required"));
    };
    let size = if size == 0 { elements.len().max(1) } else { size };
    let chunks = elements
        .chunks(size)
        .map(|chunk| Value::list(kind.clone(), chunk.to_vec()))
        .collect();
    Ok(Value::list(list.type_of(), chunks))
}

fn coalescelist(call: &Call<'_>) -> Result<Value, FunctionError> {
    for argument in call.arguments {
        match &argument.kind {
            Kind::List(_, elements) | Kind::Tuple(elements) if elements.is_empty() => {}
            Kind::List(..) | Kind::Tuple(_) => return Ok(argument.clone()),
            _ => {
                return Err(failed(format!(
                    "a list or tuple is required, not {}",
                    described(argument)
                )));
            }
        }
    }
    Err(failed("at least one list that is not empty is required"))
}

fn described(value: &Value) -> String {
    if value.is_null() {
        "null".to_owned()
    } else {
        value.type_of().to_string()
    }
}

fn compact(call: &Call<'_>) -> Result<Value, FunctionError> {
    let elements = call.elements(0)?;
    if elements.iter().any(|element| !element.is_known()) {
        return Ok(Value::unknown(Type::list(Type::String)));
    }
    let kept = elements
        .iter()
        .filter(|element| element.as_str().is_some_and(|text| !text.is_empty()));
    Ok(Value::list(Type::String, kept.cloned().collect()))
}

fn concat(call: &Call<'_>) -> Result<Value, FunctionError> {
    if call.arguments.is_empty() {
        return Err(failed("at least one list is required"));
    }
    let mut element_types = Vec::new();
    for (index, argument) in call.arguments.iter().enumerate() {
        match &argument.kind {
            Kind::List(element, _) => element_types.push(element.clone()),
            Kind::Tuple(_) => {}
            _ => {
                return Err(wrong(
                    index,
                    format!("a list or tuple is required, not {}", argument.type_of()),
                ));
            }
        }
    }
    let only_lists = element_types.len() == call.arguments.len();
    let common = if only_lists { unified(element_types) } else { None };
    let mut elements = Vec::new();
    for index in 0..call.arguments.len() {
        match &common {
            Some(kind) => elements.extend(converted(call.elements(index)?, kind, index)?),
            None => elements.extend_from_slice(call.elements(index)?),
        }
    }
    Ok(match common {
        Some(kind) => Value::list(kind, elements),
        None => Value::tuple(elements),
    })
}

/// The index of the first element that equals a value; `Err` when an unknown may be it.
fn position(elements: &[Value], value: &Value) -> Result<Option<usize>, Undecided> {
    for (place, element) in elements.iter().enumerate() {
        match equality::equal(element, value) {
            Some(true) => return Ok(Some(place)),
            Some(false) => {}
            None => return Err(Undecided),
        }
    }
    Ok(None)
}

/// An unknown value decides.
struct Undecided;

fn contains(call: &Call<'_>) -> Result<Value, FunctionError> {
    let list = call.value(0)?;
    let elements = list
        .elements()
        .ok_or_else(|| failed(format!("a list, tuple or set is required, not {}", list.type_of())))?;
    let value = call.value(1)?;
    // A known equal element settles it, wherever unknown ones stand.
    if elements
        .iter()
        .any(|element| equality::equal(element, value) == Some(true))
    {
        return Ok(Value::bool(true));
    }
    Ok(match position(elements, value) {
        Ok(_) => Value::bool(false),
        Err(Undecided) => Value::unknown(Type::Bool),
    })
}

fn distinct(call: &Call<'_>) -> Result<Value, FunctionError> {
    let list = call.value(0)?;
    let Kind::List(kind, elements) = &list.kind else {
        return Err(wrong(0, "a list is required"));
    };
    if !list.is_wholly_known() {
        return Ok(Value::unknown(list.type_of()));
    }
    let mut seen = Seen::default();
    let kept = elements
        .iter()
        .filter(|element| seen.insert(element))
        .cloned()
        .collect();
    Ok(Value::list(kind.clone(), kept))
}

fn element(call: &Call<'_>) -> Result<Value, FunctionError> {
    let list = call.value(0)?;
    let (Kind::List(_, elements) | Kind::Tuple(elements)) = &list.kind else {
        return Err(failed(format!("a list or tuple is required, not {}", list.type_of())));
    };
    let index = call.integer(1)?;
    let index = usize::try_from(index).map_err(|_| failed("the index must not be negative"))?;
    let place = index
        .checked_rem(elements.len())
        .ok_or_else(|| failed("an empty list has no elements"))?;
    elements
        .get(place)
        .cloned()
        .ok_or_else(|| failed("an empty list has no elements"))
}

fn flatten(call: &Call<'_>) -> Result<Value, FunctionError> {
    let mut flat = Vec::new();
    Ok(match flatten_into(call.elements(0)?, &mut flat) {
        Ok(()) => Value::tuple(flat),
        Err(Undecided) => Value::dynamic(),
    })
}

fn flatten_into(elements: &[Value], flat: &mut Vec<Value>) -> Result<(), Undecided> {
    for element in elements {
        match &element.kind {
            Kind::List(_, inner) | Kind::Set(_, inner) | Kind::Tuple(inner) => flatten_into(inner, flat)?,
            // How many elements it stands for is not known.
            Kind::Unknown(Type::Dynamic | Type::List(_) | Type::Set(_) | Type::Tuple(_)) => return Err(Undecided),
            _ => flat.push(element.clone()),
        }
    }
    Ok(())
}

fn index(call: &Call<'_>) -> Result<Value, FunctionError> {
    let list = call.value(0)?;
    let (Kind::List(_, elements) | Kind::Tuple(elements)) = &list.kind else {
        return Err(failed(format!("a list or tuple is required, not {}", list.type_of())));
    };
    match position(elements, call.value(1)?) {
        Ok(Some(place)) => Ok(Value::number(place)),
        Ok(None) => Err(failed("no element equals the value")),
        Err(Undecided) => Ok(Value::unknown(Type::Number)),
    }
}

fn range(call: &Call<'_>) -> Result<Value, FunctionError> {
    const MOST: usize = 1024;
    let numbers = (0..call.arguments.len())
        .map(|index| call.number(index))
        .collect::<Result<Vec<_>, _>>()?;
    let zero = Number::from(0i64);
    let (start, end, step) = match numbers.as_slice() {
        [end] => (&zero, *end, None),
        [start, end] => (*start, *end, None),
        [start, end, step] => (*start, *end, Some((*step).clone())),
        _ => {
            return Err(failed(format!(
                "one to three numbers are required, not {}",
                numbers.len()
            )));
        }
    };
    let step = step.unwrap_or_else(|| Number::from(if end < start { -1i64 } else { 1 }));
    let down = step.signum() < 0;
    if (down && end > start) || (!down && end < start) {
        return Err(wrong(
            1,
            "the end lies on the other side of the start than where the step goes",
        ));
    }
    let mut elements = Vec::new();
    let mut next = start.clone();
    while if down { next > *end } else { next < *end } {
        if elements.len() == MOST {
            return Err(failed(format!("the range has more than {MOST} numbers")));
        }
        elements.push(Value::number(next.clone()));
        next = next.add(&step).map_err(|error| failed(error.to_string()))?;
    }
    Ok(Value::list(Type::Number, elements))
}

fn reverse(call: &Call<'_>) -> Result<Value, FunctionError> {
    let reversed = call.elements(0)?.iter().rev().cloned().collect();
    Ok(match &call.value(0)?.kind {
        Kind::List(kind, _) | Kind::Set(kind, _) => Value::list(kind.clone(), reversed),
        _ => Value::tuple(reversed),
    })
}

fn slice(call: &Call<'_>) -> Result<Value, FunctionError> {
    let list = call.value(0)?;
    let (Kind::List(_, elements) | Kind::Tuple(elements)) = &list.kind else {
        return Err(wrong(0, format!("a list or tuple is required, not {}", list.type_of())));
    };
    let bound = |index: usize| {
        let given = call.number(index)?;
        let place = given.to_u64().and_then(|place| usize::try_from(place).ok());
        place.filter(|place| *place <= elements.len()).ok_or_else(|| {
            wrong(
                index,
                format!("an integer from 0 to {} is required, not {given}", elements.len()),
            )
        })
    };
    let (start, end) = (bound(1)?, bound(2)?);
    let part = elements
        .get(start..end)
        .ok_or_else(|| wrong(1, format!("the start {start} is beyond the end {end}")))?;
    Ok(match &list.kind {
        Kind::List(kind, _) => Value::list(kind.clone(), part.to_vec()),
        _ => Value::tuple(part.to_vec()),
    })
}

fn sort(call: &Call<'_>) -> Result<Value, FunctionError> {
    let elements = call.elements(0)?;
    if let Some(place) = elements.iter().position(Value::is_null) {
        return Err(failed(format!("element {place} is null; a null cannot be sorted")));
    }
    if elements.iter().any(|element| !element.is_known()) {
        return Ok(Value::unknown(Type::list(Type::String)));
    }
    let mut sorted = elements.to_vec();
    sorted.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    Ok(Value::list(Type::String, sorted))
}
