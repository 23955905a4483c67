//! `-only` and `-except`: patterns on the names of builds and post-processors.

use std::collections::BTreeSet;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};

/// What `-only` and `-except` select.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

impl Selection {
    /// Reads the values of the flags as patterns.
    pub(crate) fn of_patterns(only: &[String], except: &[String], diagnostics: &mut Diagnostics) -> Self {
        let mut all = |flag: &str, texts: &[String]| -> Vec<Pattern> {
            let mut parse = |text: &String| {
                let pattern = Pattern::parse(text);
                if pattern.is_none() {
                    let summary = format!("`{text}` of `-{flag}` is not a pattern");
                    diagnostics.push(Diagnostic::error(None, summary));
                }
                pattern
            };
            texts.iter().filter_map(&mut parse).collect()
        };
        Self {
            only: all("only", only),
            except: all("except", except),
        }
    }

    /// Takes the values of the flags for names: builders of legacy templates are named without patterns.
    pub(crate) fn of_names(only: &[String], except: &[String]) -> Self {
        let all = |texts: &[String]| texts.iter().filter_map(|text| Pattern::literal(text)).collect();
        Self {
            only: all(only),
            except: all(except),
        }
    }

    /// Is the build of that name wanted?
    pub(crate) fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(name))) && !self.excludes(name)
    }

    /// Is the build or post-processor of that name excluded?
    pub(crate) fn excludes(&self, name: &str) -> bool {
        self.except.iter().any(|pattern| pattern.matches(name))
    }

    /// Warns of each value of `-only` and `-except` that matches nothing: neither a build nor, for `-except`, a post-processor.
    pub(crate) fn check_used(
        &self,
        builds: &BTreeSet<String>,
        post_processors: &BTreeSet<String>,
        diagnostics: &mut Diagnostics,
    ) {
        let excludable: BTreeSet<String> = builds.union(post_processors).cloned().collect();
        for (flag, patterns, names) in [("only", &self.only, builds), ("except", &self.except, &excludable)] {
            let unused = |pattern: &&Pattern| !names.iter().any(|name| pattern.matches(name));
            for pattern in patterns.iter().filter(unused) {
                let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let known = match known.as_slice() {
                    [] => "There are no builds.".to_owned(),
                    [one] => format!("There is {one}."),
                    known => format!("There are {}.", known.join(", ")),
                };
                let similar = similar_name(&pattern.text, names.iter().map(String::as_str));
                diagnostics.push(
                    Diagnostic::warning(None, format!("`{}` of `-{flag}` matches nothing", pattern.text))
                        .detail(known)
                        .help(similar.map(|similar| format!("did you mean `{similar}`?"))),
                );
            }
        }
    }
}

/// A pattern: `*` any text, `?` one character, `[abc]`, `[!abc]`, `[a-z]` one of a set, `{a,b}` one of several, `\` takes the
/// next character as it is.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    regex: regex::Regex,
}

impl Pattern {
    /// Reads a pattern; `None` when it is not one.
    fn parse(text: &str) -> Option<Self> {
        let mut expression = String::from("(?s)^");
        let mut rest = text.chars();
        let mut alternatives = 0usize;
        while let Some(c) = rest.next() {
            match c {
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                '[' => set(&mut rest, &mut expression)?,
                '{' => {
                    alternatives += 1;
                    expression.push_str("(?:");
                }
                '}' if alternatives > 0 => {
                    alternatives -= 1;
                    expression.push(')');
                }
                ',' if alternatives > 0 => expression.push('|'),
                '\\' => literal(rest.next()?, &mut expression),
                _ => literal(c, &mut expression),
            }
        }
        // Values are split at commas before they come here, so `{a,b}` arrives as `{a` and `b}`: both are patterns.
        expression.extend(std::iter::repeat_n(')', alternatives));
        expression.push('$');
        Some(Self {
            text: text.to_owned(),
            regex: regex::Regex::new(&expression).ok()?,
        })
    }

    /// The pattern that matches this name only.
    fn literal(name: &str) -> Option<Self> {
        Some(Self {
            text: name.to_owned(),
            regex: regex::Regex::new(&format!("^{}$", regex::escape(name))).ok()?,
        })
    }

    /// Does the whole name match?
    fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

fn literal(c: char, expression: &mut String) {
    expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

fn set(rest: &mut std::str::Chars<'_>, expression: &mut String) -> Option<()> {
    expression.push('[');
    let mut content: Vec<char> = Vec::new();
    loop {
        match rest.next()? {
            ']' => break,
            '\\' => content.push(rest.next()?),
            c => content.push(c),
        }
    }
    let mut members = content.as_slice();
    if let Some((&'!', others)) = members.split_first() {
        expression.push('^');
        members = others;
    }
    if members.is_empty() {
        return None;
    }
    for (at, c) in members.iter().enumerate() {
        let is_range = *c == '-' && at > 0 && at + 1 < members.len();
        if is_range {
            expression.push('-');
        } else {
            literal(*c, expression);
        }
    }
    expression.push(']');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("null.*", "null.a.b", true),
            ("*", "anything", true),
            ("null.?", "null.ab", false),
            ("null.[ab]", "null.b", true),
            ("null.[!a]", "null.a", false),
            ("null.[a-c]", "null.c", true),
            ("null.{a,b}", "null.b", true),
            ("a\\*", "a*", true),
            ("a.b", "axb", false),
            (" null.a", "null.a", false),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(Pattern::parse("null.{a").unwrap().matches("null.a"));
        for pattern in ["[", "\\", "[]"] {
            assert!(Pattern::parse(pattern).is_none(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "\\PC*|[\\[\\]{},!*?\\\\a-c-]*", name in "\\PC*") {
            let _ = Pattern::parse(&pattern).map(|pattern| pattern.matches(&name));
        }
    }
}
