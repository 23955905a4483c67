//! The lowest layer of a machine that stands on this machine's own system directories: everything around those directories, and
//! of `/etc` only what is no secret.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// Names below `/etc` that stay behind whatever their mode is: accounts (written anew), secrets, and what names or
/// configures the host itself.
const LEFT_BEHIND: [&str; 44] = [
    "passwd",
    "passwd-",
    "group",
    "group-",
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "subuid",
    "subuid-",
    "subgid",
    "subgid-",
    "sudoers",
    "sudoers.d",
    "ssh",
    "ssl/private",
    "machine-id",
    "hostname",
    "hosts",
    "fstab",
    "mtab",
    "crypttab",
    "krb5.keytab",
    "NetworkManager",
    "netplan",
    "wpa_supplicant",
    "wireguard",
    "docker",
    "containerd",
    "kubernetes",
    "rancher",
    "cni",
    "letsencrypt",
    "cloud",
    "environment",
    "environment.d",
    "pip.conf",
    "npmrc",
    "gitconfig",
    "netrc",
    "apt/auth.conf",
    "apt/auth.conf.d",
    "cron.d",
    "boto.cfg",
];
/// Empty directories that a system has, with their modes.
const DIRECTORIES: [(&str, u32); 24] = [
    ("home", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("run", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("mnt", 0o755),
    ("media", 0o755),
    ("srv", 0o755),
    ("opt", 0o755),
    ("boot", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/cache", 0o755),
    ("var/cache/apt", 0o755),
    ("var/cache/apt/archives", 0o755),
    ("var/spool", 0o755),
    ("var/mail", 0o2775),
    ("var/lib/misc", 0o755),
    ("etc", 0o755),
    ("etc/sudoers.d", 0o755),
];
/// Top-level links of a merged `/usr`.
const LINKS: [&str; 8] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "libo32"];

/// How deep below a system directory a machine can write whose root is not the host's; `/usr/local/lib/python3.11/dist-packages` is four deep.
const DEEPEST_COPY: usize = 4;

/// Builds the layer; `directories` are those of the host that will lie above it.
pub(super) fn build(to: &Path, directories: &[String]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for (name, mode) in DIRECTORIES {
        fs::create_dir_all(to.join(name))?;
        fs::set_permissions(to.join(name), fs::Permissions::from_mode(mode))?;
    }
    for name in LINKS {
        let path = Path::new("/").join(name);
        if path.is_symlink() {
            symlink(fs::read_link(path)?, to.join(name))?;
        }
    }
    symlink("/run", to.join("var/run"))?;
    symlink("/run/lock", to.join("var/lock"))?;
    copy_public(Path::new("/etc"), &to.join("etc"), "")?;
    write_accounts(&to.join("etc"))?;
    let sudoers = to.join("etc/sudoers");
    fs::write(
        &sudoers,
        "Defaults env_reset\nDefaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
         root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    )?;
    fs::set_permissions(&sudoers, fs::Permissions::from_mode(0o440))?;
    fs::set_permissions(to.join("etc/sudoers.d"), fs::Permissions::from_mode(0o750))?;
    for directory in directories {
        fs::create_dir_all(to.join(directory))?;
        let from = Path::new("/").join(directory);
        if is_foreign(&from) {
            copy_directories(&from, &to.join(directory), DEEPEST_COPY)?;
            if directory.starts_with("var/lib/") {
                copy_records(&from, &to.join(directory))?;
            }
        }
    }
    Ok(())
}

/// Copies what everybody may read.
fn copy_public(from: &Path, to: &Path, below: &str) -> io::Result<()> {
    for entry in fs::read_dir(from)?.flatten() {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let place = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let target = to.join(entry.file_name());
        let Ok(found) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if LEFT_BEHIND.contains(&place.as_str()) || fs::symlink_metadata(&target).is_ok() && !found.is_dir() {
            continue;
        }
        if found.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if found.is_dir() && found.mode() & 0o005 == 0o005 {
            fs::create_dir_all(&target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(found.mode() & 0o7777))?;
            copy_public(&entry.path(), &target, &place)?;
        } else if found.is_file() && found.mode() & 0o004 != 0 {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Writes the accounts of the system anew: no people, no passwords.
fn write_accounts(etc: &Path) -> io::Result<()> {
    let is_system = |line: &&str| {
        line.split(':')
            .nth(2)
            .and_then(|id| id.parse::<u32>().ok())
            .is_some_and(|id| id < 1000 || id == 65534)
    };
    let passwd = fs::read_to_string("/etc/passwd")?;
    let group = fs::read_to_string("/etc/group")?;
    let (mut users, mut shadow, mut groups) = (String::new(), String::new(), String::new());
    for line in passwd.lines().filter(is_system) {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, comment, home, shell] = fields.as_slice() else {
            continue;
        };
        users += &[name, "x", uid, gid, comment, home, shell].join(":");
        users.push('\n');
        shadow += name;
        shadow += ":*:20000:0:99999:7:::\n";
    }
    for line in group.lines().filter(is_system) {
        let mut fields = line.split(':');
        if let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) {
            groups += &[name, "x", id, ""].join(":");
            groups.push('\n');
        }
    }
    fs::write(etc.join("passwd"), users)?;
    fs::write(etc.join("group"), groups)?;
    fs::write(etc.join("shadow"), shadow)?;
    fs::set_permissions(etc.join("shadow"), fs::Permissions::from_mode(0o640))
}

/// Whether a directory's owner has no id here, so that even root of a machine could create nothing in it.
fn is_foreign(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|found| found.uid() == 65534)
}

/// Copies the records of a package manager, so that root of a machine owns them and can add packages: what lies at the top of its
/// directory, and locks, which are empty.
fn copy_records(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (Ok(found), name) = (entry.metadata(), entry.file_name()) else {
            continue;
        };
        let is_lock = name
            .to_str()
            .is_some_and(|name| name.to_ascii_lowercase().contains("lock"));
        if is_lock {
            fs::write(to.join(&name), "")?;
            fs::set_permissions(to.join(&name), fs::Permissions::from_mode(0o640))?;
        } else if found.is_file() && found.mode() & 0o004 != 0 {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    // dpkg's other lock.
    if to.join("triggers").is_dir() {
        fs::write(to.join("triggers/Lock"), "")?;
    }
    Ok(())
}

/// Copies the bare directories of a tree. In the merged tree they count, so that a machine can add and replace files in
/// directories whose originals belong to the host's root. Deep directories stay as they are: tens of thousands of them, in which
/// nobody but their own package writes, would cost seconds.
fn copy_directories(from: &Path, to: &Path, levels: usize) -> io::Result<()> {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if !found.is_dir() || found.mode() & 0o005 != 0o005 {
            continue;
        }
        let target = to.join(entry.file_name());
        fs::create_dir_all(&target)?;
        // Of the thousands of directories below `share`, these are most, and a package makes its own there.
        let levels = match entry.file_name().to_str() {
            Some("doc" | "zoneinfo") => 1,
            _ => levels,
        };
        if levels > 1 {
            copy_directories(&entry.path(), &target, levels - 1)?;
        }
        fs::set_permissions(&target, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    }
    Ok(())
}
