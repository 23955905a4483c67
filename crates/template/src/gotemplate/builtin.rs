//! The functions that Go's text/template has by itself.

use std::cmp::Ordering;
use std::fmt::Write as _;

use bakelite_hcl::functions::encoding::encode_query;

use super::printf;
use super::value::GoValue;

/// The names. `and` and `or` are evaluated where their arguments are.
pub(super) const NAMES: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// Calls a function; `None` when it is not one of these.
pub(super) fn call(name: &str, arguments: &[GoValue]) -> Option<Result<GoValue, String>> {
    Some(match name {
        "call" => Err("there is nothing to call".to_owned()),
        "eq" => equal(arguments).map(GoValue::Bool),
        "ne" => two(arguments).and_then(|(a, b)| Ok(!same(a, b)?)).map(GoValue::Bool),
        "lt" => ordered(arguments, Ordering::is_lt),
        "le" => ordered(arguments, Ordering::is_le),
        "gt" => ordered(arguments, Ordering::is_gt),
        "ge" => ordered(arguments, Ordering::is_ge),
        "not" => one(arguments).map(|value| GoValue::Bool(!value.truth())),
        "len" => length(arguments),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => Ok(print(arguments).into()),
        "println" => {
            let all: Vec<String> = arguments.iter().map(shown).collect();
            Ok(format!("{}\n", all.join(" ")).into())
        }
        "printf" => match arguments.split_first() {
            Some((GoValue::Text(format), rest)) => Ok(printf::format(format, rest).into()),
            _ => Err("the first argument is the format".to_owned()),
        },
        "html" => Ok(html(&print(arguments)).into()),
        "js" => Ok(js(&print(arguments)).into()),
        "urlquery" => Ok(encode_query(&print(arguments)).into()),
        _ => return None,
    })
}

fn one(arguments: &[GoValue]) -> Result<&GoValue, String> {
    match arguments {
        [only] => Ok(only),
        _ => Err(format!("it takes 1 argument, not {}", arguments.len())),
    }
}

fn two(arguments: &[GoValue]) -> Result<(&GoValue, &GoValue), String> {
    match arguments {
        [a, b] => Ok((a, b)),
        _ => Err(format!("it takes 2 arguments, not {}", arguments.len())),
    }
}

/// `eq a b c`: is `a` one of the others?
fn equal(arguments: &[GoValue]) -> Result<bool, String> {
    let Some((first, rest)) = arguments.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err("an argument is missing".to_owned());
    };
    for other in rest {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same(a: &GoValue, b: &GoValue) -> Result<bool, String> {
    match (a, b) {
        (GoValue::Nothing, _) | (_, GoValue::Nothing) => Ok(a == b),
        (GoValue::List(_) | GoValue::Map(_), _) | (_, GoValue::List(_) | GoValue::Map(_)) => {
            Err("lists and maps cannot be compared".to_owned())
        }
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(a == b),
        _ => Err(incomparable(a, b)),
    }
}

fn incomparable(a: &GoValue, b: &GoValue) -> String {
    format!("a {} and a {} cannot be compared", a.type_name(), b.type_name())
}

fn ordered(arguments: &[GoValue], decide: fn(Ordering) -> bool) -> Result<GoValue, String> {
    let (a, b) = two(arguments)?;
    let order = match (a, b) {
        (GoValue::Int(a), GoValue::Int(b)) => Some(a.cmp(b)),
        (GoValue::Float(a), GoValue::Float(b)) => a.partial_cmp(b),
        (GoValue::Text(a), GoValue::Text(b)) => Some(a.cmp(b)),
        _ => return Err(incomparable(a, b)),
    };
    Ok(GoValue::Bool(order.is_some_and(decide)))
}

fn length(arguments: &[GoValue]) -> Result<GoValue, String> {
    let count = match one(arguments)? {
        GoValue::Text(text) => text.len(),
        GoValue::List(elements) => elements.len(),
        GoValue::Map(members) => members.len(),
        other => return Err(format!("a {} has no length", other.type_name())),
    };
    Ok(GoValue::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn index(arguments: &[GoValue]) -> Result<GoValue, String> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err("an argument is missing".to_owned());
    };
    let mut value = first.clone();
    for key in rest {
        let out_of_range = || format!("index {} is out of range", key.print());
        value = match (&value, key) {
            (GoValue::List(elements), GoValue::Int(at)) => {
                let element = usize::try_from(*at).ok().and_then(|at| elements.get(at));
                element.cloned().ok_or_else(out_of_range)?
            }
            (GoValue::Text(text), GoValue::Int(at)) => {
                let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
                GoValue::Int(i64::from(*byte.ok_or_else(out_of_range)?))
            }
            (GoValue::Map(members), GoValue::Text(name)) => members.get(name).cloned().unwrap_or(GoValue::Nothing),
            (value, key) => {
                return Err(format!(
                    "a {} cannot be indexed by a {}",
                    value.type_name(),
                    key.type_name()
                ));
            }
        };
    }
    Ok(value)
}

fn slice(arguments: &[GoValue]) -> Result<GoValue, String> {
    let Some((value, bounds)) = arguments.split_first() else {
        return Err("an argument is missing".to_owned());
    };
    let count = match value {
        GoValue::Text(text) => text.len(),
        GoValue::List(elements) => elements.len(),
        other => return Err(format!("a {} cannot be sliced", other.type_name())),
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(GoValue::Int(number)) => usize::try_from(*number)
            .ok()
            .filter(|bound| *bound <= count)
            .ok_or("a bound is out of range"),
        Some(_) => Err("a bound is not an integer"),
    };
    let (from, to) = (bound(0, 0)?, bound(1, count)?);
    if from > to {
        return Err("the bounds are in the wrong order".to_owned());
    }
    match value {
        GoValue::Text(text) => text
            .get(from..to)
            .map(GoValue::from)
            .ok_or_else(|| "a bound is within a character".to_owned()),
        GoValue::List(elements) => Ok(GoValue::List(elements.get(from..to).unwrap_or_default().to_vec())),
        _ => Ok(GoValue::Nothing),
    }
}

fn shown(value: &GoValue) -> String {
    if *value == GoValue::Nothing {
        "<nil>".to_owned()
    } else {
        value.print()
    }
}

/// Spaces only between two that are both not text.
pub(super) fn print(arguments: &[GoValue]) -> String {
    let mut out = String::new();
    let mut before_was_text = true;
    for (at, argument) in arguments.iter().enumerate() {
        let is_text = matches!(argument, GoValue::Text(_));
        if at > 0 && !is_text && !before_was_text {
            out.push(' ');
        }
        out.push_str(&shown(argument));
        before_was_text = is_text;
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}
