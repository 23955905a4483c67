//! Users of the machine, from the files of its root: `/etc/passwd`, `/etc/group`, `/etc/shadow`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};

/// A login user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Login name.
    pub(super) name: String,
    /// User id.
    pub(super) uid: u32,
    /// Primary group id.
    pub(super) gid: u32,
    /// Home directory.
    pub(super) home: PathBuf,
    /// Login shell.
    pub(super) shell: PathBuf,
}

impl Account {
    /// The machine's root, where its files do not tell.
    pub(super) fn root() -> Account {
        Account {
            name: "root".into(),
            uid: 0,
            gid: 0,
            home: "/root".into(),
            shell: "/bin/sh".into(),
        }
    }
}

/// The users that may log in to a machine.
#[derive(Debug)]
pub(super) enum Residents {
    /// The users of its root.
    OfRoot,
    /// Without isolation: the user who runs us, under all these names, each with a home directory below this one.
    Ourselves {
        /// Where the home directories are.
        homes: PathBuf,
        /// The names.
        names: Vec<String>,
    },
}

impl Residents {
    /// Finds a user by name.
    pub(super) fn find(&self, name: &str) -> Option<Account> {
        match self {
            Residents::OfRoot => find(name),
            Residents::Ourselves { homes, names } => names.iter().any(|other| other == name).then(|| Account {
                name: name.to_owned(),
                uid: rustix::process::getuid().as_raw(),
                gid: rustix::process::getgid().as_raw(),
                home: homes.join(name),
                shell: "/bin/sh".into(),
            }),
        }
    }
}

/// Finds a user of the root by name.
pub(super) fn find(name: &str) -> Option<Account> {
    fs::read_to_string("/etc/passwd")
        .ok()?
        .lines()
        .filter_map(parse)
        .find(|account| account.name == name)
}

fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?.into();
    let shell = fields
        .next()
        .filter(|shell| !shell.is_empty())
        .unwrap_or("/bin/sh")
        .into();
    Some(Account {
        name,
        uid,
        gid,
        home,
        shell,
    })
}

/// All groups of a user, the primary one first.
pub(super) fn groups(account: &Account) -> Vec<u32> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    let mut groups = vec![account.gid];
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members, ..] = fields.as_slice() else {
            continue;
        };
        if members.split(',').any(|member| member == account.name)
            && let Ok(gid) = gid.parse()
            && gid != account.gid
        {
            groups.push(gid);
        }
    }
    groups
}

/// Whether a name may be a login user's; anything else could add lines to `/etc/passwd`.
pub(super) fn is_valid_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.len() <= 32
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.'))
}

/// Makes sure that a login user exists who may do everything, as cloud-init does at first boot.
pub(super) fn ensure(name: &str) -> io::Result<Account> {
    if let Some(account) = find(name) {
        return Ok(account);
    }
    let account = create(name, "", None)?;
    join_groups(name, &["adm", "sudo", "wheel"])?;
    Ok(account)
}

/// Creates a user with a group and a home directory of its own.
pub(super) fn create(name: &str, comment: &str, shell: Option<&str>) -> io::Result<Account> {
    let id = free_id();
    let bash = Path::new("/bin/bash").exists();
    let shell = shell.unwrap_or(if bash { "/bin/bash" } else { "/bin/sh" });
    append(
        "/etc/passwd",
        0o644,
        &format!("{name}:x:{id}:{id}:{comment}:/home/{name}:{shell}\n"),
    )?;
    append("/etc/shadow", 0o640, &format!("{name}:!*:20000:0:99999:7:::\n"))?;
    add_group(name, id)?;
    let account = Account {
        name: name.to_owned(),
        uid: id,
        gid: id,
        home: format!("/home/{name}").into(),
        shell: shell.into(),
    };
    fs::create_dir_all("/home")?;
    if !account.home.exists() {
        fs::create_dir(&account.home)?;
        fs::set_permissions(&account.home, fs::Permissions::from_mode(0o755))?;
        copy_skeleton(Path::new("/etc/skel"), &account.home, &account);
        own(&account.home, &account)?;
    }
    Ok(account)
}

/// Adds the lines that are missing to the user's `authorized_keys`.
pub(super) fn authorize(account: &Account, keys: &[String]) -> io::Result<()> {
    let directory = account.home.join(".ssh");
    if !directory.is_dir() {
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        own(&directory, account)?;
    }
    let file = directory.join("authorized_keys");
    let mut text = fs::read_to_string(&file).unwrap_or_default();
    for key in keys.iter().map(|key| key.trim()) {
        if !text.lines().any(|line| line == key) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(key);
            text.push('\n');
        }
    }
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    own(&file, account)
}

/// Lets the users become root without a password in roots that have a `sudo` of their own.
pub(super) fn allow_sudo(users: &[String]) -> io::Result<()> {
    let rules = users.iter().map(|user| format!("{user} ALL=(ALL) NOPASSWD:ALL"));
    add_sudo_rules(&rules.collect::<Vec<_>>())
}

/// Adds the rules that are missing where cloud-init has those of its users.
pub(super) fn add_sudo_rules(rules: &[String]) -> io::Result<()> {
    if !Path::new("/etc/sudoers.d").is_dir() {
        return Ok(());
    }
    let file = "/etc/sudoers.d/90-cloud-init-users";
    let mut text = fs::read_to_string(file).unwrap_or_default();
    for rule in rules {
        if !text.lines().any(|other| other == rule) {
            text.push_str(rule);
            text.push('\n');
        }
    }
    if rules.is_empty() || fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::remove_file(file).ok();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o440)
        .open(file)?
        .write_all(text.as_bytes())
}

/// The first id from 1000 on that is neither a user's nor a group's.
fn free_id() -> u32 {
    let taken: Vec<u32> = ["/etc/passwd", "/etc/group"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|line| line.split(':').nth(2)?.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect();
    (1000..60000).find(|id| !taken.contains(id)).unwrap_or(60000)
}

fn append(file: &str, mode: u32, line: &str) -> io::Result<()> {
    let mut text = fs::read_to_string(file).unwrap_or_default();
    let fresh = text.is_empty();
    if !fresh && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    replace(file, &text, fresh.then_some(mode))
}

/// Writes the whole file anew beside the old one, which may be owned by an id that this machine does not have.
fn replace(file: &str, text: &str, mode: Option<u32>) -> io::Result<()> {
    let mode = mode
        .or_else(|| fs::metadata(file).ok().map(|old| old.permissions().mode()))
        .unwrap_or(0o644);
    let new = format!("{file}.bakelite-new");
    fs::remove_file(&new).ok();
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode & 0o7777))?;
    fs::rename(&new, file)
}

/// The id of a group.
pub(super) fn group(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        fields.next().filter(|other| *other == name)?;
        fields.nth(1)?.parse().ok()
    })
}

/// Creates a group unless it is there.
pub(super) fn ensure_group(name: &str) -> io::Result<()> {
    match group(name) {
        Some(_) => Ok(()),
        None => add_group(name, free_id()),
    }
}

fn add_group(name: &str, id: u32) -> io::Result<()> {
    append("/etc/group", 0o644, &format!("{name}:x:{id}:\n"))?;
    if Path::new("/etc/gshadow").exists() {
        append("/etc/gshadow", 0o640, &format!("{name}:!::\n"))?;
    }
    Ok(())
}

/// Makes a user a member of those groups that exist.
pub(super) fn join_groups(name: &str, groups: &[&str]) -> io::Result<()> {
    let Ok(text) = fs::read_to_string("/etc/group") else {
        return Ok(());
    };
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let joins = line.split(':').next().is_some_and(|group| groups.contains(&group));
            let members = line.rsplit(':').next().unwrap_or_default();
            match (
                joins && members.split(',').all(|member| member != name),
                line.ends_with(':'),
            ) {
                (false, _) => line.to_owned(),
                (true, true) => format!("{line}{name}"),
                (true, false) => format!("{line},{name}"),
            }
        })
        .collect();
    replace("/etc/group", &(lines.join("\n") + "\n"), None)
}

fn copy_skeleton(from: &Path, to: &Path, account: &Account) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            fs::create_dir(&target).ok();
            copy_skeleton(&entry.path(), &target, account);
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).ok();
        }
        own(&target, account).ok();
    }
}

/// Gives a file to the user, as far as the machine has more than one id.
fn own(path: &Path, account: &Account) -> io::Result<()> {
    match lchown(path, Some(account.uid), Some(account.gid)) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// Gives a terminal to the user.
pub(super) fn own_terminal(path: &Path, account: &Account) {
    chown(path, Some(account.uid), Some(5)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_are_read_as_login_does() {
        let account = parse("ubuntu:x:1000:1001:Ubuntu,,,:/home/ubuntu:/bin/bash").unwrap();
        assert_eq!((account.uid, account.gid), (1000, 1001));
        assert_eq!(account.home, Path::new("/home/ubuntu"));
        assert_eq!(parse("a:x:1:1::/:").unwrap().shell, Path::new("/bin/sh"));
        assert_eq!(parse("+::::::"), None);
        assert_eq!(parse(":x:0:0::/:/bin/sh"), None);
    }

    #[test]
    fn names_cannot_add_lines() {
        assert!(is_valid_name("ec2-user"));
        for name in ["", "-x", "a:b", "a\nb", "a b", "1a", "../x"] {
            assert!(!is_valid_name(name), "{name:?}");
        }
    }
}
