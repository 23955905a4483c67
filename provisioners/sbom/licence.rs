//! Licences as packages name them, and as SPDX does where that is known.

use std::collections::BTreeSet;

/// The licences of a package; all of them hold together. Empty: nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Licences(Vec<Licence>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Licence {
    /// An expression of SPDX: `MIT`, `Apache-2.0 OR MIT`.
    Spdx(String),
    /// A name that SPDX does not know.
    Named(String),
}

impl Licences {
    /// A text that is an SPDX expression, or a name.
    pub(super) fn of(text: &str) -> Self {
        let text = text.trim();
        match text {
            "" | "UNKNOWN" | "NOASSERTION" => Self::default(),
            _ => Self(vec![Licence::of(text)]),
        }
    }

    /// The names in a copyright file of Debian, each licence once.
    pub(super) fn of_debian<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::trim).filter(|name| !name.is_empty());
        let all: BTreeSet<Licence> = names.map(Licence::of_debian).collect();
        Self(all.into_iter().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Licence> {
        self.0.iter()
    }
}

impl Licence {
    fn of(text: &str) -> Self {
        match spdx::Expression::parse(text) {
            Ok(expression) => Self::Spdx(expression.to_string()),
            Err(_) => Self::Named(text.to_owned()),
        }
    }

    /// `GPL-2+ or Artistic` of Debian is `GPL-2.0-or-later OR Artistic-1.0` of SPDX.
    fn of_debian(text: &str) -> Self {
        for (word, operator) in [(" or ", " OR "), (" and ", " AND ")] {
            if !text.contains(word) {
                continue;
            }
            let parts: Option<Vec<String>> = text.split(word).map(identifier_of_debian).collect();
            return match parts {
                Some(parts) => Self::Spdx(parts.join(operator)),
                None => Self::Named(text.to_owned()),
            };
        }
        match identifier_of_debian(text) {
            Some(identifier) => Self::Spdx(identifier),
            None => Self::of(text),
        }
    }

    /// Is it one identifier, and no expression of several?
    pub(super) fn is_simple(&self) -> bool {
        match self {
            Self::Spdx(text) => spdx::license_id(text).is_some_and(|id| id.name == text),
            Self::Named(_) => false,
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Spdx(text) | Self::Named(text) => text,
        }
    }
}

/// What SPDX calls a licence with a short name of Debian's.
fn identifier_of_debian(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    let known = match name.as_str() {
        "expat" => Some("MIT"),
        "artistic" => Some("Artistic-1.0"),
        "psf-2" => Some("PSF-2.0"),
        "apache-2" => Some("Apache-2.0"),
        "bsd-2-clause" => Some("BSD-2-Clause"),
        "bsd-3-clause" => Some("BSD-3-Clause"),
        "bsd-4-clause" => Some("BSD-4-Clause"),
        _ => None,
    };
    let of_gnu = || {
        let (plain, or_later) = name
            .strip_suffix('+')
            .map_or((name.as_str(), false), |plain| (plain, true));
        let (family, version) = plain.rsplit_once('-')?;
        let family = match family {
            "gpl" | "lgpl" | "agpl" | "gfdl" => family.to_ascii_uppercase(),
            _ => return None,
        };
        let version = if version.contains('.') {
            version.to_owned()
        } else {
            format!("{version}.0")
        };
        let suffix = if or_later { "or-later" } else { "only" };
        Some(format!("{family}-{version}-{suffix}"))
    };
    let found = known.map(str::to_owned).or_else(of_gnu);
    if let Some(found) = found {
        return spdx::license_id(&found).map(|id| id.name.to_owned());
    }
    let mut identifiers = spdx::identifiers::LICENSES.iter();
    let same = identifiers.find(|licence| licence.name.eq_ignore_ascii_case(&name));
    same.map(|licence| licence.name.to_owned())
}

/// Expressions that hold together.
pub(super) fn expression<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.collect();
    if let [only] = parts.as_slice() {
        return (*only).to_owned();
    }
    let grouped = |part: &&str| {
        if part.contains(" OR ") {
            format!("({part})")
        } else {
            (*part).to_owned()
        }
    };
    parts.iter().map(grouped).collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian(text: &str) -> String {
        match Licence::of_debian(text) {
            Licence::Spdx(text) => text,
            Licence::Named(text) => format!("named {text}"),
        }
    }

    #[test]
    fn debians_names_become_those_of_spdx() {
        assert_eq!(debian("GPL-2+"), "GPL-2.0-or-later");
        assert_eq!(debian("LGPL-2.1"), "LGPL-2.1-only");
        assert_eq!(debian("GPL-1+ or Artistic"), "GPL-1.0-or-later OR Artistic-1.0");
        assert_eq!(debian("Expat"), "MIT");
        assert_eq!(debian("zlib"), "Zlib");
        assert_eq!(debian("public-domain"), "named public-domain");
        assert_eq!(
            debian("GPL-2+ with OpenSSL exception"),
            "named GPL-2+ with OpenSSL exception"
        );
        assert_eq!(debian("GPL-9+"), "named GPL-9+");
    }

    #[test]
    fn expressions_are_kept_and_nothing_is_made_up() {
        assert_eq!(
            Licences::of("MIT AND BSD-3-Clause").0,
            [Licence::Spdx("MIT AND BSD-3-Clause".into())]
        );
        assert_eq!(
            Licences::of("GPLv2+ and so on").0,
            [Licence::Named("GPLv2+ and so on".into())]
        );
        assert!(Licences::of(" UNKNOWN ").is_empty());
        assert_eq!(Licences::of_debian(["Expat", "MIT", " "]).0.len(), 1);
    }
}
