//! Which user and group ids a sandbox has, and how its map gets written.
//!
//! No id of a sandbox is root's on the host. A plain user's sandboxes have him as id 0 and his range of subordinate ids; root's
//! have a range alone, from `/etc/subuid` or from the part of the id space that systemd keeps for containers.

use std::io;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// The ids of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IdMap {
    /// Without isolation: no namespace, so our own.
    Own,
    /// Started by root: a range of ids that no account of the host has.
    Shifted {
        /// First id of the user range: the sandbox's root.
        users: u32,
        /// First id of the group range.
        groups: u32,
        /// How many.
        count: u32,
    },
    /// Started by root of a user namespace that is a plain user's (a rootless container): ids are what they are there.
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

/// Root has no ids to give to sandboxes.
#[derive(Debug, thiserror::Error)]
#[error("root's machines need {COUNT} user and group ids of their own, and this user namespace has no free ones")]
pub(crate) struct NoRange;

/// How many ids a sandbox of root has: enough for `nobody` (65534), as in every container.
const COUNT: u32 = 65536;
/// Where ids for containers lie by systemd's convention (systemd.io/UIDS-GIDS): no account and no dynamic user is here.
const CONTAINER_IDS: Range<u32> = 0x0008_0000..0x6fff_0000;
/// Where the search for a free range begins: far from where useradd (100000 on) and systemd-nspawn (by a hash) usually are.
const FIRST_TRIED: u32 = 0x6b61_0000;

impl IdMap {
    /// What this process may use.
    pub(crate) fn detect() -> Result<IdMap, NoRange> {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let name = user_name(user);
        let range = |file: &str| sub_range(&read(file), user, name.as_deref());
        let (users, groups) = (range("/etc/subuid"), range("/etc/subgid"));
        if user == 0 {
            let accounts = Accounts {
                subordinate: [read("/etc/subuid"), read("/etc/subgid")],
                own: [read("/etc/passwd"), read("/etc/group")],
            };
            return of_root(&read("/proc/self/uid_map"), users.zip(groups), &accounts);
        }
        Ok(match (users, groups) {
            (Some((users, n)), Some((groups, m))) if in_path("newuidmap") && in_path("newgidmap") => IdMap::Range {
                user,
                group,
                users,
                groups,
                count: n.min(m).min(COUNT - 1) + 1,
            },
            _ => IdMap::Single { user, group },
        })
    }

    /// How many ids there are inside; 0 where there is no inside.
    pub(crate) fn count(self) -> u32 {
        match self {
            IdMap::Own => 0,
            IdMap::Shifted { count, .. } | IdMap::Identity { count } | IdMap::Range { count, .. } => count,
            IdMap::Single { .. } => 1,
        }
    }

    /// User and group on the host that own what the sandbox's root owns, where that is not who we are.
    pub(crate) fn root(self) -> Option<(u32, u32)> {
        match self {
            IdMap::Shifted { users, groups, .. } => Some((users, groups)),
            _ => None,
        }
    }

    /// Writes the map of the user namespace that the process `pid` is in.
    pub(crate) async fn write(self, pid: u32) -> io::Result<()> {
        let write = |file: &str, line: String| std::fs::write(format!("/proc/{pid}/{file}"), line);
        match self {
            IdMap::Own => Ok(()),
            IdMap::Shifted { users, groups, count } => {
                write("uid_map", format!("0 {users} {count}\n"))?;
                write("gid_map", format!("0 {groups} {count}\n"))
            }
            IdMap::Identity { count } => {
                write("uid_map", format!("0 0 {count}\n"))?;
                write("gid_map", format!("0 0 {count}\n"))
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
                write("setgroups", "deny".into())?;
                write("uid_map", format!("0 {user} 1\n"))?;
                write("gid_map", format!("0 {group} 1\n"))
            }
        }
    }
}

/// The ids that are known to be in use.
struct Accounts {
    /// `/etc/subuid` and `/etc/subgid`.
    subordinate: [String; 2],
    /// `/etc/passwd` and `/etc/group`.
    own: [String; 2],
}

impl Accounts {
    /// Whether an id of this range is in use.
    fn have(&self, range: &Range<u32>) -> bool {
        let subordinate = self
            .subordinate
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| {
                let mut numbers = line.trim().split(':').skip(1);
                let first: u32 = numbers.next()?.parse().ok()?;
                let count: u32 = numbers.next()?.parse().ok()?;
                Some(first..first.saturating_add(count))
            });
        let own = self.own.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let id: u32 = line.split(':').nth(2)?.parse().ok()?;
            Some(id..id.saturating_add(1))
        });
        subordinate
            .chain(own)
            .any(|taken| taken.start < range.end && range.start < taken.end)
    }
}

/// The ids for sandboxes of root: of root's own subordinate range, or of a free one; in a rootless container, whose root is no root,
/// the ids of the container.
fn of_root(
    uid_map: &str,
    subordinate: Option<((u32, u32), (u32, u32))>,
    accounts: &Accounts,
) -> Result<IdMap, NoRange> {
    let lines: Vec<[u32; 3]> = uid_map
        .lines()
        .filter_map(|line| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            numbers.try_into().ok()
        })
        .collect();
    if let Some([_, outside, count]) = lines.iter().find(|[inside, ..]| *inside == 0)
        && *outside != 0
    {
        // The line of id 0 may be short (`0 1000 1`, then `1 100000 65536`): adjacent lines make one block.
        let mut end = *count;
        while let Some([inside, _, more]) = lines.iter().find(|[inside, ..]| *inside == end) {
            end = inside.saturating_add(*more);
        }
        return Ok(if end > 1 {
            IdMap::Identity { count: end.min(COUNT) }
        } else {
            IdMap::Single { user: 0, group: 0 }
        });
    }
    let is_mapped = |range: &Range<u32>| {
        let within = |[inside, _, count]: &[u32; 3]| *inside <= range.start && range.end - inside <= *count;
        lines.iter().any(within)
    };
    if let Some(((users, n), (groups, m))) = subordinate
        && n.min(m) >= COUNT
        && is_mapped(&(users..users.saturating_add(COUNT)))
    {
        return Ok(IdMap::Shifted {
            users,
            groups,
            count: COUNT,
        });
    }
    let block = COUNT as usize;
    let tried = (FIRST_TRIED..CONTAINER_IDS.end)
        .step_by(block)
        .chain((CONTAINER_IDS.start..FIRST_TRIED).step_by(block));
    tried
        .map(|first| first..first + COUNT)
        .find(|range| is_mapped(range) && !accounts.have(range))
        .map(|range| IdMap::Shifted {
            users: range.start,
            groups: range.start,
            count: COUNT,
        })
        .ok_or(NoRange)
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

/// Whether a program lies in `PATH` or in the usual system directories.
pub(crate) fn in_path(program: &str) -> bool {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    path.split(':')
        .any(|directory| Path::new(directory).join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "         0          0 4294967295\n";

    fn accounts(subordinate: &str, own: &str) -> Accounts {
        Accounts {
            subordinate: [subordinate.to_owned(), String::new()],
            own: [own.to_owned(), String::new()],
        }
    }

    fn first(ids: Result<IdMap, NoRange>) -> u32 {
        ids.unwrap().root().unwrap().0
    }

    #[test]
    fn sandboxes_of_root_never_have_ids_of_accounts() {
        let nobody = accounts("alice:100000:65536\n", "root:x:0:0::/root:/bin/sh\n");
        assert_eq!(first(of_root(WHOLE, None, &nobody)), FIRST_TRIED);
        let taken = accounts(&format!("bob:{}:1\n", FIRST_TRIED + 65535), "");
        assert_eq!(first(of_root(WHOLE, None, &taken)), FIRST_TRIED + COUNT);
        let directory = accounts("", &format!("eve:x:{}:1::/:/bin/sh\n", FIRST_TRIED + 7));
        assert_eq!(first(of_root(WHOLE, None, &directory)), FIRST_TRIED + COUNT);
    }

    #[test]
    fn root_s_own_subordinate_range_is_taken() {
        let own = Some(((300_000, 65536), (400_000, 131_072)));
        let expected = IdMap::Shifted {
            users: 300_000,
            groups: 400_000,
            count: COUNT,
        };
        assert_eq!(of_root(WHOLE, own, &accounts("", "")).unwrap(), expected);
        let short = Some(((300_000, 1000), (400_000, 1000)));
        assert_eq!(first(of_root(WHOLE, short, &accounts("", ""))), FIRST_TRIED);
    }

    #[test]
    fn root_without_a_free_range_is_refused_and_never_gets_its_own_ids() {
        assert!(of_root("0 0 65536\n", None, &accounts("", "")).is_err());
        assert!(of_root("0 0 1\n", None, &accounts("", "")).is_err());
        assert!(of_root("", None, &accounts("", "")).is_err());
        let all = accounts("daemon:0:4294967295\n", "");
        assert!(of_root(WHOLE, None, &all).is_err());
    }

    #[test]
    fn root_of_a_rootless_container_uses_the_container_s_ids() {
        let podman = "0 1000 1\n1 100000 65536\n";
        let ids = of_root(podman, None, &accounts("", "")).unwrap();
        assert_eq!(ids, IdMap::Identity { count: COUNT });
        let unshared = of_root("0 1000 1\n", None, &accounts("", "")).unwrap();
        assert_eq!(unshared, IdMap::Single { user: 0, group: 0 });
    }

    #[test]
    fn range_is_found_by_name_and_by_number() {
        let text = "# comment\nalice:100000:65536\n1001:165536:65536\nbroken\n";
        assert_eq!(sub_range(text, 5, Some("alice")), Some((100_000, 65536)));
        assert_eq!(sub_range(text, 1001, Some("bob")), Some((165_536, 65536)));
        assert_eq!(sub_range(text, 7, Some("carol")), None);
    }
}
