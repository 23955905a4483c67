//! Enabling, disabling and masking units: the links of their `[Install]`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::command_line::{Specifiers, UnitName};
use super::unit::{DIRECTORIES, Found, Unit, UnitFiles, full_name, is_name};

/// What there is to print.
pub(super) type Printed = Result<Vec<String>, String>;

/// Where links go.
#[derive(Debug, Clone)]
pub(super) struct Enabling<'a> {
    pub(super) files: &'a UnitFiles,
    pub(super) specifiers: Specifiers,
    /// Until the next boot only.
    pub(super) is_runtime: bool,
}

impl Enabling<'_> {
    fn directory(&self) -> PathBuf {
        let directory = if self.is_runtime {
            DIRECTORIES[1]
        } else {
            DIRECTORIES[0]
        };
        self.files.root().join(directory)
    }

    fn find(&self, verb: &str, name: &str) -> Result<Unit, String> {
        match self.files.find(name) {
            Found::Unit(unit) => Ok(*unit),
            Found::Masked(name, path) => Err(format!(
                "Failed to {verb} unit: Unit file {} is masked. ({name})",
                path.display()
            )),
            Found::Missing(name) => Err(format!("Failed to {verb} unit: Unit file {name} does not exist.")),
        }
    }

    /// Makes the links of units, and of those that go with them.
    pub(super) fn enable(&self, name: &str) -> Printed {
        let mut printed = Vec::new();
        let mut done = BTreeSet::new();
        let mut pending = vec![self.find("enable", name)?];
        while let Some(unit) = pending.pop() {
            if !done.insert(unit.name.clone()) {
                continue;
            }
            for link in self.links(&unit)? {
                let shown = self.files.inside(&link);
                if fs::read_link(&link).is_ok_and(|target| self.is_same(&target, &unit.file)) {
                    continue;
                }
                make_link(&unit.file, &link)
                    .map_err(|error| format!("Failed to enable unit: {}: {error}", shown.display()))?;
                printed.push(format!(
                    "Created symlink {} → {}.",
                    shown.display(),
                    unit.file.display()
                ));
            }
            for also in unit.content.words("Install", "Also") {
                pending.extend(self.find("enable", also).ok());
            }
        }
        if printed.is_empty() && done.len() == 1 && !self.find("enable", name)?.content.has("Install") {
            printed.push(format!(
                "The unit file {} has no installation config (WantedBy=, RequiredBy=, Alias=): nothing to enable.",
                full_name(name)
            ));
        }
        Ok(printed)
    }

    /// Whether two paths of the machine lead to one file, as those below `/lib` and `/usr/lib` do.
    fn is_same(&self, one: &Path, other: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(self.files.path(&path.display().to_string())).ok();
        one == other || real(one).is_some_and(|one| real(other).as_ref() == Some(&one))
    }

    /// The links that enabling a unit makes.
    fn links(&self, unit: &Unit) -> Result<Vec<PathBuf>, String> {
        let specifiers = Specifiers {
            unit: unit.name.clone(),
            ..self.specifiers.clone()
        };
        let words = |key| {
            unit.content
                .words("Install", key)
                .into_iter()
                .map(|word| specifiers.expand(word))
                .filter(|name| is_name(name))
        };
        let mut name = unit.name.clone();
        let parts = UnitName::of(&unit.name);
        if parts.instance == Some("") {
            let Some(instance) = unit.content.value("Install", "DefaultInstance") else {
                return Err(format!(
                    "Failed to enable unit: {name} is a template: an instance of it can be enabled."
                ));
            };
            name = format!("{}@{instance}.{}", parts.prefix, parts.suffix);
        }
        let directory = self.directory();
        let mut links = Vec::new();
        for (key, kind) in [
            ("WantedBy", "wants"),
            ("RequiredBy", "requires"),
            ("UpheldBy", "upholds"),
        ] {
            links.extend(words(key).map(|target| directory.join(format!("{target}.{kind}")).join(&name)));
        }
        links.extend(
            words("Alias")
                .filter(|alias| *alias != name)
                .map(|alias| directory.join(alias)),
        );
        Ok(links)
    }

    /// Removes all links to units, and to those that go with them.
    pub(super) fn disable(&self, name: &str) -> Printed {
        let unit = self.find("disable", name)?;
        let mut names: BTreeSet<String> = BTreeSet::from([unit.name.clone(), full_name(name)]);
        names.extend(unit.content.words("Install", "Also").into_iter().map(str::to_owned));
        let mut printed = Vec::new();
        for link in self.links_to(&names) {
            let shown = self.files.inside(&link);
            fs::remove_file(&link).map_err(|error| format!("Failed to disable unit: {}: {error}", shown.display()))?;
            printed.push(format!("Removed {}.", shown.display()));
        }
        Ok(printed)
    }

    /// Links that enable one of these units: those of their names in directories of targets, and aliases of them.
    fn links_to(&self, names: &BTreeSet<String>) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        let is_of = |path: &Path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| names.contains(name))
        };
        let mut directories: Vec<PathBuf> = DIRECTORIES[..2]
            .iter()
            .map(|directory| self.files.root().join(directory))
            .collect();
        if self.is_runtime {
            directories.remove(0);
        }
        for directory in directories {
            for entry in fs::read_dir(&directory)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
            {
                let is_of_target = entry
                    .extension()
                    .is_some_and(|kind| kind == "wants" || kind == "requires" || kind == "upholds");
                if is_of_target {
                    let links = fs::read_dir(&entry)
                        .into_iter()
                        .flatten()
                        .flatten()
                        .map(|link| link.path());
                    found.extend(links.filter(|link| is_link(link) && is_of(link)));
                } else if is_link(&entry) && fs::read_link(&entry).is_ok_and(|target| is_of(&target)) {
                    found.push(entry);
                }
            }
        }
        found
    }

    /// Makes sure that nothing starts a unit.
    pub(super) fn mask(&self, name: &str) -> Printed {
        let name = full_name(name);
        let link = self.directory().join(&name);
        let shown = self.files.inside(&link);
        if !is_name(&name) {
            return Err(format!("Failed to mask unit: Invalid unit name {name}."));
        }
        match fs::read_link(&link) {
            Ok(target) if target == Path::new("/dev/null") => return Ok(Vec::new()),
            Err(_) if fs::symlink_metadata(&link).is_ok() => {
                return Err(format!("Failed to mask unit: File {} already exists.", shown.display()));
            }
            _ => {}
        }
        make_link(Path::new("/dev/null"), &link)
            .map_err(|error| format!("Failed to mask unit: {}: {error}", shown.display()))?;
        Ok(vec![format!("Created symlink {} → /dev/null.", shown.display())])
    }

    /// Takes that back.
    pub(super) fn unmask(&self, name: &str) -> Printed {
        let name = full_name(name);
        let mut printed = Vec::new();
        for directory in &DIRECTORIES[..2] {
            let link = self.files.root().join(directory).join(&name);
            if is_name(&name) && fs::read_link(&link).is_ok_and(|target| target == Path::new("/dev/null")) {
                let shown = self.files.inside(&link);
                fs::remove_file(&link)
                    .map_err(|error| format!("Failed to unmask unit: {}: {error}", shown.display()))?;
                printed.push(format!("Removed {}.", shown.display()));
            }
        }
        Ok(printed)
    }

    /// systemd's name of whether a unit is enabled; nothing where there is none.
    pub(super) fn state(&self, name: &str) -> Option<&'static str> {
        let unit = match self.files.find(name) {
            Found::Missing(_) => return None,
            Found::Masked(_, path) => {
                return Some(if path.starts_with("/run") {
                    "masked-runtime"
                } else {
                    "masked"
                });
            }
            Found::Unit(unit) => *unit,
        };
        if unit.file.starts_with("/etc/init.d") {
            return Some("generated");
        }
        if unit.name != full_name(name) {
            return Some("alias");
        }
        let links = self.links_to(&BTreeSet::from([unit.name.clone()]));
        let persistent = self.files.root().join(DIRECTORIES[0]);
        if links.iter().any(|link| link.starts_with(&persistent)) {
            return Some("enabled");
        }
        if !links.is_empty() {
            return Some("enabled-runtime");
        }
        let has = |key| !unit.content.words("Install", key).is_empty();
        Some(if has("WantedBy") || has("RequiredBy") || has("Alias") {
            "disabled"
        } else if has("Also") {
            "indirect"
        } else {
            "static"
        })
    }
}

fn make_link(target: &Path, link: &Path) -> io::Result<()> {
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::symlink_metadata(link).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(link)?;
    }
    symlink(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("usr/lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        for (name, install) in [
            (
                "web.service",
                "WantedBy=multi-user.target\nAlias=www.service ../x.service\nAlso=web.socket\n",
            ),
            ("web.socket", "WantedBy=sockets.target\n"),
            ("one@.service", "WantedBy=%i.target\n"),
            ("plain.service", ""),
        ] {
            fs::write(units.join(name), format!("[Unit]\n[Install]\n{install}")).unwrap();
        }
        root
    }

    #[test]
    fn units_are_enabled_disabled_and_masked() {
        let root = root();
        let files = UnitFiles::below(root.path());
        let enabling = Enabling {
            files: &files,
            specifiers: Specifiers::default(),
            is_runtime: false,
        };
        assert_eq!(enabling.state("web"), Some("disabled"));
        let printed = enabling.enable("web").unwrap();
        let first = "Created symlink /etc/systemd/system/multi-user.target.wants/web.service → /usr/lib/systemd/system/web.service.";
        assert_eq!((printed[0].as_str(), printed.len()), (first, 3));
        assert_eq!(
            (enabling.state("web"), enabling.state("www")),
            (Some("enabled"), Some("alias"))
        );
        assert_eq!(enabling.enable("web"), Ok(Vec::new()));
        assert_eq!(enabling.disable("www").unwrap().len(), 3);
        assert_eq!(enabling.state("web"), Some("disabled"));
        assert_eq!(enabling.mask("web").unwrap().len(), 1);
        assert_eq!(enabling.state("web"), Some("masked"));
        assert!(enabling.enable("web").unwrap_err().contains("is masked"));
        assert_eq!(enabling.unmask("web").unwrap().len(), 1);
        assert!(enabling.enable("one@").is_err());
        enabling.enable("one@five").unwrap();
        assert!(
            root.path()
                .join("etc/systemd/system/five.target.wants/one@five.service")
                .is_symlink()
        );
        assert_eq!(
            (enabling.state("plain"), enabling.state("none")),
            (Some("static"), None)
        );
        assert!(
            enabling
                .enable("none")
                .unwrap_err()
                .contains("none.service does not exist")
        );
    }
}
