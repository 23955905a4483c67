//! The distributions of well-known AMIs: which AMI is of which, which one this machine is, and which image of a public registry has it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A distribution and its release, as `/etc/os-release` names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    /// `debian`, `amzn`, …
    pub(crate) id: String,
    /// `12`, `24.04`, `2023`, …: of Red Hat's family the major number.
    pub(crate) release: String,
}

/// A row of the table below.
struct Row {
    id: &'static str,
    title: &'static str,
    releases: &'static [&'static str],
    /// The image; `{release}` stands for the release, or for the tag of it.
    image: &'static str,
    /// The release with the tag of its image, where that is another.
    tags: &'static [(&'static str, &'static str)],
}

/// Where each distribution is pulled from: its publisher's own registry, or the mirror of Docker's official images that has no limit for
/// users without an account. The tag names the release and nothing newer; which build of it was pulled is kept.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { id: "amzn", title: "Amazon Linux", releases: &["2", "2023"], image: "public.ecr.aws/amazonlinux/amazonlinux:{release}", tags: &[] },
    Row { id: "ubuntu", title: "Ubuntu", releases: &["16.04", "18.04", "20.04", "22.04", "24.04", "26.04"], image: "public.ecr.aws/docker/library/ubuntu:{release}", tags: &[] },
    Row { id: "debian", title: "Debian GNU/Linux", releases: &["11", "12", "13"], image: "public.ecr.aws/docker/library/debian:{release}", tags: &[] },
    Row { id: "rocky", title: "Rocky Linux", releases: &["8", "9"], image: "quay.io/rockylinux/rockylinux:{release}", tags: &[] },
    Row { id: "almalinux", title: "AlmaLinux", releases: &["8", "9"], image: "quay.io/almalinuxorg/almalinux:{release}", tags: &[] },
    Row { id: "rhel", title: "Red Hat Enterprise Linux", releases: &["8", "9"], image: "registry.access.redhat.com/ubi{release}", tags: &[("8", "8/ubi:8.10"), ("9", "9/ubi:9.6")] },
];

impl Distribution {
    pub(crate) fn new(id: &str, release: &str) -> Distribution {
        Distribution {
            id: id.to_owned(),
            release: release.to_owned(),
        }
    }

    fn row(&self) -> Option<&'static Row> {
        ROWS.iter()
            .find(|row| row.id == self.id && row.releases.contains(&self.release.as_str()))
    }

    /// The image that has it.
    pub(crate) fn image(&self) -> Option<String> {
        let row = self.row()?;
        let tag = row.tags.iter().find(|(release, _)| *release == self.release);
        Some(
            row.image
                .replace("{release}", tag.map_or(self.release.as_str(), |(_, tag)| tag)),
        )
    }

    /// Is it what this machine runs?
    pub(crate) fn is_of(&self, host: &Host) -> bool {
        let release = host.release.strip_prefix(self.release.as_str());
        host.id == self.id && release.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {}",
            self.row().map_or(self.id.as_str(), |row| row.title),
            self.release
        )
    }
}

/// What this machine runs, by its `/etc/os-release`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    id: String,
    release: String,
    /// For people.
    pub(crate) title: String,
}

impl Host {
    /// Reads it; where there is no such file, it is like no distribution.
    pub(crate) fn detect() -> Host {
        let files = ["/etc/os-release", "/usr/lib/os-release"];
        let text = files
            .iter()
            .find_map(|file| std::fs::read_to_string(Path::new(file)).ok());
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Host {
        let fields: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .map(|(name, value)| (name, value.trim_matches(['"', '\''])))
            .collect();
        let field = |name: &str| fields.get(name).map(|value| (*value).to_owned());
        Host {
            id: field("ID").unwrap_or_default(),
            release: field("VERSION_ID").unwrap_or_default(),
            title: field("PRETTY_NAME").unwrap_or_else(|| "this machine's system".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_an_image_by_a_fixed_tag() {
        for row in ROWS {
            for release in row.releases {
                let image = Distribution::new(row.id, release).image().unwrap();
                let reference: bakelite_oci::Reference = image.parse().unwrap();
                assert_eq!(reference.to_string(), image, "the whole name is written out");
                let tag = reference.version();
                assert!(tag.starts_with(release) && tag != "latest", "{image}");
            }
        }
    }

    #[test]
    fn the_documentation_lists_the_images() {
        let rows = ROWS.iter().flat_map(|row| {
            row.releases
                .iter()
                .map(move |release| Distribution::new(row.id, release))
        });
        let rows = rows.map(|row| format!("| {row} | `{}` |", row.image().unwrap()));
        let table = format!(
            "| distribution | image |\n|---|---|\n{}\n",
            rows.collect::<Vec<_>>().join("\n")
        );
        let page = include_str!("../../../docs/guide/local-images.md");
        assert!(
            page.contains(&table),
            "docs/guide/local-images.md should have:\n\n{table}"
        );
    }

    #[test]
    fn a_machine_is_of_its_own_release_alone() {
        let host = Host::parse("PRETTY_NAME=\"Rocky Linux 9.5 (Blue Onyx)\"\nID=\"rocky\"\nVERSION_ID='9.5'\n");
        assert!(Distribution::new("rocky", "9").is_of(&host));
        for (id, release) in [("rocky", "8"), ("rhel", "9"), ("rocky", "9.50"), ("rocky", "")] {
            assert!(!Distribution::new(id, release).is_of(&host), "{id} {release}");
        }
        assert!(Distribution::new("amzn", "2").is_of(&Host::parse("ID=amzn\nVERSION_ID=2")));
        assert!(!Distribution::new("amzn", "2").is_of(&Host::parse("ID=amzn\nVERSION_ID=2023")));
        assert_eq!(Host::parse("").title, "this machine's system");
    }
}
