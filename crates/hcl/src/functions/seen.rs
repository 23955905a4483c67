//! Values that were seen already, found in constant time each: a long list is not compared pairwise.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::value::equality;
use crate::value::{Kind, Value};

/// A growing collection of different values.
#[derive(Default)]
pub(super) struct Seen<'a> {
    by_hash: HashMap<u64, Vec<&'a Value>>,
}

impl<'a> Seen<'a> {
    /// Remembers a value; true when it is new.
    pub(super) fn insert(&mut self, value: &'a Value) -> bool {
        let bucket = self.by_hash.entry(hash_of(value)).or_default();
        let new = !bucket.iter().any(|seen| equality::same(seen, value));
        if new {
            bucket.push(value);
        }
        new
    }

    /// Was this value remembered?
    pub(super) fn contains(&self, value: &Value) -> bool {
        self.by_hash
            .get(&hash_of(value))
            .is_some_and(|bucket| bucket.iter().any(|seen| equality::same(seen, value)))
    }
}

fn hash_of(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash(value, &mut hasher);
    hasher.finish()
}

/// What is the same has the same hash.
fn hash(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&value.kind).hash(hasher);
    match &value.kind {
        Kind::Null(_) | Kind::Unknown(_) => {}
        Kind::Bool(truth) => truth.hash(hasher),
        Kind::Number(number) => number.hash(hasher),
        Kind::String(text) => text.hash(hasher),
        Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
            elements.iter().for_each(|element| hash(element, hasher));
        }
        Kind::Map(_, members) | Kind::Object(members) => {
            for (name, member) in members.iter() {
                name.hash(hasher);
                hash(member, hasher);
            }
        }
    }
}
