//! Control groups: an instance neither sees nor changes those of the host. All of it happens in groups that the test makes for itself.

use bakelite_test_support::eventually::until;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::host::{Ground, Host};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[Attack(
    "processes_of_the_host_are_neither_seen_nor_frozen_nor_killed",
    Needs::ControlGroups,
    out_of_reach,
)];

const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the hierarchies are in which the test may make groups: version 1 with its freezer, version 2, or both.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.filter(|words| match (words.get(2), words.get(3)) {
        (Some(&"cgroup2"), _) => true,
        (Some(&"cgroup"), Some(options)) => options.split(',').any(|option| option == "freezer"),
        _ => false,
    });
    let places = found.filter_map(|words| words.get(1).map(PathBuf::from));
    places
        .filter(|place| {
            let group = place.join(format!("bakelite-attacks-{}", std::process::id()));
            fs::create_dir(&group).and_then(|()| fs::remove_dir(&group)).is_ok()
        })
        .collect()
}

/// A group of the test's own, with another below it in which a process of the test sleeps. All go with the value.
struct Groups {
    group: PathBuf,
    below: PathBuf,
    sleeper: Child,
}

impl Groups {
    /// In this hierarchy, of the user who runs bakelite, as a systemd unit with `Delegate=yes` has one.
    fn make(ground: &Ground, hierarchy: &Path) -> Groups {
        let name = ground.context.root().file_name().unwrap();
        let group = hierarchy.join(name);
        let below = group.join(format!("victim-{}", name.to_string_lossy()));
        fs::create_dir(&group).unwrap();
        fs::create_dir(&below).unwrap();
        let mut command = Command::new("sleep");
        let sleeper = command.arg("600").stdin(Stdio::null()).spawn().unwrap();
        let groups = Groups { group, below, sleeper };
        fs::write(groups.below.join("cgroup.procs"), groups.sleeper.id().to_string()).unwrap();
        for directory in [&groups.group, &groups.below] {
            ground.give(directory);
            for file in fs::read_dir(directory).unwrap().filter_map(Result::ok) {
                let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&groups.group).unwrap());
                chown(file.path(), Some(owner), None).unwrap();
            }
        }
        groups
    }

    /// The command in the upper group.
    fn enter(&self, inner: &Command) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.group.join("cgroup.procs"));
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(inner.get_current_dir().unwrap());
        command
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // A process dies of a signal only when it is thawed.
        let _ = fs::write(self.below.join("freezer.state"), "THAWED");
        let _ = self.sleeper.kill();
        let _ = self.sleeper.wait();
        for directory in [&self.below, &self.group] {
            until("the end of a control group", TIMEOUT, || {
                match fs::remove_dir(directory) {
                    Ok(()) => Some(()),
                    Err(error) => (error.kind() == std::io::ErrorKind::NotFound).then_some(()),
                }
            });
        }
    }
}

/// An instance of a bakelite in the upper group goes for the process in the lower one.
fn out_of_reach(host: Host) {
    for hierarchy in hierarchies() {
        let ground = host.ground();
        let mut groups = Groups::make(&ground, &hierarchy);
        let image = ground.base_image();
        let name = groups.below.file_name().unwrap().to_string_lossy().into_owned();
        let attack = include_str!("scripts/cgroups.py");
        let inner = ground.command(["local", "run", &image, "--", "/usr/bin/python3", "-c", attack, &name]);
        let ran = Started::of(groups.enter(&inner)).end(TIMEOUT);
        let state = fs::read_to_string(groups.below.join("freezer.state")).unwrap_or_default();
        assert!(
            state.is_empty() || state == "THAWED\n",
            "the host's process is frozen: {ran:?}"
        );
        let ended = groups.sleeper.try_wait().unwrap();
        assert!(ended.is_none(), "the host's process was killed: {ran:?}");
        let printed = ran.succeeds();
        assert!(!printed.contains("SEEN") && printed.contains("\nof "), "{printed}");
    }
}
