//! What versions of client and agent mean to each other: both decide by the other's version how a session runs, without a word.

use std::cmp::Ordering;

/// The version that we give as ours, in the form of the official client's. It is load-bearing: from 1.1.70 on the agent multiplexes,
/// after 1.2.331.0 it expects no keepalive within the multiplexed stream.
pub const CLIENT_VERSION: &str = "1.2.694.0";

/// The official client multiplexes with agents after this one.
const LAST_AGENT_WITHOUT_MUX: &str = "3.0.196.0";

/// Agents up to this one end a multiplexed stream on which nothing arrived for 30 seconds.
const LAST_AGENT_WITH_KEEPALIVE: &str = "3.1.1511.0";

/// Agents after this one end the session when a flag asks for it.
const LAST_AGENT_WITHOUT_TERMINATE: &str = "2.3.722.0";

/// The agent multiplexes with clients from this one on.
const FIRST_CLIENT_WITH_MUX: &str = "1.1.70";

/// The property `type` of sessions that can be multiplexed.
pub(crate) const LOCAL_PORT_FORWARDING: &str = "LocalPortForwarding";

/// Whether the client multiplexes with an agent of this version.
pub(crate) fn client_multiplexes(agent: &str) -> bool {
    is_after(agent, LAST_AGENT_WITHOUT_MUX)
}

/// Whether an agent of this version requires keepalives of a multiplexed stream that is idle.
pub(crate) fn needs_keepalive(agent: &str) -> bool {
    !is_after(agent, LAST_AGENT_WITH_KEEPALIVE)
}

/// Whether an agent of this version understands that the client ends the session.
pub(crate) fn understands_terminate(agent: &str) -> bool {
    is_after(agent, LAST_AGENT_WITHOUT_TERMINATE)
}

/// Whether the agent multiplexes with a client of this version.
pub(crate) fn agent_multiplexes(client: &str) -> bool {
    compare(client, FIRST_CLIENT_WITH_MUX).is_some_and(Ordering::is_ge)
}

/// As the official client compares: part by part as numbers; other forms than ours are never after ours.
fn is_after(version: &str, than: &str) -> bool {
    let same_form = version.split('.').count() == than.split('.').count();
    same_form && compare(version, than) == Some(Ordering::Greater)
}

fn compare(one: &str, other: &str) -> Option<Ordering> {
    let parts = |version: &str| {
        version
            .split('.')
            .map(|part| part.parse::<u64>().ok())
            .collect::<Option<Vec<_>>>()
    };
    Some(parts(one)?.cmp(&parts(other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_strict_as_the_official_client_has_them() {
        assert!(!client_multiplexes("3.0.196.0"));
        assert!(client_multiplexes("3.0.196.1"));
        assert!(client_multiplexes("3.3.1957.0"));
        assert!(!client_multiplexes("3.3.1957"), "another form counts as old");
        assert!(!client_multiplexes("latest"));
        assert!(needs_keepalive("3.1.1511.0"));
        assert!(!needs_keepalive("3.1.1512.0"));
        assert!(understands_terminate("2.3.723.0"));
        assert!(!understands_terminate("2.3.722.0"));
    }

    #[test]
    fn our_own_version_makes_agents_multiplex_without_keepalive() {
        assert!(agent_multiplexes(CLIENT_VERSION));
        assert!(agent_multiplexes("1.1.70"));
        assert!(!agent_multiplexes("1.1.69.9"));
        assert!(is_after(CLIENT_VERSION, "1.2.331.0"));
    }
}
