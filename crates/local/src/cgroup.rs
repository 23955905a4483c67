//! A cgroup per instance, which bounds its memory, processors and processes, where this machine lets us make one: as root, or below a cgroup
//! that was delegated to the user. Both versions of cgroups are known (docs.kernel.org/admin-guide/cgroup-v2, cgroup-v1).
//!
//! Instances see nothing of it: they cannot mount the hierarchies (`sandbox::filter`), and its files belong to whoever made them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::{Enforced, Limits};

/// What a cgroup of ours is called, before the id of the process that made it.
const PREFIX: &str = "bakelite-";
/// The time in which a share of processors is counted, in microseconds.
const PERIOD: u32 = 100_000;

/// The places where this process may make cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    places: Vec<Place>,
}

/// A directory of a hierarchy, and the controllers that its children have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    directory: PathBuf,
    version: Version,
    controllers: Vec<Controller>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    const ALL: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];

    fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
        }
    }
}

/// The cgroups of one instance; removed when this is dropped, by when its processes must be gone.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    directories: Vec<PathBuf>,
    /// What it limits.
    pub(crate) enforced: Enforced,
}

impl Hierarchies {
    /// Looks where this process is.
    pub(crate) fn detect() -> Hierarchies {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let mut found = find(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        for place in &mut found.places {
            if place.version == Version::Two {
                place.delegate();
            }
        }
        found.places.retain(|place| !place.controllers.is_empty());
        found
    }

    /// Makes a cgroup with limits; one without any where this user may make none.
    pub(crate) fn create(&self, id: &str, limits: &Limits) -> Cgroup {
        let mut cgroup = Cgroup::default();
        for place in self.places.iter().filter(|place| place.limits_something(limits)) {
            let directory = place.directory.join(format!("{PREFIX}{}-{id}", std::process::id()));
            match place.create(&directory, limits) {
                Ok(enforced) => {
                    cgroup.enforced.memory |= enforced.memory;
                    cgroup.enforced.cpus |= enforced.cpus;
                    cgroup.directories.push(directory);
                }
                Err(error) => {
                    tracing::debug!(directory = %directory.display(), %error, "no cgroup");
                    fs::remove_dir(&directory).ok(); // it may not have been made
                }
            }
        }
        cgroup
    }

    /// Removes cgroups of processes of ours that were killed. One in which a process lives cannot be removed.
    pub(crate) fn sweep(&self) {
        for place in &self.places {
            for entry in fs::read_dir(&place.directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let maker = name
                    .to_str()
                    .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
                if maker.is_some_and(|maker: u32| !Path::new(&format!("/proc/{maker}")).exists()) {
                    fs::remove_dir(entry.path()).ok(); // somebody else's, or not empty
                }
            }
        }
    }
}

impl Place {
    /// Walks up to where children have controllers. A cgroup with processes in it, such as our own, cannot hand any to its children.
    fn delegate(&mut self) {
        let has = |directory: &Path| -> Vec<Controller> {
            let text = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
            let given: Vec<&str> = text.split_whitespace().collect();
            let all = Controller::ALL.into_iter();
            all.filter(|controller| given.contains(&controller.name())).collect()
        };
        loop {
            self.controllers = has(&self.directory);
            if self.controllers.contains(&Controller::Memory)
                || !self.directory.join("..").join("cgroup.procs").exists()
            {
                return;
            }
            self.directory.pop();
        }
    }

    /// Whether a cgroup here would have an effect: of processors there may be no limit.
    fn limits_something(&self, limits: &Limits) -> bool {
        self.controllers
            .iter()
            .any(|controller| *controller != Controller::Cpu || limits.cpus.is_some())
    }

    fn create(&self, directory: &Path, limits: &Limits) -> io::Result<Enforced> {
        fs::create_dir(directory)?;
        let write = |file: &str, value: String| fs::write(directory.join(file), value);
        let mut enforced = Enforced::default();
        for controller in &self.controllers {
            match (controller, self.version) {
                (Controller::Memory, Version::Two) => {
                    write("memory.max", limits.memory().to_string())?;
                    write("memory.swap.max", "0".into()).ok(); // not there without swap
                    enforced.memory = true;
                }
                (Controller::Memory, Version::One) => {
                    write("memory.limit_in_bytes", limits.memory().to_string())?;
                    write("memory.memsw.limit_in_bytes", limits.memory().to_string()).ok(); // not there without swap accounting
                    enforced.memory = true;
                }
                (Controller::Pids, _) => write("pids.max", limits.processes().to_string())?,
                (Controller::Cpu, version) => {
                    let Some(quota) = limits.cpus.map(quota) else { continue };
                    match version {
                        Version::Two => write("cpu.max", format!("{quota} {PERIOD}"))?,
                        Version::One => {
                            write("cpu.cfs_period_us", PERIOD.to_string())?;
                            write("cpu.cfs_quota_us", quota.to_string())?;
                        }
                    }
                    enforced.cpus = true;
                }
            }
        }
        Ok(enforced)
    }
}

/// Microseconds of processor time per period.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before: a positive number of processors; the kernel takes at least a millisecond"
)]
fn quota(cpus: f64) -> u64 {
    ((cpus * f64::from(PERIOD)) as u64).max(1000)
}

impl Cgroup {
    /// Moves a process, which has no children yet, into it.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        for directory in &self.directories {
            fs::write(directory.join("cgroup.procs"), process.to_string())?;
        }
        Ok(())
    }
}

impl Cgroup {
    /// Removes it as soon as the processes in it have gone, which are being killed; what takes longer is left to `sweep`.
    pub(crate) async fn remove(mut self) {
        /// How often the kernel is asked: version 1 has no event for an empty cgroup.
        const EVERY: std::time::Duration = std::time::Duration::from_millis(20);
        let mut ticks = tokio::time::interval(EVERY);
        for _ in 0..100 {
            ticks.tick().await;
            self.directories.retain(|directory| {
                fs::remove_dir(directory).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
            });
            if self.directories.is_empty() {
                return;
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            if let Err(error) = fs::remove_dir(directory) {
                tracing::debug!(directory = %directory.display(), %error, "cgroup not removed; the next local cloud tries again");
            }
        }
    }
}

/// Reads where the hierarchies are mounted and where in them this process is.
fn find(mounts: &str, own: &str) -> Hierarchies {
    let own: Vec<(&str, &str)> = own
        .lines()
        .filter_map(|line| line.split_once(':').and_then(|(_, rest)| rest.split_once(':')))
        .collect();
    let mut places = Vec::new();
    for line in mounts.lines() {
        let Some(mount) = Mount::parse(line) else { continue };
        let controllers: Vec<Controller> = match mount.version {
            Version::Two => Vec::new(),
            Version::One => {
                let all = Controller::ALL.into_iter();
                all.filter(|controller| mount.options.split(',').any(|option| option == controller.name()))
                    .collect()
            }
        };
        if mount.version == Version::One && controllers.is_empty() {
            continue;
        }
        let path = own.iter().find_map(|(kinds, path)| match mount.version {
            Version::Two => kinds.is_empty().then_some(*path),
            Version::One => kinds
                .split(',')
                .any(|kind| controllers.iter().any(|controller| controller.name() == kind))
                .then_some(*path),
        });
        // A mount may show a part of the hierarchy, from `root` on.
        let below = path.and_then(|path| Path::new(path).strip_prefix(mount.root).ok());
        if let Some(below) = below {
            places.push(Place {
                directory: Path::new(mount.at).join(below),
                version: mount.version,
                controllers,
            });
        }
    }
    Hierarchies { places }
}

/// A mount of a hierarchy.
struct Mount<'a> {
    root: &'a str,
    at: &'a str,
    version: Version,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// Reads a line of `/proc/self/mountinfo`.
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, at) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let version = match kind.next()? {
            "cgroup" => Version::One,
            "cgroup2" => Version::Two,
            _ => return None,
        };
        let options = kind.nth(1)?;
        Some(Mount {
            root,
            at,
            version,
            options,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(hierarchies: &Hierarchies) -> Vec<(&Path, Vec<&str>)> {
        let places = hierarchies.places.iter();
        places
            .map(|place| {
                let controllers = place.controllers.iter().map(|controller| controller.name());
                (place.directory.as_path(), controllers.collect())
            })
            .collect()
    }

    #[test]
    fn hierarchies_of_version_one_are_found_by_controller() {
        let mounts = "\
            25 24 0:22 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
            26 24 0:23 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            27 24 0:24 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n\
            28 24 0:25 / /tmp rw - tmpfs tmpfs rw\n";
        let own = "4:memory:/jobs/one\n2:cpu,cpuacct:/\n1:freezer:/x\n0::/unified\n";
        assert_eq!(
            directories(&find(mounts, own)),
            [
                (Path::new("/sys/fs/cgroup/cpu"), vec!["cpu"]),
                (Path::new("/sys/fs/cgroup/memory/jobs/one"), vec!["memory"]),
            ]
        );
    }

    #[test]
    fn the_hierarchy_of_version_two_is_where_this_process_is_in_it() {
        let mounts = "30 24 0:26 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "0::/user.slice/user-1000.slice/session-3.scope\n";
        assert_eq!(
            directories(&find(mounts, own)),
            [(Path::new("/sys/fs/cgroup/user-1000.slice/session-3.scope"), vec![])]
        );
        // Where the mount shows a part that this process is not in, there is no place.
        assert!(find(mounts, "0::/system.slice/x.service\n").places.is_empty());
    }

    #[test]
    fn broken_lines_are_no_mounts() {
        for line in [
            "",
            " - ",
            "1 2 3 - cgroup2",
            "a b c d e - cgroup2 x",
            "1 2 3 / /x - cgroup2",
        ] {
            find(line, "0::/\n");
        }
    }
}
