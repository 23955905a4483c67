//! The table of functions: one row each, in the file of its group. Examples in a row are run as tests and printed in the reference.

mod arguments;
mod charset;
mod cidr;
mod collection;
mod csv;
mod decimal;
mod duration;
pub mod encoding;
mod file;
mod fileset;
mod float;
mod format;
mod gzip;
mod hash;
pub mod json;
pub mod layout;
mod letters;
mod list;
mod number;
mod re2;
mod reference;
mod regex;
mod seen;
mod set;
mod special;
mod string;
mod time;
mod verb;
mod world;
mod yaml;

use crate::scope::Surroundings;
use crate::types::Type;
use crate::value::Value;

/// One row of the table.
#[derive(Debug)]
pub struct Function {
    /// How it is called.
    pub name: &'static str,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
    /// The parameters that must be given.
    pub parameters: &'static [Parameter],
    /// A last parameter that may be given any number of times.
    pub variadic: Option<&'static Parameter>,
    /// What the result is, for the reference: `string`, `list(string)`, …
    pub result: &'static str,
    /// Expression and its value as `console` prints it.
    pub examples: &'static [(&'static str, &'static str)],
    /// The work.
    pub run: Run,
}

/// One parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in errors.
    pub name: &'static str,
    /// What arguments are converted to (`Type::Dynamic` takes them as they are).
    pub kind: fn() -> Type,
    /// A null argument is allowed.
    pub nullable: bool,
    /// The function wants to see an unknown argument instead of answering unknown at once.
    pub sees_unknown: bool,
}

/// How a function works.
#[derive(Clone, Copy)]
pub enum Run {
    /// On values: converted, without marks (the evaluator puts the arguments' marks on the result), none unknown unless the
    /// parameter says so.
    Plain(fn(&Call<'_>) -> Result<Value, FunctionError>),
    /// By the evaluator itself, because arguments are not evaluated first: `try`, `can`, `convert`.
    Special(Special),
}

/// Functions that the evaluator does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// `try(a, b…)`
    Try,
    /// `can(a)`
    Can,
    /// `convert(v, TYPE)`
    Convert,
    /// `templatefile(path, vars)`
    TemplateFile,
}

/// What a function works on.
pub struct Call<'a> {
    /// The arguments: the fixed ones, then the variadic ones.
    pub arguments: &'a [Value],
    /// What it needs to know besides.
    pub surroundings: &'a Surroundings<'a>,
    /// Pays for work that the arguments do not show: about the bytes that could be made in the same time. False when there is not
    /// enough, and then it must not be done.
    pub pay: &'a dyn Fn(u64) -> bool,
}

/// Why a function gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// One argument is at fault; the index counts from 0 over all arguments.
    #[error("{message}")]
    Argument {
        /// Which one.
        index: usize,
        /// What is wrong with it: a lower-case fragment.
        message: String,
    },
    /// The call as a whole failed.
    #[error("{message}")]
    Failed {
        /// Why: a lower-case fragment.
        message: String,
    },
}

/// A set of functions by name.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    by_name: std::collections::BTreeMap<&'static str, &'static Function>,
}

impl Functions {
    /// The functions of some groups.
    pub fn of(groups: &[&'static [Function]]) -> Self {
        Self {
            by_name: groups
                .iter()
                .flat_map(|group| group.iter())
                .map(|function| (function.name, function))
                .collect(),
        }
    }

    /// The function of a name.
    pub fn get(&self, name: &str) -> Option<&'static Function> {
        self.by_name.get(name).copied()
    }

    /// All names, in byte order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Run::Plain(_) => f.write_str("Plain"),
            Run::Special(which) => write!(f, "Special({which:?})"),
        }
    }
}

/// The functions of every expression, by subject.
static GROUPS: &[(&str, &[Function])] = &[
    ("Text", string::GROUP),
    ("Formats", format::GROUP),
    ("Regular expressions", regex::GROUP),
    ("Numbers", number::GROUP),
    ("Collections", collection::GROUP),
    ("Lists", list::GROUP),
    ("Sets", set::GROUP),
    ("Attempts and conversion", special::GROUP),
    ("JSON", json::GROUP),
    ("YAML", yaml::GROUP),
    ("CSV", csv::GROUP),
    ("Encodings", encoding::GROUP),
    ("Hashes, cryptography, identifiers", hash::GROUP),
    ("Dates and times", time::GROUP),
    ("Files and paths", file::GROUP),
    ("Address ranges", cidr::GROUP),
    ("Secrets and settings", world::GROUP),
];

/// The functions of every expression.
pub fn standard() -> Functions {
    Functions::of(&GROUPS.iter().map(|(_, group)| *group).collect::<Vec<_>>())
}

/// What can be called in the default of a variable besides: nothing else reads the environment.
pub fn variable_defaults() -> Functions {
    Functions::of(&[world::VARIABLE_DEFAULTS])
}

/// The reference of all functions, in Markdown: made from the table, so that it says what the functions do.
pub fn reference() -> String {
    let defaults = [("Only in the default of a variable", world::VARIABLE_DEFAULTS)];
    reference::markdown(&[GROUPS, &defaults].concat())
}

#[cfg(test)]
mod tests;
