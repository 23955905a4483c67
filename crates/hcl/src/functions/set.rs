//! Functions on sets. Lists and tuples given instead become sets.

use super::arguments::{any, converted, countable, failed, set, unified, wrong};
use super::seen::Seen;
use super::{Call, Function, FunctionError, Returns, Run};
use crate::types::Type;
use crate::value::{Kind, Value};

/// Sets.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "setintersection",
        doc: "The set of the elements that are in all the sets.",
        parameters: &[set("first")],
        variadic: Some(&set("others")),
        result: Returns::Varies("set(any)"),
        examples: &[("jsonencode(setintersection([\"a\", \"b\"], [\"b\", \"c\"]))", "[\"b\"]")],
        run: Run::Plain(setintersection),
    },
    Function {
        name: "setproduct",
        doc: "All combinations of one element of each of two or more sets, as tuples. When all are lists, the result is \
              a list in their order, otherwise a set.",
        parameters: &[],
        variadic: Some(&any("sets")),
        result: Returns::Varies("set(tuple)"),
        examples: &[(
            "jsonencode(setproduct([\"a\", \"b\"], [1, 2]))",
            "[[\"a\",1],[\"a\",2],[\"b\",1],[\"b\",2]]",
        )],
        run: Run::Plain(setproduct),
    },
    Function {
        name: "setunion",
        doc: "The set of the elements that are in at least one of the sets.",
        parameters: &[set("first")],
        variadic: Some(&set("others")),
        result: Returns::Varies("set(any)"),
        examples: &[(
            "jsonencode(setunion([\"b\", \"a\"], [\"b\", \"c\"]))",
            "[\"a\",\"b\",\"c\"]",
        )],
        run: Run::Plain(setunion),
    },
];

/// The elements of each set, converted to the element type of all.
struct Sets {
    element: Type,
    elements: Vec<Vec<Value>>,
}

impl Sets {
    fn of(call: &Call<'_>) -> Result<Self, FunctionError> {
        let kinds = call.arguments.iter().filter_map(|argument| match &argument.kind {
            Kind::Set(element, _) => Some(element.clone()),
            _ => None,
        });
        let element =
            unified(kinds).ok_or_else(|| failed("the sets have elements that cannot be brought to one type"))?;
        let elements = (0..call.arguments.len())
            .map(|index| converted(call.elements(index)?, &element, index))
            .collect::<Result<_, _>>()?;
        Ok(Self { element, elements })
    }
}

fn setintersection(call: &Call<'_>) -> Result<Value, FunctionError> {
    let sets = Sets::of(call)?;
    let (first, others) = sets
        .elements
        .split_first()
        .ok_or_else(|| failed("at least one set is required"))?;
    let others: Vec<Seen<'_>> = others.iter().map(seen).collect();
    let kept = first
        .iter()
        .filter(|element| others.iter().all(|other| other.contains(element)))
        .cloned()
        .collect();
    Ok(Value::set(sets.element, kept))
}

fn seen(elements: &Vec<Value>) -> Seen<'_> {
    let mut seen = Seen::default();
    for element in elements {
        seen.insert(element);
    }
    seen
}

fn setunion(call: &Call<'_>) -> Result<Value, FunctionError> {
    let sets = Sets::of(call)?;
    Ok(Value::set(sets.element, sets.elements.into_iter().flatten().collect()))
}

fn setproduct(call: &Call<'_>) -> Result<Value, FunctionError> {
    const MOST: usize = 1 << 16;
    if call.arguments.len() < 2 {
        return Err(failed("at least two sets are required"));
    }
    let mut kinds = Vec::new();
    let mut factors = Vec::new();
    for (index, argument) in call.arguments.iter().enumerate() {
        let elements = call.elements(index)?;
        let kind = match &argument.kind {
            Kind::List(kind, _) | Kind::Set(kind, _) => kind.clone(),
            _ => unified(elements.iter().map(Value::type_of))
                .ok_or_else(|| wrong(index, "the elements cannot be brought to one type"))?,
        };
        factors.push(converted(elements, &kind, index)?);
        kinds.push(kind);
    }
    let count = factors
        .iter()
        .try_fold(1usize, |count, factor| count.checked_mul(factor.len().max(1)));
    if count.is_none_or(|count| count > MOST) {
        return Err(failed(format!("there are more than {MOST} combinations")));
    }
    countable(count.unwrap_or(0).saturating_mul(factors.len()))?;
    let combinations = factors.iter().fold(vec![Vec::new()], |combinations, factor| {
        let longer = |head: &Vec<Value>| {
            let head = head.clone();
            factor
                .iter()
                .map(move |last| head.iter().chain([last]).cloned().collect())
                .collect::<Vec<Vec<Value>>>()
        };
        combinations.iter().flat_map(longer).collect()
    });
    let combinations = combinations.into_iter().map(Value::tuple).collect();
    let any_set = call
        .arguments
        .iter()
        .any(|argument| matches!(argument.kind, Kind::Set(..)));
    let kind = Type::Tuple(kinds);
    Ok(if any_set {
        Value::set(kind, combinations)
    } else {
        Value::list(kind, combinations)
    })
}
