//! Versions and constraints on them, as `required_version` and `required_plugins` write them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The version that templates see as `packer.version` and that `required_version` is checked against.
pub const PACKER_VERSION: &str = "1.16.0";

/// A version: numbers, maybe a prerelease, maybe build metadata that does not count. Numbers that are left out are zero: `1.0` equals
/// `1.0.0`.
#[derive(Debug, Clone)]
pub struct Version {
    segments: Vec<u64>,
    prerelease: String,
}

/// Terms that a version must all satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    operator: Operator,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Pessimistic,
}

/// Why a string is not a version or a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not digits and dots.
    #[error("`{0}` is not a version")]
    Version(String),
    /// Not an operator with a version.
    #[error("`{0}` is not a version constraint")]
    Constraint(String),
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let invalid = || VersionError::Version(text.to_owned());
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (bare, _metadata) = bare.split_once('+').unwrap_or((bare, ""));
        let (core, prerelease) = bare.split_once('-').unwrap_or((bare, ""));
        let is_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '~');
        if !prerelease.chars().all(is_tag) || (prerelease.is_empty() && bare.ends_with('-')) {
            return Err(invalid());
        }
        let number = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let segments: Option<Vec<u64>> = core.split('.').map(number).collect();
        Ok(Self {
            segments: segments.ok_or_else(invalid)?,
            prerelease: prerelease.to_owned(),
        })
    }
}

impl Version {
    fn segment(&self, index: usize) -> u64 {
        self.segments.get(index).copied().unwrap_or(0)
    }

    /// Does it name a prerelease?
    pub fn is_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }

    fn compare_core(&self, other: &Version) -> Ordering {
        let count = self.segments.len().max(other.segments.len());
        (0..count)
            .map(|index| self.segment(index).cmp(&other.segment(index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let core = self.compare_core(other);
        core.then_with(|| compare_prereleases(&self.prerelease, &other.prerelease))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

/// A release is later than its prereleases; parts of digits compare as numbers and come before words.
fn compare_prereleases(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl FromStr for Constraint {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let term = |text: &str| {
            let text = text.trim();
            let (operator, rest) = operator(text);
            let version = rest
                .trim()
                .parse()
                .map_err(|_| VersionError::Constraint(text.to_owned()))?;
            Ok(Term { operator, version })
        };
        let terms = text.split(',').map(term).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            terms,
        })
    }
}

fn operator(text: &str) -> (Operator, &str) {
    let operators = [
        (">=", Operator::GreaterOrEqual),
        ("<=", Operator::LessOrEqual),
        ("!=", Operator::NotEqual),
        ("~>", Operator::Pessimistic),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("=", Operator::Equal),
    ];
    let found = operators
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)));
    found.unwrap_or((Operator::Equal, text))
}

impl Constraint {
    /// Does the version satisfy all terms?
    pub fn allows(&self, version: &Version) -> bool {
        self.terms.iter().all(|term| term.allows(version))
    }

    /// Does any term name a prerelease?
    pub fn has_prerelease(&self) -> bool {
        self.terms.iter().any(|term| term.version.is_prerelease())
    }
}

impl Term {
    fn allows(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        // A prerelease satisfies an ordering only relative to a prerelease of the same version.
        let comparable =
            !version.is_prerelease() || (self.version.is_prerelease() && version.compare_core(&self.version).is_eq());
        match self.operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Greater => comparable && order.is_gt(),
            Operator::GreaterOrEqual => comparable && order.is_ge(),
            Operator::Less => comparable && order.is_lt(),
            Operator::LessOrEqual => comparable && order.is_le(),
            Operator::Pessimistic => comparable && order.is_ge() && self.same_but_last(version),
        }
    }

    /// `~> 1.2.0` keeps `1.2`, `~> 1.16` keeps `1`, `~> 1` keeps nothing but its own major version.
    fn same_but_last(&self, version: &Version) -> bool {
        let kept = self.version.segments.len().saturating_sub(1).max(1);
        (0..kept).all(|index| version.segment(index) == self.version.segment(index))
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.segments.len().max(3);
        for index in 0..count {
            write!(f, "{}{}", if index == 0 { "" } else { "." }, self.segment(index))?;
        }
        if self.is_prerelease() {
            write!(f, "-{}", self.prerelease)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(constraint: &str, version: &str) -> bool {
        constraint
            .parse::<Constraint>()
            .unwrap()
            .allows(&version.parse().unwrap())
    }

    #[test]
    fn constraints_compare_as_documented() {
        for (constraint, version, expected) in [
            ("1", "1.0.0", true),
            ("1", "1.16.0", false),
            (">= 1.0, < 2", "1.16.0", true),
            ("~> 1.16", "1.99.0", true),
            ("~> 1.16", "2.0.0", false),
            ("~> 1.2.0", "1.2.9", true),
            ("~> 1.2.0", "1.3.0", false),
            ("~> 1", "1.8.2", true),
            ("~> 1", "2.0.0", false),
            ("!= 1.16.0", "1.16.0", false),
            (">= 1.16.0-beta", "1.16.0", true),
            (">= 1.0", "1.16.0-dev", false),
            ("v1.2", "1.2.0", true),
        ] {
            assert_eq!(allows(constraint, version), expected, "{constraint} {version}");
        }
    }

    #[test]
    fn versions_are_equal_when_neither_is_later() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(version("1.0"), version("v1.0.0+build"));
        assert_ne!(version("1.0"), version("1.0.0-rc1"));
        assert!(version("1.0.0-rc1") < version("1") && version("1.2") < version("1.10"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ">=", "abc", "1..2", ">> 1", "1.2-", "1.x", "~1"] {
            assert!(text.parse::<Constraint>().is_err(), "{text}");
        }
    }
}
