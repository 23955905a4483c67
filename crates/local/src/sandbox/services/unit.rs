//! Where units are: their files, aliases, templates, drop-ins and masks, and what starts with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::command_line::{Specifiers, UnitName};
use super::unit_file::{UnitFile, boolean};

/// Where unit files lie, what counts most first.
pub(super) const DIRECTORIES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Kinds of units.
const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "target",
    "device",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
];
/// The longest unit file and environment file, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// The most drop-ins of a unit and links of a target.
const MOST_ENTRIES: usize = 512;
/// The most aliases that lead to each other.
const MOST_ALIASES: usize = 8;

/// A unit as its files describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name, not an alias of it.
    pub(super) name: String,
    /// The unit file or the script of `/etc/init.d`.
    pub(super) file: PathBuf,
    pub(super) drop_ins: Vec<PathBuf>,
    pub(super) content: UnitFile,
    /// Names of units that links in its `.wants` and `.requires` directories add.
    pub(super) linked: BTreeMap<&'static str, Vec<String>>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Unit(Box<Unit>),
    /// The name of a unit that must not be started, and what masks it.
    Masked(String, PathBuf),
    Missing(String),
}

/// The unit files below a root.
#[derive(Debug, Clone)]
pub(super) struct UnitFiles {
    root: PathBuf,
}

impl UnitFiles {
    pub(super) fn below(root: &Path) -> UnitFiles {
        UnitFiles { root: root.to_owned() }
    }

    /// A path of the machine below the root.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The root that paths are relative to.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Finds a unit by a name or an alias.
    pub(super) fn find(&self, name: &str) -> Found {
        let mut name = full_name(name);
        if !is_name(&name) {
            return Found::Missing(name);
        }
        for _ in 0..MOST_ALIASES {
            let Some(path) = self.file_of(&name) else {
                return self.init_script(name);
            };
            if is_mask(&path) {
                return Found::Masked(name, self.inside(&path));
            }
            match alias_of(&path, &name) {
                Some(other) => name = other,
                None => return self.load(name, &path),
            }
        }
        Found::Missing(name)
    }

    /// The file of a unit, or of its template.
    fn file_of(&self, name: &str) -> Option<PathBuf> {
        let there = |name: &str| {
            let paths = DIRECTORIES.iter().map(|directory| self.root.join(directory).join(name));
            paths.into_iter().find(|path| fs::symlink_metadata(path).is_ok())
        };
        there(name).or_else(|| there(&UnitName::of(name).template()?))
    }

    fn load(&self, name: String, path: &Path) -> Found {
        // A file that cannot be read has nothing to offer, as one that is empty.
        let mut content = UnitFile::parse(&read(path).unwrap_or_default());
        let drop_ins = self.drop_ins(&name);
        for drop_in in &drop_ins {
            content.extend(UnitFile::parse(&read(drop_in).unwrap_or_default()));
        }
        Found::Unit(Box::new(Unit {
            linked: ["wants", "requires"]
                .map(|kind| (kind, self.linked(&name, kind)))
                .into(),
            file: self.inside(path),
            drop_ins: drop_ins.iter().map(|path| self.inside(path)).collect(),
            content,
            name,
        }))
    }

    /// A path as the machine sees it.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root)
            .map_or_else(|_| path.to_owned(), |path| Path::new("/").join(path))
    }

    /// A service of System V's, if there is a script of this name.
    fn init_script(&self, name: String) -> Found {
        let stem = name.strip_suffix(".service").unwrap_or_default();
        let script = self.root.join("etc/init.d").join(stem);
        let is_script = !stem.is_empty()
            && fs::metadata(&script).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if !is_script {
            return Found::Missing(name);
        }
        let path = self.inside(&script);
        let of = |verb: &str| format!("{} {verb}\n", path.display());
        let text = format!(
            "[Unit]\nDescription={stem} (of /etc/init.d)\n[Service]\nType=forking\nRemainAfterExit=yes\nGuessMainPID=no\n\
             KillMode=process\nTimeoutSec=5min\nEnvironment=SYSTEMCTL_SKIP_REDIRECT=1\nExecStart={}ExecStop={}ExecReload={}",
            of("start"),
            of("stop"),
            of("reload"),
        );
        Found::Unit(Box::new(Unit {
            name,
            file: path,
            content: UnitFile::parse(&text),
            ..Unit::default()
        }))
    }

    /// The drop-ins of a unit, in the order in which they count.
    fn drop_ins(&self, name: &str) -> Vec<PathBuf> {
        let mut names = vec![UnitName::of(name).suffix.to_owned()];
        let stem_end = name.rfind('.').unwrap_or(name.len());
        for (dash, _) in name.match_indices('-').filter(|(dash, _)| *dash < stem_end) {
            names.push(format!("{}{}", &name[..=dash], &name[stem_end..]));
        }
        names.extend(UnitName::of(name).template());
        names.push(name.to_owned());
        let mut found: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
        // What counts most comes last, and takes the place of files of the same name.
        for name in names {
            for directory in DIRECTORIES.iter().rev() {
                let directory = self.root.join(directory).join(format!("{name}.d"));
                let entries = fs::read_dir(directory)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .take(MOST_ENTRIES);
                for entry in entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "conf")) {
                    found.insert(entry.file_name(), entry.path());
                }
            }
        }
        found
            .into_values()
            .filter(|path| !is_mask(path))
            .take(MOST_ENTRIES)
            .collect()
    }

    /// What links in `NAME.wants` or `NAME.requires` add to a unit.
    fn linked(&self, name: &str, kind: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        for directory in DIRECTORIES {
            let directory = self.root.join(directory).join(format!("{name}.{kind}"));
            let entries = fs::read_dir(directory)
                .into_iter()
                .flatten()
                .flatten()
                .take(MOST_ENTRIES);
            found.extend(
                entries
                    .filter_map(|entry| entry.file_name().into_string().ok())
                    .filter(|name| is_name(name)),
            );
        }
        found.into_iter().collect()
    }

    /// The names of all unit files, with the directory that each counts in.
    pub(super) fn all(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for directory in DIRECTORIES.iter().rev() {
            let directory = self.root.join(directory);
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if let Some(name) = entry.file_name().to_str().filter(|name| is_name(name)) {
                    found.insert(name.to_owned(), entry.path());
                }
            }
        }
        found
    }

    /// Reads a short file of the machine.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        read(&self.path(path))
    }
}

impl Unit {
    /// The units that a key of `[Unit]` names, with those that links add.
    pub(super) fn related(&self, key: &str, specifiers: &Specifiers) -> Vec<String> {
        let linked = match key {
            "Wants" => self.linked.get("wants"),
            "Requires" => self.linked.get("requires"),
            _ => None,
        };
        let words = self.content.words("Unit", key).into_iter();
        words
            .map(|word| specifiers.expand(word))
            .filter(|name| is_name(name))
            .chain(linked.into_iter().flatten().cloned())
            .collect()
    }

    /// Its description, or its name.
    pub(super) fn description(&self, specifiers: &Specifiers) -> String {
        let description = self.content.value("Unit", "Description");
        description.map_or_else(|| self.name.clone(), |text| specifiers.expand(text))
    }
}

/// Reads a regular file that is not too long; never waits.
fn read(path: &Path) -> Option<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() > LONGEST_FILE {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a file stands for nothing: a link to `/dev/null`, or empty.
fn is_mask(path: &Path) -> bool {
    match fs::read_link(path) {
        Ok(target) => target == Path::new("/dev/null"),
        Err(_) => fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0),
    }
}

/// The unit that a link makes this name an alias of.
fn alias_of(path: &Path, name: &str) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let target = target.file_name()?.to_str()?;
    let (own, other) = (UnitName::of(name), UnitName::of(target));
    if own.suffix != other.suffix {
        return None;
    }
    let other_name = match (own.instance, other.instance) {
        (Some(instance), Some("")) => format!("{}@{instance}.{}", other.prefix, other.suffix),
        _ => target.to_owned(),
    };
    (other_name != name && is_name(&other_name)).then_some(other_name)
}

/// A name with its suffix: `web` is `web.service`; a path is the unit that systemd takes it for.
pub(super) fn full_name(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    if SUFFIXES.contains(&UnitName::of(name).suffix) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// Whether this may be the name of a unit; it is part of paths.
pub(super) fn is_name(name: &str) -> bool {
    let letters = name
        .bytes()
        .all(|letter| letter.is_ascii_alphanumeric() || b"@:-_.\\".contains(&letter));
    letters && !name.starts_with(['.', '@']) && name.len() < 256 && SUFFIXES.contains(&UnitName::of(name).suffix)
}

/// Whether the conditions, or with `Assert` the assertions, of a unit hold; if not, the first that does not.
pub(super) fn check(files: &UnitFiles, unit: &Unit, specifiers: &Specifiers, kind: &str) -> Result<(), String> {
    let mut alternatives: Option<Result<(), String>> = None;
    for (key, value) in unit.content.section("Unit") {
        let Some(condition) = key.strip_prefix(kind).filter(|_| !value.is_empty()) else {
            continue;
        };
        let (is_alternative, rest) = value.strip_prefix('|').map_or((false, value), |rest| (true, rest));
        let (is_negated, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
        let holds = holds(files, condition, &specifiers.expand(rest.trim())) != is_negated;
        let outcome = if holds { Ok(()) } else { Err(format!("{key}={value}")) };
        if is_alternative {
            alternatives = Some(alternatives.unwrap_or(Err(String::new())).or(outcome));
        } else {
            outcome?;
        }
    }
    alternatives.unwrap_or(Ok(()))
}

/// Whether a condition holds in an instance: a container, whose root has not all rights of a machine's. What is not known here holds.
fn holds(files: &UnitFiles, condition: &str, value: &str) -> bool {
    const NO_CAPABILITIES: [&str; 5] = [
        "CAP_SYS_TIME",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_BOOT",
        "CAP_WAKE_ALARM",
    ];
    let path = files.path(value);
    match condition {
        "PathExists" => path.exists(),
        "PathIsDirectory" => path.is_dir(),
        "PathIsSymbolicLink" => path.is_symlink(),
        "PathIsReadWrite" => path.exists() && rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok(),
        "DirectoryNotEmpty" => fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()),
        "FileNotEmpty" => fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() > 0),
        "FileIsExecutable" => {
            fs::metadata(&path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        }
        "Virtualization" => boolean(value).unwrap_or(matches!(value, "container" | "private-users")),
        "Capability" => !NO_CAPABILITIES.contains(&value),
        "Architecture" => value == std::env::consts::ARCH.replace('_', "-"),
        "User" => matches!(value, "root" | "0" | "@system"),
        "KernelCommandLine" | "Security" | "FirstBoot" | "NeedsUpdate" | "ControlGroupController" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Root {
            Root(tempfile::tempdir().unwrap())
        }

        fn file(&self, path: &str, content: &str) -> &Root {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
            self
        }

        fn link(&self, path: &str, target: &str) -> &Root {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
            self
        }

        fn files(&self) -> UnitFiles {
            UnitFiles::below(self.0.path())
        }

        fn unit(&self, name: &str) -> Unit {
            match self.files().find(name) {
                Found::Unit(unit) => *unit,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_administrators_file_counts_most() {
        let root = Root::new();
        root.file("lib/systemd/system/a.service", "[Unit]\nDescription=package\n");
        assert_eq!(root.unit("a").file, Path::new("/lib/systemd/system/a.service"));
        root.file("etc/systemd/system/a.service", "[Unit]\nDescription=own\n");
        assert_eq!(root.unit("a.service").content.value("Unit", "Description"), Some("own"));
        assert_eq!(root.files().find("none"), Found::Missing("none.service".into()));
        assert_eq!(
            root.files().find("../../../etc/passwd"),
            Found::Missing("passwd.service".into())
        );
    }

    #[test]
    fn aliases_templates_and_masks_are_followed() {
        let root = Root::new();
        root.file("usr/lib/systemd/system/ssh.service", "[Service]\n")
            .file("usr/lib/systemd/system/getty@.service", "[Unit]\nDescription=%i\n")
            .link("etc/systemd/system/sshd.service", "/usr/lib/systemd/system/ssh.service")
            .link("usr/lib/systemd/system/autovt@.service", "getty@.service")
            .link("etc/systemd/system/loop.service", "loop2.service")
            .link("etc/systemd/system/loop2.service", "loop.service")
            .link("etc/systemd/system/off.service", "/dev/null");
        assert_eq!(root.unit("sshd").name, "ssh.service");
        assert_eq!(root.unit("autovt@tty1").name, "getty@tty1.service");
        assert!(matches!(root.files().find("off"), Found::Masked(name, _) if name == "off.service"));
        assert!(matches!(root.files().find("loop"), Found::Missing(_)));
    }

    #[test]
    fn drop_ins_and_links_add_to_a_unit() {
        let root = Root::new();
        root.file("lib/systemd/system/a-b.service", "[Service]\nUser=one\n")
            .file("lib/systemd/system/a-b.service.d/20.conf", "[Service]\nUser=two\n")
            .file(
                "etc/systemd/system/a-.service.d/10.conf",
                "[Service]\nUser=three\nUMask=077\n",
            )
            .file("etc/systemd/system/a-b.service.d/20.conf", "[Service]\nUser=four\n")
            .link("etc/systemd/system/a-b.service.wants/c.service", "/x")
            .file("etc/systemd/system/a-b.service.d/README", "[Service]\nUser=five\n");
        let unit = root.unit("a-b");
        assert_eq!(unit.content.values("Service", "User"), ["one", "three", "four"]);
        assert_eq!(unit.drop_ins.len(), 2);
        assert_eq!(unit.related("Wants", &Specifiers::default()), ["c.service"]);
    }

    #[test]
    fn scripts_of_init_d_are_services() {
        let root = Root::new();
        root.file("etc/init.d/old", "#!/bin/sh\n").file("etc/init.d/README", "");
        fs::set_permissions(root.0.path().join("etc/init.d/old"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            root.unit("old").content.value("Service", "ExecStart"),
            Some("/etc/init.d/old start")
        );
        assert!(matches!(root.files().find("README"), Found::Missing(_)));
    }

    #[test]
    fn conditions_decide() {
        let root = Root::new();
        root.file("etc/there", "x").file("etc/empty", "");
        let holds = |lines: &str| {
            let content = UnitFile::parse(&format!("[Unit]\n{lines}"));
            let unit = Unit {
                content,
                ..Unit::default()
            };
            check(&root.files(), &unit, &Specifiers::default(), "Condition").is_ok()
        };
        assert!(holds(
            "ConditionPathExists=/etc/there\nConditionVirtualization=container"
        ));
        assert!(holds(
            "ConditionPathExists=!/etc/none\nConditionFileNotEmpty=!/etc/empty\nConditionSomethingNew=1"
        ));
        assert!(!holds("ConditionPathExists=/etc/none"));
        assert!(!holds("ConditionVirtualization=!container"));
        assert!(holds("ConditionPathExists=|/etc/none\nConditionPathExists=|/etc/there"));
        assert!(!holds(
            "ConditionPathExists=|/etc/none\nConditionPathExists=|/etc/none2"
        ));
    }
}
