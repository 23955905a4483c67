//! Attacks on our own program, end to end: from inside an instance, from another user of the machine, from a hostile server, and on the
//! secrets of a bake. Every test is an attack that must fail (docs/explain/walls.md lists the walls).
//!
//! Run by root, attacks on the host run twice: bakelite as root, and bakelite as a plain user. What cannot run on a machine is listed as
//! ignored, with its reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod api;
mod cloud;
mod control_groups;
mod forwarding;
mod host;
mod kernel;
mod limits;
mod neighbours;
mod outwards;
mod peers;
mod races;
mod roots;
mod secrets;
mod started;
mod terminal;

use bakelite_test_support::backstop::Backstop;
use libtest_mimic::{Arguments, Trial};

use host::Host;

/// An attack: its name, what it takes, and the attack itself.
struct Attack(&'static str, Needs, fn(Host));

/// What an attack takes besides a user who runs bakelite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: whoever runs the tests runs bakelite, and no other user adds anything.
    Nothing,
    /// Both kinds of host: a wall that is built in another way for root than for a plain user.
    BothHosts,
    /// Both kinds of host, and root to prepare the attack: a control group, another user.
    BothHostsAndRoot,
    /// The same, and a hierarchy of control groups in which the test may make its own.
    ControlGroups,
    /// Bakelite run by root.
    RootHost,
    /// The same, and a kernel that gives instances a network.
    Network,
}

fn main() {
    let arguments = Arguments::from_args();
    let subjects: &[(&str, &[Attack])] = &[
        ("api", api::ATTACKS),
        ("control_groups", control_groups::ATTACKS),
        ("forwarding", forwarding::ATTACKS),
        ("kernel", kernel::ATTACKS),
        ("limits", limits::ATTACKS),
        ("neighbours", neighbours::ATTACKS),
        ("outwards", outwards::ATTACKS),
        ("peers", peers::ATTACKS),
        ("races", races::ATTACKS),
        ("roots", roots::ATTACKS),
        ("secrets", secrets::ATTACKS),
        ("terminal", terminal::ATTACKS),
    ];
    let attacks = subjects
        .iter()
        .flat_map(|(subject, attacks)| attacks.iter().map(move |attack| (*subject, attack)));
    let trials = attacks.flat_map(|(subject, attack)| trials(subject, attack)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    host::close();
    conclusion.exit();
}

/// The trials of an attack, one for each kind of host that it is about.
fn trials(subject: &str, attack: &Attack) -> Vec<Trial> {
    let Attack(name, needs, attack) = *attack;
    let trial = |kind: &str, host: Result<Host, &'static str>| {
        let (host, reason) = match host {
            Ok(host) => (Some(host), None),
            Err(reason) => (None, Some(reason)),
        };
        let trial = Trial::test(format!("{subject}::{name}{kind}"), move || {
            let host = host.ok_or("this machine cannot run it")?;
            let _limit = Backstop::of(name);
            attack(host);
            Ok(())
        });
        match reason {
            Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
            None => trial,
        }
    };
    let root = || trial(" (root as host)", Host::root());
    let plain = |host| trial(" (plain user as host)", host);
    match needs {
        Needs::Nothing => vec![trial("", Ok(Host::tester()))],
        Needs::BothHosts => vec![root(), plain(Ok(Host::plain()))],
        Needs::BothHostsAndRoot => vec![root(), plain(Host::root().map(|_| Host::plain()))],
        Needs::ControlGroups => {
            let groups = || match Host::root() {
                Ok(_) if control_groups::hierarchies().is_empty() => Err("needs control groups that root may make"),
                root => root,
            };
            vec![
                trial(" (root as host)", groups()),
                trial(" (plain user as host)", groups().map(|_| Host::plain())),
            ]
        }
        Needs::RootHost => vec![root()],
        Needs::Network => {
            let tun = std::fs::File::options().read(true).write(true).open("/dev/net/tun");
            let host = Host::root().and_then(|root| tun.map(|_| root).map_err(|_| "needs /dev/net/tun"));
            vec![trial(" (root as host)", host)]
        }
    }
}
