//! How large a value may get. Locals that hold others several times double at each step, and ones that wrap others nest at each
//! step: a few lines of a template make values that no memory holds and no stack walks.

use bakelite_hcl::value::{Kind, Value};

/// Single values in a local, at most.
const MOST: usize = 1_000_000;
/// Collections within each other, at most.
const DEEPEST: usize = 200;

/// What is too much about a value, if anything is.
pub(crate) fn excess(value: &Value) -> Option<String> {
    let mut open = vec![(value, 0)];
    let mut count = 0usize;
    while let Some((value, depth)) = open.pop() {
        count += 1;
        if count + open.len() > MOST {
            return Some(format!("it holds more than {MOST} values"));
        }
        if depth > DEEPEST {
            return Some(format!("it nests more than {DEEPEST} levels deep"));
        }
        match &value.kind {
            Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
                open.extend(elements.iter().map(|element| (element, depth + 1)));
            }
            Kind::Map(_, members) | Kind::Object(members) => {
                open.extend(members.values().map(|member| (member, depth + 1)));
            }
            Kind::Null(_) | Kind::Unknown(_) | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
        }
    }
    None
}
