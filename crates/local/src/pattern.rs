//! Patterns of EC2's filters and of IAM's policies.

/// Whether a value fits a pattern: `*` is any string, `?` any character, a backslash takes the next character literally.
pub(crate) fn matches(pattern: &str, value: &str) -> bool {
    let pattern = tokens(pattern);
    let value: Vec<char> = value.chars().collect();
    let (mut at, mut from) = (0, 0);
    // Where to resume when what follows the last `*` turns out not to match: the classic linear-space matcher.
    let mut resume: Option<(usize, usize)> = None;
    while at < value.len() {
        match pattern.get(from) {
            Some(Token::Any) => {
                resume = Some((from + 1, at));
                from += 1;
            }
            Some(Token::One) => (at, from) = (at + 1, from + 1),
            Some(Token::Literal(character)) if value.get(at) == Some(character) => (at, from) = (at + 1, from + 1),
            _ => match resume {
                Some((after, start)) => {
                    resume = Some((after, start + 1));
                    (at, from) = (start + 1, after);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(from).all(|token| *token == Token::Any)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Literal(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Literal(characters.next().unwrap_or('\\')),
            other => Token::Literal(other),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_ec2() {
        for (pattern, value, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            (
                "al2023-ami-*-x86_64",
                "al2023-ami-2023.5.20240708.0-kernel-6.1-x86_64",
                true,
            ),
            (
                "al2023-ami-*-x86_64",
                "al2023-ami-2023.5.20240708.0-kernel-6.1-arm64",
                false,
            ),
            ("*a*b", "xxaxxbxab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            ("Debian", "debian", false),
            ("é?", "éà", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value}");
        }
    }

    proptest! {
        #[test]
        fn every_text_matches_itself_escaped(text in ".{0,20}") {
            let pattern: String = text.chars().flat_map(|character| ['\\', character]).collect();
            prop_assert!(matches(&pattern, &text));
        }
    }
}
