//! What the instance said, as packages: Debian's, RPM's, Alpine's, and those of Python and npm.

use std::collections::BTreeMap;

use super::collect::Collected;
use super::licence::Licences;
use super::purl::purl;

/// The system of an instance and its packages.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) system: System,
    /// Sorted by package URL, each once.
    pub(super) packages: Vec<Package>,
}

/// The operating system, as far as it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct System {
    /// `debian`
    pub(super) id: String,
    /// `12`
    pub(super) version: String,
    /// `Debian GNU/Linux 12 (bookworm)`
    pub(super) name: String,
    /// `Linux 6.1.0-18-amd64 x86_64`
    pub(super) kernel: String,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) purl: String,
    pub(super) licences: Licences,
    /// Who maintains or sells it.
    pub(super) supplier: String,
    /// The file of the instance that told of it, for packages of languages.
    pub(super) location: String,
}

impl Inventory {
    pub(super) fn of(collected: &Collected) -> Self {
        let system = System::of(collected);
        let mut by_purl = BTreeMap::new();
        let found = debian(collected, &system)
            .into_iter()
            .chain(rpm(collected, &system))
            .chain(alpine(collected, &system))
            .chain(python(collected))
            .chain(npm(collected));
        for package in found {
            by_purl.entry(package.purl.clone()).or_insert(package);
        }
        Self {
            system,
            packages: by_purl.into_values().collect(),
        }
    }
}

impl System {
    fn of(collected: &Collected) -> Self {
        let fields: BTreeMap<&str, &str> = collected
            .section("os-release")
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name, value.trim_matches(['"', '\''])))
            .collect();
        let field = |name| fields.get(name).copied().unwrap_or_default().to_owned();
        Self {
            id: field("ID"),
            version: field("VERSION_ID"),
            name: field("PRETTY_NAME"),
            kernel: collected.section("kernel").trim().to_owned(),
        }
    }

    /// The distribution as a qualifier of package URLs: `debian-12`.
    fn distro(&self) -> String {
        match (self.id.as_str(), self.version.as_str()) {
            (id, "") => id.to_owned(),
            (id, version) => format!("{id}-{version}"),
        }
    }
}

fn debian(collected: &Collected, system: &System) -> Vec<Package> {
    let mut licences: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in collected.section("copyright").lines() {
        let Some((path, name)) = line.split_once("/copyright:License:") else {
            continue;
        };
        let package = path.rsplit('/').next().unwrap_or_default();
        licences.entry(package).or_default().push(name);
    }
    let lines = collected.section("dpkg").lines();
    let packages = lines.filter_map(|line| {
        let [status, name, version, arch, source, source_version, maintainer] = fields(line)?;
        // The second letter is what is there: `i` for installed, `c` for configuration that was left.
        (status.chars().nth(1) == Some('i')).then(|| {
            let upstream = match (source == name, source_version == version) {
                (true, true) => String::new(),
                (_, true) => source.to_owned(),
                (_, false) => format!("{source}@{source_version}"),
            };
            let qualifiers = [("arch", arch), ("distro", &system.distro()), ("upstream", &upstream)];
            let namespace = if system.id.is_empty() { "debian" } else { &system.id };
            Package {
                purl: purl("deb", namespace, &name.to_lowercase(), version, &qualifiers),
                licences: Licences::of_debian(licences.get(name).into_iter().flatten().copied()),
                supplier: maintainer.to_owned(),
                ..Package::new(name, version)
            }
        })
    });
    packages.collect()
}

fn rpm(collected: &Collected, system: &System) -> Vec<Package> {
    let lines = collected.section("rpm").lines();
    let packages = lines.filter_map(|line| {
        let [name, epoch, version, arch, source, licence, vendor] = fields(line)?;
        // Keys of signers are in the database, and no packages.
        (name != "gpg-pubkey").then(|| {
            let qualifiers = [
                ("arch", arch),
                ("distro", &system.distro()),
                ("epoch", epoch),
                ("upstream", source),
            ];
            Package {
                purl: purl("rpm", &system.id, name, version, &qualifiers),
                licences: Licences::of(licence),
                supplier: vendor.to_owned(),
                ..Package::new(name, version)
            }
        })
    });
    packages.collect()
}

fn alpine(collected: &Collected, system: &System) -> Vec<Package> {
    let entries = collected.section("apk").split("\n\n");
    let packages = entries.filter_map(|entry| {
        let fields: BTreeMap<&str, &str> = entry.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |name| fields.get(name).copied().unwrap_or_default();
        let (name, version) = (field("P"), field("V"));
        if name.is_empty() || version.is_empty() {
            return None;
        }
        let upstream = if field("o") == name { "" } else { field("o") };
        let qualifiers = [
            ("arch", field("A")),
            ("distro", &system.distro()),
            ("upstream", upstream),
        ];
        let namespace = if system.id.is_empty() { "alpine" } else { &system.id };
        Some(Package {
            purl: purl("apk", namespace, &name.to_lowercase(), version, &qualifiers),
            licences: Licences::of(field("L")),
            supplier: field("m").to_owned(),
            ..Package::new(name, version)
        })
    });
    packages.collect()
}

fn python(collected: &Collected) -> Vec<Package> {
    let packages = collected.files("python").filter_map(|(path, text)| {
        let headers: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(": ")).collect();
        let header = |name: &str| {
            headers
                .iter()
                .find(|(one, _)| *one == name)
                .map(|(_, value)| value.trim())
        };
        let (name, version) = (header("Name")?, header("Version")?);
        let licence = header("License-Expression").or(header("License")).unwrap_or_default();
        // Some put the whole text of the licence there.
        let licence = if licence.len() > 100 { "" } else { licence };
        let normal = name.to_lowercase().replace(['_', '.'], "-");
        Some(Package {
            purl: purl("pypi", "", &normal, version, &[]),
            licences: Licences::of(licence),
            location: path.to_owned(),
            ..Package::new(name, version)
        })
    });
    packages.collect()
}

fn npm(collected: &Collected) -> Vec<Package> {
    let packages = collected.files("npm").filter_map(|(path, text)| {
        let manifest: serde_json::Value = serde_json::from_str(text).ok()?;
        let text = |key: &str| manifest.get(key).and_then(serde_json::Value::as_str);
        let (full_name, version) = (text("name")?, text("version")?);
        // A package's own directories may hold manifests, too, as tests do.
        let directory = path.strip_suffix("/package.json")?;
        if !directory.ends_with(&format!("/node_modules/{full_name}")) {
            return None;
        }
        let (namespace, name) = full_name.split_once('/').unwrap_or(("", full_name));
        Some(Package {
            purl: purl("npm", &namespace.to_lowercase(), &name.to_lowercase(), version, &[]),
            licences: Licences::of(text("license").unwrap_or_default()),
            location: path.to_owned(),
            ..Package::new(full_name, version)
        })
    });
    packages.collect()
}

impl Package {
    fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            purl: String::new(),
            licences: Licences::default(),
            supplier: String::new(),
            location: String::new(),
        }
    }
}

/// The fields of a line, divided by tabs; a line with fewer is none of ours.
fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    let fields: Vec<&str> = line.splitn(N, '\t').collect();
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sections of what `rpm` 4.18 and `dpkg-query` 1.21 print.
    const LISTED: &str = "\u{1}os-release\nID=fedora\nVERSION_ID='40'\n\u{1}rpm\n\
        plain\t\t1.0-1.fc40\tx86_64\tplain-1.0-1.fc40.src.rpm\tGPLv2+ and so on\t\n\
        hello-x\t2\t1.0-1.fc40\tx86_64\thello-x-1.0-1.fc40.src.rpm\tGPL-2.0-or-later AND MIT\tFedora Project\n\
        gpg-pubkey\t\ta15b79cc-63d04c2c\t(none)\t\tpubkey\t\n\
        cut off\t1\n\
        \u{1}dpkg\n\
        ii \tlibc6\t2.36-9+deb12u10\tamd64\tglibc\t2.36-9+deb12u10\tGNU Libc Maintainers <x@y>\n\
        ii \tlibc6\t2.36-9+deb12u10\ti386\tglibc\t2.36-9+deb12u10\tGNU Libc Maintainers <x@y>\n\
        hi \tg++\t4:12.2.0-3\tamd64\tgcc-defaults\t1.203\tx\n\
        rc \tgone\t1.0\tamd64\tgone\t1.0\tx\n\
        \u{1}copyright\n/usr/share/doc/g++/copyright:License: GPL-3+\n/usr/share/doc/g++/copyright:License: Expat\n\
        \u{1}end\n";

    fn listed() -> Inventory {
        Inventory::of(&Collected::read(LISTED, String::new()).unwrap())
    }

    #[test]
    fn packages_of_rpm_and_dpkg_are_told_apart_from_what_is_none() {
        let purls: Vec<String> = listed().packages.into_iter().map(|one| one.purl).collect();
        let dpkg = "amd64&distro=fedora-40&upstream=glibc";
        assert_eq!(
            purls,
            [
                "pkg:deb/fedora/g%2B%2B@4:12.2.0-3?arch=amd64&distro=fedora-40&upstream=gcc-defaults%401.203".to_owned(),
                format!("pkg:deb/fedora/libc6@2.36-9%2Bdeb12u10?arch={dpkg}"),
                format!("pkg:deb/fedora/libc6@2.36-9%2Bdeb12u10?arch={}", dpkg.replace("amd64", "i386")),
                "pkg:rpm/fedora/hello-x@1.0-1.fc40?arch=x86_64&distro=fedora-40&epoch=2&upstream=hello-x-1.0-1.fc40.src.rpm".to_owned(),
                "pkg:rpm/fedora/plain@1.0-1.fc40?arch=x86_64&distro=fedora-40&upstream=plain-1.0-1.fc40.src.rpm".to_owned(),
            ]
        );
    }

    #[test]
    fn licences_and_suppliers_belong_to_their_packages() {
        let packages = listed().packages;
        let texts = |index: usize| {
            packages[index]
                .licences
                .iter()
                .map(|one| one.text().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(0), ["GPL-3.0-or-later", "MIT"]);
        assert_eq!(texts(3), ["GPL-2.0-or-later AND MIT"]);
        assert_eq!(texts(4), ["GPLv2+ and so on"]);
        assert_eq!(packages[3].supplier, "Fedora Project");
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(sections in proptest::collection::vec("(os-release|kernel|dpkg|copyright|rpm|apk|python|npm|failed)\n([\\PC\t\n\u{2}:/]|P:|V:|Name: |\\{\"name\"){0,80}", 0..6)) {
            let text = sections.join("\n\u{1}");
            if let Ok(collected) = Collected::read(&format!("\u{1}{text}\n\u{1}end"), String::new()) {
                Inventory::of(&collected);
            }
        }
    }
}
