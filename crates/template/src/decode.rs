//! Evaluated body + schema → options, every complaint with its place. Schema first, serde last: when [`Decoded::options`] runs,
//! names, arity and types are checked already, so that serde can fail only on what a newtype checks by itself.

mod body;
mod leaf;
mod members;
mod weak;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bakelite_hcl::source::{Place, SourceMap};
use serde::de::DeserializeOwned;

pub(crate) use body::{Decoding, Layer, in_block};
pub(crate) use leaf::member_places;
pub(crate) use weak::WeakDecoding;

use crate::location::Location;

/// A component's options: checked against its schema, `{{ }}` rendered where the schema does not say late. An option that is null
/// or an empty string is absent, whatever its type.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// The options that are given and known.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Where each option stands, by path: `tags`, `tags.Name`, `launch_block_device_mappings[0].volume_size`.
    pub places: BTreeMap<String, Place>,
    /// The block that was decoded.
    pub place: Option<Place>,
    /// The texts that the places are in.
    pub sources: SourceMap,
    /// The user's home directory, where it is known: what `~/` in a path stands for.
    pub home_directory: Option<PathBuf>,
    /// Texts in it that must not be shown.
    pub secrets: Vec<String>,
    /// Those of them that are secret because of the option that they are given for, whatever they were made of.
    pub declared: Vec<String>,
    /// While planning: paths of values that are not known yet and therefore not in `options` (a required one is there, empty).
    pub unknown: Vec<String>,
}

impl Decoded {
    /// The options as the component's own type.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(serde_json::Value::Object(self.options.clone()))
    }

    /// Where an option stands, or the nearest part of its path that has a place, else the block.
    pub fn location_of(&self, path: &str) -> Option<Location> {
        Location::of(self.place_of(path)?, &self.sources)
    }

    /// The place of an option or of the nearest part of its path that has one, else of the block.
    pub fn place_of(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = path.get(..cut).unwrap_or(""),
                None => return self.place,
            }
        }
    }
}

/// Is `path` that of `whole` or of a part of it?
pub(crate) fn is_within(path: &str, whole: &str) -> bool {
    path.strip_prefix(whole)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of a part of an option.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A fragment as a sentence.
pub(crate) fn sentence(fragment: &str) -> String {
    let mut rest = fragment.chars();
    let first = rest.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(rest).chain(['.']).collect()
}
