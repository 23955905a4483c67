//! Functions on regular expressions in RE2's syntax.

use std::time::{Duration, Instant};

use regex::{Captures, Regex, RegexBuilder};

use super::arguments::{bounded, countable, failed, text, wrong};
use super::re2::{self, PatternError};
use super::{Call, Function, FunctionError, Returns, Run};
use crate::types::Type;
use crate::value::Value;

/// Regular expressions.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "regex",
        doc: "What a regular expression (RE2's syntax) matches first in a string: the matched part; with groups a tuple of \
              what they matched, with named groups an object. It is an error when nothing matches.",
        parameters: &[text("pattern"), text("string")],
        variadic: None,
        result: Returns::ANY,
        examples: &[
            ("regex(\"[a-z]+\", \"53453aaabbb23454\")", "aaabbb"),
            ("regex(\"(?P<year>\\\\d+)-(?P<month>\\\\d+)\", \"2019-02\").month", "02"),
        ],
        run: Run::Plain(|call| {
            let pattern = Pattern::of(call, 0)?;
            let captures = pattern
                .regex
                .captures(call.text(1)?)
                .ok_or_else(|| failed("the pattern does not match the text"))?;
            Ok(pattern.value_of(&captures))
        }),
    },
    Function {
        name: "regex_replace",
        doc: "Replaces everything that a regular expression matches. In the replacement `$1` or `${name}` stands for what a \
              group matched.",
        parameters: &[text("string"), text("pattern"), text("replacement")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("regex_replace(\"hello\", \"(l)(l)\", \"$2-$1\")", "hel-lo")],
        run: Run::Plain(regex_replace),
    },
    Function {
        name: "regexall",
        doc: "All that a regular expression matches in a string, as a list of what `regex` gives; an empty list when nothing \
              matches.",
        parameters: &[text("pattern"), text("string")],
        variadic: None,
        result: Returns::Varies("list(any)"),
        examples: &[("jsonencode(regexall(\"\\\\d+\", \"a1b22\"))", "[\"1\",\"22\"]")],
        run: Run::Plain(|call| {
            let pattern = Pattern::of(call, 0)?;
            let (whole, mut effort) = (call.text(1)?, Effort::default());
            let mut matches = Vec::new();
            for captures in pattern.regex.captures_iter(whole) {
                effort.one_more(whole, &captures)?;
                countable((matches.len() + 1).saturating_mul(captures.len()))?;
                matches.push(pattern.value_of(&captures));
            }
            Ok(Value::list(pattern.kind(), matches))
        }),
    },
];

/// A regular expression and what its matches look like.
struct Pattern {
    regex: Regex,
    groups: Groups,
}

enum Groups {
    None,
    Unnamed,
    Named(Vec<String>),
}

impl Pattern {
    fn of(call: &Call<'_>, index: usize) -> Result<Self, FunctionError> {
        let regex = compile(call.text(index)?).map_err(|error| wrong(index, error.to_string()))?;
        let names: Vec<Option<&str>> = regex.capture_names().skip(1).collect();
        let named: Vec<String> = names.iter().flatten().map(|name| (*name).to_owned()).collect();
        let groups = match (names.len(), named.len()) {
            (0, _) => Groups::None,
            (_, 0) => Groups::Unnamed,
            (all, some) if all == some => Groups::Named(named),
            _ => return Err(wrong(index, "either all groups have a name or none")),
        };
        Ok(Self { regex, groups })
    }

    fn kind(&self) -> Type {
        match &self.groups {
            Groups::None => Type::String,
            Groups::Unnamed => Type::Tuple(vec![Type::String; self.regex.captures_len() - 1]),
            Groups::Named(names) => Type::object(names.iter().map(|name| (name.as_str(), Type::String))),
        }
    }

    fn value_of(&self, captures: &Captures<'_>) -> Value {
        let group = |found: Option<regex::Match<'_>>| {
            found.map_or_else(|| Value::null(Type::String), |found| Value::string(found.as_str()))
        };
        match &self.groups {
            Groups::None => group(captures.get(0)),
            Groups::Unnamed => Value::tuple(captures.iter().skip(1).map(group).collect()),
            Groups::Named(names) => Value::object(names.iter().map(|name| (name, group(captures.name(name))))),
        }
    }
}

/// A pattern in RE2's syntax, compiled.
fn compile(pattern: &str) -> Result<Regex, PatternError> {
    /// Bytes of the compiled program: a pattern that needs more would also be slow.
    const LARGEST: usize = 4 << 20;
    RegexBuilder::new(&re2::translate(pattern)?)
        .size_limit(LARGEST)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            other => {
                let message = other.to_string();
                let last = message.lines().last().unwrap_or_default();
                PatternError::Refused(last.trim_start_matches("error: ").to_owned())
            }
        })
}

fn regex_replace(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (whole, replacement) = (call.text(0)?, call.text(2)?);
    let regex = compile(call.text(1)?).map_err(|error| wrong(1, error.to_string()))?;
    let mut replaced = String::with_capacity(whole.len());
    let mut done = 0;
    let mut effort = Effort::default();
    for captures in regex.captures_iter(whole) {
        effort.one_more(whole, &captures)?;
        let Some(matched) = captures.get(0) else { continue };
        replaced.push_str(whole.get(done..matched.start()).unwrap_or_default());
        expand(replacement, &captures, &mut replaced);
        bounded(replaced.len())?;
        done = matched.end();
    }
    replaced.push_str(whole.get(done..).unwrap_or_default());
    Ok(Value::string(replaced))
}

/// What looking for all matches may take. Each match takes time that grows with the length of the text at most, and mostly far less,
/// so that only the clock tells whether it was much; what cannot be much does not look at the clock.
#[derive(Default)]
struct Effort {
    bytes: u64,
    since: Option<Instant>,
}

impl Effort {
    /// So many bytes may be looked at in any case: less than a second of work at the worst.
    const FREE: u64 = 1 << 27;
    /// So long may it take beyond that.
    const LONGEST: Duration = Duration::from_secs(2);

    /// Was this match one too many?
    fn one_more(&mut self, whole: &str, captures: &Captures<'_>) -> Result<(), FunctionError> {
        let start = captures.get(0).map_or(0, |matched| matched.start());
        self.bytes = self.bytes.saturating_add((whole.len() - start) as u64);
        if self.bytes < Self::FREE {
            return Ok(());
        }
        let since = self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > Self::LONGEST {
            return Err(failed(
                "the pattern takes too much work: for each match it reads on in the text, far beyond the match",
            ));
        }
        Ok(())
    }
}

/// A replacement with what groups matched: `$1`, `$name` (as long a name as there is), `${name}`; `$$` is a dollar sign, and so is a
/// `$` before anything else. What did not match, or is no group, is empty.
fn expand(replacement: &str, captures: &Captures<'_>, expanded: &mut String) {
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let Some((name, after_name)) = group_name(after) else {
            expanded.push('$');
            rest = after;
            continue;
        };
        let group = name
            .parse()
            .map_or_else(|_| captures.name(name), |index: usize| captures.get(index));
        expanded.push_str(group.map_or("", |group| group.as_str()));
        rest = after_name;
    }
    expanded.push_str(rest);
}

/// The name after a `$`, and what follows it.
fn group_name(after: &str) -> Option<(&str, &str)> {
    let braced = after.strip_prefix('{');
    let start = braced.unwrap_or(after);
    let end = start
        .find(|next: char| !next.is_alphanumeric() && next != '_')
        .unwrap_or(start.len());
    let (name, rest) = start.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let rest = if braced.is_some() {
        rest.strip_prefix('}')?
    } else {
        rest
    };
    Some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_that_read_on_in_the_text_are_too_much_work_and_others_are_not() {
        let all = |pattern: &str, whole: &str| {
            let mut effort = Effort::default();
            let regex = compile(pattern).unwrap();
            regex.captures_iter(whole).try_fold(0_usize, |count, captures| {
                effort.one_more(whole, &captures).map(|()| count + 1)
            })
        };
        assert!(all(".*?x|.", &"a".repeat(2 << 20)).is_err());
        assert_eq!(all(".*?x|.", &"a".repeat(1000)).ok(), Some(1000));
    }
}
