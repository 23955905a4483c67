//! `-only` and `-except`: patterns on the names of builds and post-processors.

/// A pattern: `*` any text, `?` one character, `[abc]`, `[!abc]`, `[a-z]` one of a set, `{a,b}` one of several, `\` takes the
/// next character as it is.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: regex::Regex,
}

impl Pattern {
    /// Reads a pattern; `None` when it is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
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
            regex: regex::Regex::new(&expression).ok()?,
        })
    }

    /// Does the whole name match?
    pub(crate) fn matches(&self, name: &str) -> bool {
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
