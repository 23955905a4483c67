//! Which user and group ids a sandbox has, and how its map gets written.

use std::io;
use std::path::Path;

use tokio::process::Command;

/// The ids of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// Started by root: ids are what they are on the host, without any power there.
    Identity {
        /// How many.
        count: u32,
    },
    /// Started by a user who owns a range in `/etc/subuid` and `/etc/subgid`: id 0 is the user, the others lie in the range.
    Range {
        /// Own user id.
        user: u32,
        /// Own group id.
        group: u32,
        /// First id of the user range.
        users: u32,
        /// First id of the group range.
        groups: u32,
        /// How many.
        count: u32,
    },
    /// Started by a user without a range: there is only id 0, which is the user.
    Single {
        /// Own user id.
        user: u32,
        /// Own group id.
        group: u32,
    },
}

impl IdMap {
    /// What this process may use.
    pub(crate) fn detect() -> IdMap {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        if user == 0 {
            let count = own_ids().min(65536);
            return if count > 1 {
                IdMap::Identity { count }
            } else {
                IdMap::Single { user, group }
            };
        }
        let name = user_name(user);
        let range = |file: &str| {
            sub_range(
                &std::fs::read_to_string(file).unwrap_or_default(),
                user,
                name.as_deref(),
            )
        };
        match (range("/etc/subuid"), range("/etc/subgid")) {
            (Some((users, n)), Some((groups, m))) if in_path("newuidmap") && in_path("newgidmap") => IdMap::Range {
                user,
                group,
                users,
                groups,
                count: n.min(m).min(65535) + 1,
            },
            _ => IdMap::Single { user, group },
        }
    }

    /// How many ids there are inside.
    pub(crate) fn count(self) -> u32 {
        match self {
            IdMap::Identity { count } | IdMap::Range { count, .. } => count,
            IdMap::Single { .. } => 1,
        }
    }

    /// Writes the map of the user namespace that the process `pid` is in.
    pub(crate) async fn write(self, pid: u32) -> io::Result<()> {
        match self {
            IdMap::Identity { count } => {
                std::fs::write(format!("/proc/{pid}/uid_map"), format!("0 0 {count}\n"))?;
                std::fs::write(format!("/proc/{pid}/gid_map"), format!("0 0 {count}\n"))
            }
            IdMap::Range {
                user,
                group,
                users,
                groups,
                count,
            } => {
                run_map_tool("newuidmap", pid, user, users, count).await?;
                run_map_tool("newgidmap", pid, group, groups, count).await
            }
            IdMap::Single { user, group } => {
                std::fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
                std::fs::write(format!("/proc/{pid}/uid_map"), format!("0 {user} 1\n"))?;
                std::fs::write(format!("/proc/{pid}/gid_map"), format!("0 {group} 1\n"))
            }
        }
    }
}

/// How many ids this process's own user namespace has from 0 on.
fn own_ids() -> u32 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            let inside = words.next()?.parse::<u32>().ok()?;
            let count = words.nth(1)?.parse::<u32>().ok()?;
            (inside == 0).then_some(count)
        })
        .unwrap_or(1)
}

async fn run_map_tool(tool: &str, pid: u32, own: u32, first: u32, count: u32) -> io::Result<()> {
    let numbers = [pid, 0, own, 1, 1, first, count - 1].map(|number| number.to_string());
    let output = Command::new(tool).args(&numbers).output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "`{tool}`: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

fn user_name(user: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == user.to_string()).then(|| name.to_owned())
    })
}

/// First id and length of the range of a user (by name or number) in the text of `/etc/subuid`.
fn sub_range(text: &str, user: u32, name: Option<&str>) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if Some(owner) != name && owner != user.to_string() {
            return None;
        }
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// Whether a program lies in `PATH` or in the usual system folders.
pub(crate) fn in_path(program: &str) -> bool {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    path.split(':').any(|folder| Path::new(folder).join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::sub_range;

    #[test]
    fn range_is_found_by_name_and_by_number() {
        let text = "# comment\nalice:100000:65536\n1001:165536:65536\nbroken\n";
        assert_eq!(sub_range(text, 5, Some("alice")), Some((100_000, 65536)));
        assert_eq!(sub_range(text, 1001, Some("bob")), Some((165_536, 65536)));
        assert_eq!(sub_range(text, 7, Some("carol")), None);
    }
}
