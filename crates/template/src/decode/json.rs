//! Single values as JSON, and what stands for one that is not known yet.

use bakelite_hcl::number::Number;
use bakelite_hcl::types::Type;
use serde_json::Value as Json;

/// What stands for a text that is not known yet.
pub(crate) const UNKNOWN: &str = "<unknown>";

/// What stands for a value of a type while it is not known.
pub(super) fn placeholder(kind: &Type) -> Json {
    match kind {
        Type::String | Type::Dynamic => Json::String(UNKNOWN.to_owned()),
        Type::Number => Json::Number(0.into()),
        Type::Bool => Json::Bool(false),
        Type::List(_) | Type::Set(_) | Type::Tuple(_) => Json::Array(Vec::new()),
        Type::Map(_) | Type::Object(_) => Json::Object(serde_json::Map::new()),
    }
}

/// A number as JSON: whole ones exactly, others as a 64-bit float. An infinite one is as great as a float can be.
pub(super) fn number(number: &Number) -> serde_json::Number {
    if let Some(whole) = number.to_i64() {
        return whole.into();
    }
    if let Some(whole) = number.to_u64() {
        return whole.into();
    }
    let float = number.to_f64().clamp(f64::MIN, f64::MAX);
    serde_json::Number::from_f64(float).unwrap_or_else(|| 0.into())
}
