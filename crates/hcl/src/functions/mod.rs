//! The table of functions: one row each, in the file of its group. Examples in a row are run as tests and printed in the reference.

mod arguments;
mod charset;
mod cidr;
mod collection;
mod csv;
mod decimal;
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
mod yaml;

pub use arguments::{any, failed, number, text, wrong};
pub use reference::reference;

use crate::externals::EvalContext;
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
    /// What the result is.
    pub result: Returns,
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
}

/// What a function returns.
#[derive(Debug, Clone, Copy)]
pub enum Returns {
    /// Values of one type, which an unknown result has as well.
    Type(fn() -> Type),
    /// Values whose type depends on the arguments, with words for it in the reference.
    Varies(&'static str),
}

impl Returns {
    /// A string.
    pub const STRING: Self = Self::Type(|| Type::String);
    /// A number.
    pub const NUMBER: Self = Self::Type(|| Type::Number);
    /// A boolean.
    pub const BOOL: Self = Self::Type(|| Type::Bool);
    /// A list of strings.
    pub const STRINGS: Self = Self::Type(|| Type::list(Type::String));
    /// A value of any type.
    pub const ANY: Self = Self::Type(|| Type::Dynamic);

    /// An unknown result: of the type, where there is one.
    pub(crate) fn unknown(self) -> Value {
        match self {
            Self::Type(kind) => Value::unknown(kind()),
            Self::Varies(_) => Value::dynamic(),
        }
    }
}

/// How a function works. It gets converted arguments without marks; the evaluator puts their marks on the result.
#[derive(Clone, Copy)]
pub enum Run {
    /// On values that are known, with all that is in them; otherwise the result is unknown.
    Plain(fn(&Call<'_>) -> Result<Value, FunctionError>),
    /// On collections that it arranges without looking at their elements, which may be unknown; when an argument is unknown as a
    /// whole, so is the result.
    Structural(fn(&Call<'_>) -> Result<Value, FunctionError>),
    /// On values of which any may be unknown: it may not have to look at all of them.
    Lazy(fn(&Call<'_>) -> Result<Value, FunctionError>),
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
    pub eval_context: &'a EvalContext<'a>,
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
    /// What it asked of the outside has no answer.
    #[error(transparent)]
    NoAnswer(#[from] crate::externals::NoAnswer),
}

/// A set of functions by name.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    by_name: std::collections::BTreeMap<&'static str, &'static Function>,
}

impl Functions {
    /// The functions of some groups. Whoever uses the language adds rows of their own like this.
    pub fn of<'a>(groups: impl IntoIterator<Item = &'a (&'static str, &'static [Function])>) -> Self {
        Self {
            by_name: groups
                .into_iter()
                .flat_map(|(_, group)| group.iter())
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
            Run::Structural(_) => f.write_str("Structural"),
            Run::Lazy(_) => f.write_str("Lazy"),
            Run::Special(which) => write!(f, "Special({which:?})"),
        }
    }
}

/// Functions by the subject that they belong to in the reference.
pub type Groups = [(&'static str, &'static [Function])];

/// The functions of the language itself, by subject.
pub static GROUPS: &Groups = &[
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
];

/// The functions of the language itself.
pub fn standard() -> Functions {
    Functions::of(GROUPS)
}

#[cfg(test)]
mod tests;
