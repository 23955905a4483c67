//! Functions on maps and objects, and on collections of any kind.

use unicode_segmentation::UnicodeSegmentation;

use super::arguments::{any, converted, failed, text, texts, unified, wrong};
use super::{Call, Function, FunctionError, Returns, Run};
use crate::convert;
use crate::types::Type;
use crate::value::{Kind, Members, Value};

/// Collections.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "coalesce",
        doc: "The first argument that is neither null nor an empty string, converted to the type of all.",
        parameters: &[],
        variadic: Some(&any("values").or_null()),
        result: Returns::ANY,
        examples: &[("coalesce(null, \"\", \"b\")", "b")],
        run: Run::Lazy(coalesce),
    },
    Function {
        name: "keys",
        doc: "The names in a map or object, sorted.",
        parameters: &[any("map")],
        variadic: None,
        result: Returns::Varies("list(string)"),
        examples: &[("jsonencode(keys({b = 1, a = 2}))", "[\"a\",\"b\"]")],
        run: Run::Structural(keys),
    },
    Function {
        name: "length",
        doc: "How many elements a collection has, or how many characters a string.",
        parameters: &[any("value")],
        variadic: None,
        result: Returns::NUMBER,
        examples: &[("length([\"a\", \"b\"])", "2"), ("length(\"héllo\")", "5")],
        run: Run::Structural(length),
    },
    Function {
        name: "lookup",
        doc: "The value of a name in a map or object, or a default when the name is not there.",
        parameters: &[any("map"), text("key"), any("default")],
        variadic: None,
        result: Returns::ANY,
        examples: &[("lookup({a = \"x\"}, \"b\", \"none\")", "none")],
        run: Run::Structural(lookup),
    },
    Function {
        name: "merge",
        doc: "One map or object of the members of several; of a repeated name the last counts. Nulls are skipped.",
        parameters: &[],
        variadic: Some(&any("maps").or_null()),
        result: Returns::Varies("object"),
        examples: &[("jsonencode(merge({a = 1, b = 1}, {b = 2}))", "{\"a\":1,\"b\":2}")],
        run: Run::Structural(merge),
    },
    Function {
        name: "values",
        doc: "The values in a map or object, in the order of their names.",
        parameters: &[any("map")],
        variadic: None,
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(values({b = 1, a = 2}))", "[2,1]")],
        run: Run::Structural(values),
    },
    Function {
        name: "zipmap",
        doc: "A map of a list of names and a list of as many values; of a tuple of values an object.",
        parameters: &[texts("keys"), any("values")],
        variadic: None,
        result: Returns::Varies("map(any)"),
        examples: &[("jsonencode(zipmap([\"a\", \"b\"], [1, 2]))", "{\"a\":1,\"b\":2}")],
        run: Run::Structural(zipmap),
    },
];

fn coalesce(call: &Call<'_>) -> Result<Value, FunctionError> {
    let common = unified(call.arguments.iter().map(Value::type_of))
        .ok_or_else(|| failed("the arguments have types that cannot be brought to one"))?;
    for (index, argument) in call.arguments.iter().enumerate() {
        let value = converted(std::slice::from_ref(argument), &common, index)?
            .pop()
            .unwrap_or_else(Value::dynamic);
        match &value.kind {
            Kind::Null(_) => {}
            Kind::String(text) if text.is_empty() => {}
            _ => return Ok(value),
        }
    }
    Err(failed("all arguments are null or empty strings"))
}

fn members<'a>(call: &Call<'a>, index: usize) -> Result<&'a Members, FunctionError> {
    let argument = call
        .arguments
        .get(index)
        .ok_or_else(|| failed("a map or object is required"))?;
    argument.members().ok_or_else(|| {
        wrong(
            index,
            format!("a map or object is required, not {}", argument.type_of()),
        )
    })
}

fn keys(call: &Call<'_>) -> Result<Value, FunctionError> {
    let names = members(call, 0)?.keys().map(Value::string).collect();
    Ok(match call.value(0)?.kind {
        Kind::Map(..) => Value::list(Type::String, names),
        _ => Value::tuple(names),
    })
}

fn values(call: &Call<'_>) -> Result<Value, FunctionError> {
    let values = members(call, 0)?.values().cloned().collect();
    Ok(match &call.value(0)?.kind {
        Kind::Map(kind, _) => Value::list(kind.clone(), values),
        _ => Value::tuple(values),
    })
}

fn length(call: &Call<'_>) -> Result<Value, FunctionError> {
    let value = call.value(0)?;
    let length = match &value.kind {
        Kind::String(text) => text.graphemes(true).count(),
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => elements.len(),
        Kind::Map(_, members) | Kind::Object(members) => members.len(),
        _ => {
            return Err(failed(format!(
                "a string or a collection is required, not {}",
                value.type_of()
            )));
        }
    };
    Ok(Value::number(length))
}

fn lookup(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (members, key, default) = (members(call, 0)?, call.text(1)?, call.value(2)?);
    let default = match &call.value(0)?.kind {
        // Whatever is found, the result has the type of the map's elements.
        Kind::Map(element, _) => convert::convert(default, element).map_err(|error| wrong(2, error.to_string()))?,
        _ => default.clone(),
    };
    Ok(members.get(key).cloned().unwrap_or(default))
}

fn merge(call: &Call<'_>) -> Result<Value, FunctionError> {
    let mut merged = Members::new();
    let mut kinds = Vec::new();
    for argument in call.arguments.iter().filter(|argument| !argument.is_null()) {
        let members = argument
            .members()
            .ok_or_else(|| failed(format!("maps or objects are required, not {}", argument.type_of())))?;
        merged.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
        kinds.push(match &argument.kind {
            Kind::Map(element, _) => Some(element),
            _ => None,
        });
    }
    Ok(match kinds.first() {
        Some(Some(element)) if kinds.iter().all(|kind| *kind == Some(element)) => {
            Value::map((*element).clone(), merged)
        }
        _ => Value::object(merged),
    })
}

fn zipmap(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (keys, values) = (call.elements(0)?, call.value(1)?);
    let (Kind::List(_, elements) | Kind::Tuple(elements)) = &values.kind else {
        return Err(wrong(
            1,
            format!("a list or tuple is required, not {}", values.type_of()),
        ));
    };
    if keys.len() != elements.len() {
        return Err(failed(format!(
            "there are {} keys for {} values",
            keys.len(),
            elements.len()
        )));
    }
    if keys.iter().any(|key| !key.is_known()) {
        return Ok(Value::dynamic());
    }
    let names = keys
        .iter()
        .map(|key| key.as_str().ok_or_else(|| failed("a key must not be null")));
    let members = names
        .zip(elements.iter())
        .map(|(name, value)| Ok((name?, value.clone())));
    let members = members.collect::<Result<Vec<_>, FunctionError>>()?;
    Ok(match &values.kind {
        Kind::List(kind, _) => Value::map(kind.clone(), members),
        _ => Value::object(members),
    })
}
