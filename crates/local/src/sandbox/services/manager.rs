//! The manager of services: which are loaded, which jobs are under way, and what they wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::sandbox::kernel;
use crate::sandbox::wire::End;

use super::activation::{Activation, Effect, State, Target};
use super::command_line::{Specifiers, UnitName};
use super::journal;
use super::keeper::{Keeper, Report, Setting};
use super::notification::{self, Notice};
use super::service::{Phase, Service};
use super::transaction::{self, Node};
use super::unit::{Found, Unit, UnitFiles, check};

/// The most services that are known at a time.
const MOST_SERVICES: usize = 1024;
/// The most jobs that wait when another one is taken.
const MOST_JOBS: usize = 4096;
/// How often a forking service's main process is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Targets that are reached when a machine has booted: what they want is not started with them, but by `enabled_at_boot`.
const REACHED: [&str; 21] = [
    "default.target",
    "multi-user.target",
    "graphical.target",
    "sysinit.target",
    "basic.target",
    "local-fs.target",
    "local-fs-pre.target",
    "remote-fs.target",
    "network-pre.target",
    "network.target",
    "network-online.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "time-sync.target",
    "time-set.target",
    "paths.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "timers.target",
    "cryptsetup.target",
];

/// A service that was started at least once.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) unit: Unit,
    pub(super) activation: Activation,
    pub(super) keeper: Option<Keeper>,
    pub(super) notices: Option<notification::Socket>,
    /// When its state was entered.
    pub(super) since: Timestamp,
    /// What it has told about itself.
    pub(super) status: String,
}

/// What a job does to its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Reload,
}

/// How a job has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobEnd {
    Done,
    /// It failed; the unit's result has the reason.
    Failed,
    /// A unit that this one requires did not start.
    Dependency,
    /// Another job took its place.
    Canceled,
    /// This is why.
    Refused(String),
}

#[derive(Debug)]
struct Job {
    unit: String,
    verb: Verb,
    after: BTreeSet<u64>,
    requires: BTreeSet<u64>,
    is_running: bool,
    client: Option<u64>,
}

/// A job of a client that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) client: u64,
    pub(super) unit: String,
    pub(super) verb: Verb,
    pub(super) end: JobEnd,
}

/// Why nothing can be done to a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// There is none.
    #[error("Unit {0} not found.")]
    Missing(String),
    /// It is masked.
    #[error("Unit {0} is masked.")]
    Masked(String),
    /// It is of a kind that does not exist here.
    #[error("{0} units are not supported by the init of the local cloud, which has services and targets only.")]
    Kind(String),
    /// Its service cannot be understood.
    #[error("Unit {0} has a bad unit file setting: {1}.")]
    Bad(String, super::service::BadService),
    /// There are too many.
    #[error("There are more than {MOST_SERVICES} services.")]
    TooMany,
}

/// All services of a machine.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) files: UnitFiles,
    is_switchable: bool,
    pub(super) loaded: BTreeMap<String, Loaded>,
    targets: BTreeSet<String>,
    jobs: BTreeMap<u64, Job>,
    next: u64,
    ended: Vec<Ended>,
    pub(super) is_stopping: bool,
}

impl Manager {
    pub(super) fn new(is_switchable: bool) -> Manager {
        Manager {
            files: UnitFiles::below(Path::new("/")),
            is_switchable,
            loaded: BTreeMap::new(),
            targets: REACHED.map(str::to_owned).into(),
            jobs: BTreeMap::new(),
            next: 1,
            ended: Vec::new(),
            is_stopping: false,
        }
    }

    /// What the specifiers of a unit stand for.
    pub(super) fn specifiers(&self, unit: &str) -> Specifiers {
        let system = rustix::system::uname();
        Specifiers {
            unit: unit.to_owned(),
            hostname: system.nodename().to_string_lossy().into_owned(),
            machine_id: self.files.read("/etc/machine-id").unwrap_or_default().trim().to_owned(),
            kernel: system.release().to_string_lossy().into_owned(),
        }
    }

    /// Finds a unit that can be started or stopped here.
    pub(super) fn find(&self, name: &str) -> Result<Unit, Refusal> {
        let unit = match self.files.find(name) {
            Found::Unit(unit) => *unit,
            Found::Masked(name, _) => return Err(Refusal::Masked(name)),
            // Targets without a file are reached all the same.
            Found::Missing(name) if self.targets.contains(&name) => Unit {
                name,
                ..Unit::default()
            },
            Found::Missing(name) => return Err(Refusal::Missing(name)),
        };
        match UnitName::of(&unit.name).suffix {
            "service" | "target" => Ok(unit),
            kind => Err(Refusal::Kind(kind.to_owned())),
        }
    }

    fn node(&self, name: &str) -> Option<Node> {
        // What a dependency leads to that is not a service or a target is left out: sockets, mounts and slices are there or not.
        let unit = self.find(name).ok()?;
        let specifiers = self.specifiers(&unit.name);
        let related = |keys: &[&str]| {
            keys.iter()
                .flat_map(|key| unit.related(key, &specifiers))
                .collect::<Vec<_>>()
        };
        let (requires, wants) = (
            related(&["Requires", "Requisite", "BindsTo"]),
            related(&["Wants", "Upholds"]),
        );
        let mut after = related(&["After"]);
        if unit.name.ends_with(".target") {
            after.extend(requires.iter().chain(&wants).cloned());
        }
        let is_active = self.is_active(&unit.name);
        Some(Node {
            before: related(&["Before"]),
            // What is up has what it wants, or has lost it meanwhile.
            requires: if is_active { Vec::new() } else { requires },
            wants: if is_active { Vec::new() } else { wants },
            after,
            name: unit.name,
        })
    }

    pub(super) fn is_active(&self, name: &str) -> bool {
        self.targets.contains(name) || self.loaded.get(name).is_some_and(|loaded| loaded.activation.is_up())
    }

    /// systemd's names of a unit's state.
    pub(super) fn state(&self, name: &str) -> (&'static str, &'static str) {
        match self.loaded.get(name) {
            Some(loaded) => loaded.activation.state().names(),
            None if self.targets.contains(name) => ("active", "active"),
            None => ("inactive", "dead"),
        }
    }

    /// Whether jobs are left.
    pub(super) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Whether there are so many jobs that no more are taken.
    pub(super) fn is_full(&self) -> bool {
        self.jobs.len() >= MOST_JOBS
    }

    /// Jobs of clients that have ended since the last time.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Starts units with all that they pull in. All of them exist.
    pub(super) fn start(&mut self, units: &[String], client: Option<u64>, now: Instant) {
        let steps = transaction::plan(units, &mut |name| self.node(name));
        let first = self.next;
        let id_of = |step: usize| first + u64::try_from(step).unwrap_or(u64::MAX);
        for step in &steps {
            let job = Job {
                after: step.after.iter().map(|step| id_of(*step)).collect(),
                requires: step.requires.iter().map(|step| id_of(*step)).collect(),
                client: client.filter(|_| units.contains(&step.unit)),
                unit: step.unit.clone(),
                verb: Verb::Start,
                is_running: false,
            };
            self.add(job);
        }
        self.work(now);
    }

    /// Stops units with those that cannot be without them.
    pub(super) fn stop(&mut self, units: &[String], client: Option<u64>, now: Instant) {
        self.add_stops(units, client);
        self.work(now);
    }

    /// Stops units, and starts them with those that had to stop with them.
    pub(super) fn restart(&mut self, units: &[String], client: Option<u64>, now: Instant) {
        let stopped = self.add_stops(units, None);
        let mut again: Vec<String> = units.to_vec();
        again.extend(
            stopped
                .into_iter()
                .filter(|unit| self.is_active(unit) && !units.contains(unit)),
        );
        self.start(&again, client, now);
    }

    fn add_stops(&mut self, units: &[String], client: Option<u64>) -> Vec<String> {
        let mut stopped: Vec<String> = units.to_vec();
        let mut index = 0;
        while let Some(unit) = stopped.get(index).cloned() {
            for (name, other) in &self.loaded {
                let is_bound = ["Requires", "BindsTo", "PartOf"]
                    .iter()
                    .any(|key| self.names(&other.unit, key).contains(&unit));
                if is_bound && !other.activation.is_down() && !stopped.contains(name) {
                    stopped.push(name.clone());
                }
            }
            index += 1;
        }
        let first = self.next;
        let ids: BTreeMap<&String, u64> = stopped.iter().zip(first..).collect();
        let jobs: Vec<Job> = stopped
            .iter()
            .map(|unit| {
                // What starts after a unit stops before it; of two that are after each other the first one goes first.
                let is_after = |one: &String, other: &String| {
                    self.loaded
                        .get(one)
                        .is_some_and(|one| self.names(&one.unit, "After").contains(other))
                };
                let later = stopped.iter().filter(|other| *other != unit && is_after(other, unit));
                Job {
                    after: later
                        .map(|other| (other, ids[other]))
                        .filter(|(other, id)| *id > ids[unit] || !is_after(unit, other))
                        .map(|(_, id)| id)
                        .collect(),
                    requires: BTreeSet::new(),
                    client: client.filter(|_| units.contains(unit)),
                    unit: unit.clone(),
                    verb: Verb::Stop,
                    is_running: false,
                }
            })
            .collect();
        for unit in &stopped {
            self.cancel_starts(unit);
        }
        for job in jobs {
            self.add(job);
        }
        stopped
    }

    /// The units that a key names, by their own names.
    fn names(&self, unit: &Unit, key: &str) -> Vec<String> {
        let names = unit.related(key, &self.specifiers(&unit.name)).into_iter();
        names
            .filter_map(|name| self.find(&name).ok().map(|unit| unit.name))
            .collect()
    }

    fn cancel_starts(&mut self, unit: &str) {
        let starts = self
            .jobs
            .iter()
            .filter(|(_, job)| job.unit == unit && job.verb != Verb::Stop);
        let starts: Vec<u64> = starts.map(|(id, _)| *id).collect();
        for id in starts {
            self.end(id, JobEnd::Canceled);
        }
    }

    /// Reloads units.
    pub(super) fn reload(&mut self, units: &[String], client: Option<u64>, now: Instant) {
        for unit in units {
            self.add(Job {
                unit: unit.clone(),
                verb: Verb::Reload,
                after: BTreeSet::new(),
                requires: BTreeSet::new(),
                is_running: false,
                client,
            });
        }
        self.work(now);
    }

    /// Stops all services, the last ones first.
    pub(super) fn stop_everything(&mut self, now: Instant) {
        self.is_stopping = true;
        let waiting: Vec<u64> = self.jobs.keys().copied().collect();
        for id in waiting {
            self.end(id, JobEnd::Canceled);
        }
        let up = self.loaded.iter().filter(|(_, loaded)| !loaded.activation.is_down());
        let up: Vec<String> = up.map(|(name, _)| name.clone()).collect();
        self.stop(&up, None, now);
    }

    fn add(&mut self, job: Job) {
        self.jobs.insert(self.next, job);
        self.next += 1;
    }

    fn end(&mut self, id: u64, end: JobEnd) {
        let mut ends = vec![(id, end)];
        while let Some((id, end)) = ends.pop() {
            let Some(job) = self.jobs.remove(&id) else { continue };
            for (other, waiting) in &mut self.jobs {
                waiting.after.remove(&id);
                if waiting.requires.remove(&id) && end != JobEnd::Done {
                    ends.push((*other, JobEnd::Dependency));
                }
            }
            self.ended.extend(job.client.map(|client| Ended {
                client,
                unit: job.unit,
                verb: job.verb,
                end,
            }));
        }
    }

    /// Begins and ends jobs until all that is left waits for something.
    fn work(&mut self, now: Instant) {
        loop {
            let mut busy = BTreeSet::new();
            let mut next = None;
            for (id, job) in &self.jobs {
                // Jobs of a unit are done one after the other.
                if !busy.insert(job.unit.clone()) {
                    continue;
                }
                let is_due = job.is_running && self.has_ended(job)
                    || !job.is_running && job.after.is_empty() && self.may_begin(job);
                if is_due {
                    next = Some((*id, job.is_running));
                    break;
                }
            }
            match next {
                None => return,
                Some((id, true)) => {
                    let end = self.jobs.get(&id).map_or(JobEnd::Done, |job| self.end_of(job));
                    self.end(id, end);
                }
                Some((id, false)) => self.begin(id, now),
            }
        }
    }

    /// A service that is on its way down is not started before it is there.
    fn may_begin(&self, job: &Job) -> bool {
        let state = self.loaded.get(&job.unit).map(|loaded| loaded.activation.state());
        let is_deactivating = state.is_some_and(|state| state.names().0 == "deactivating");
        job.verb != Verb::Start || !is_deactivating
    }

    fn begin(&mut self, id: u64, now: Instant) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.is_running = true;
        let (unit, verb) = (job.unit.clone(), job.verb);
        let end = if unit.ends_with(".target") {
            match verb {
                Verb::Start => self.targets.insert(unit),
                _ => self.targets.remove(&unit),
            };
            Some(JobEnd::Done)
        } else {
            match verb {
                Verb::Start => self.begin_start(&unit, now),
                Verb::Stop => {
                    if let Some(loaded) = self.loaded.get_mut(&unit) {
                        loaded.activation.stop(now);
                    }
                    None
                }
                Verb::Reload => {
                    let reloads = self
                        .loaded
                        .get_mut(&unit)
                        .is_some_and(|loaded| loaded.activation.reload(now));
                    (!reloads).then(|| JobEnd::Refused(format!("Job type reload is not applicable for unit {unit}.")))
                }
            }
        };
        if let Some(end) = end {
            self.end(id, end);
        } else {
            let unit = self.jobs.get(&id).map(|job| job.unit.clone()).unwrap_or_default();
            self.carry_out(&unit, now);
        }
    }

    fn begin_start(&mut self, name: &str, now: Instant) -> Option<JobEnd> {
        if self
            .loaded
            .get(name)
            .is_none_or(|loaded| loaded.activation.is_down() || loaded.activation.state() == State::AutoRestart)
        {
            let unit = match self.find(name) {
                Ok(unit) => unit,
                Err(refusal) => return Some(JobEnd::Refused(refusal.to_string())),
            };
            let specifiers = self.specifiers(name);
            if let Err(condition) = check(&self.files, &unit, &specifiers, "Condition") {
                journal::write(
                    name,
                    &format!("Skipped because of an unmet condition check ({condition})."),
                );
                return Some(JobEnd::Done);
            }
            if let Err(assertion) = check(&self.files, &unit, &specifiers, "Assert") {
                return Some(JobEnd::Refused(format!(
                    "Assertion failed on job for {name}: {assertion}."
                )));
            }
            if let Err(refusal) = self.load(unit) {
                return Some(JobEnd::Refused(refusal.to_string()));
            }
        }
        if let Some(loaded) = self.loaded.get_mut(name) {
            loaded.activation.start(now);
        }
        None
    }

    /// Takes a unit's files as they are now.
    fn load(&mut self, unit: Unit) -> Result<(), Refusal> {
        let specifiers = self.specifiers(&unit.name);
        let service = Service::of(&unit, &specifiers).map_err(|bad| Refusal::Bad(unit.name.clone(), bad))?;
        if !service.passed_over.is_empty() {
            let options = service.passed_over.join(", ");
            journal::write(
                &unit.name,
                &format!("Options without effect in the local cloud: {options}."),
            );
        }
        if let Some(loaded) = self.loaded.get_mut(&unit.name) {
            loaded.activation.service = Rc::new(service);
            loaded.unit = unit;
            return Ok(());
        }
        if self.loaded.len() >= MOST_SERVICES {
            self.loaded.retain(|_, loaded| !loaded.activation.is_down());
        }
        if self.loaded.len() >= MOST_SERVICES {
            return Err(Refusal::TooMany);
        }
        let loaded = Loaded {
            activation: Activation::new(Rc::new(service)),
            keeper: None,
            notices: None,
            since: Timestamp::now(),
            status: String::new(),
            unit,
        };
        self.loaded.insert(loaded.unit.name.clone(), loaded);
        Ok(())
    }

    fn has_ended(&self, job: &Job) -> bool {
        let Some(loaded) = self.loaded.get(&job.unit) else {
            return true;
        };
        let it = &loaded.activation;
        match job.verb {
            Verb::Start => it.is_up() || it.is_down() || it.state() == State::AutoRestart,
            Verb::Stop => it.is_down(),
            Verb::Reload => !matches!(it.state(), State::Reload(_)),
        }
    }

    fn end_of(&self, job: &Job) -> JobEnd {
        let Some(loaded) = self.loaded.get(&job.unit) else {
            return JobEnd::Done;
        };
        let it = &loaded.activation;
        let has_failed = match job.verb {
            Verb::Start => !it.is_up() && it.result() != super::activation::Outcome::Success,
            Verb::Stop => false,
            Verb::Reload => it.reload_failed() || !it.is_up(),
        };
        if has_failed { JobEnd::Failed } else { JobEnd::Done }
    }

    /// Does what a service asks for, until it asks for nothing.
    fn carry_out(&mut self, name: &str, now: Instant) {
        loop {
            let Some(loaded) = self.loaded.get_mut(name) else {
                return;
            };
            let effects = loaded.activation.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Log(line) => journal::write(name, &line),
                    Effect::Run { phase, index } => loaded.run(phase, index, self.is_switchable, now),
                    Effect::Signal { target, number } => loaded.signal(target, number),
                    Effect::Release => loaded.release(),
                }
            }
            loaded.since = Timestamp::now();
        }
    }

    /// Tells a service something, and does what follows.
    fn tell(&mut self, name: &str, now: Instant, what: impl FnOnce(&mut Activation, Instant)) {
        let Some(loaded) = self.loaded.get_mut(name) else {
            return;
        };
        let before = loaded.activation.state();
        what(&mut loaded.activation, now);
        let after = loaded.activation.state();
        if before != after {
            loaded.since = Timestamp::now();
        }
        let was_up = matches!(before, State::Running | State::Exited | State::Reload(_));
        self.carry_out(name, now);
        let is_up = self.is_active(name);
        if is_up && !was_up {
            journal::write(name, "Started.");
        } else if was_up && !is_up {
            self.unbind(name, now);
        }
    }

    /// Stops what is bound to a service that is no longer up.
    fn unbind(&mut self, name: &str, now: Instant) {
        let bound = self.loaded.iter().filter(|(_, other)| {
            other.activation.is_up() && self.names(&other.unit, "BindsTo").iter().any(|bound| bound == name)
        });
        let bound: Vec<String> = bound.map(|(name, _)| name.clone()).collect();
        if !bound.is_empty() && !self.is_stopping {
            self.add_stops(&bound, None);
        }
        self.work(now);
    }

    /// Reads what a service's keeper reports.
    pub(super) fn read_reports(&mut self, name: &str, now: Instant) {
        /// So many at a time, that no service keeps the others waiting.
        const MOST: usize = 256;
        for _ in 0..MOST {
            let Some(keeper) = self.loaded.get(name).and_then(|loaded| loaded.keeper.as_ref()) else {
                break;
            };
            match keeper.report() {
                Ok(None) => break,
                Ok(Some(Report::Ran(pid))) => self.tell(name, now, |it, now| it.ran(pid, now)),
                Ok(Some(Report::NotRun(error))) => self.tell(name, now, |it, now| it.not_run(&error, now)),
                Ok(Some(Report::Exited(pid, end))) => self.tell(name, now, |it, now| it.exited(pid, end, now)),
                Ok(Some(Report::Empty)) => self.tell(name, now, Activation::emptied),
                Err(_) => {
                    self.lose_keeper(name, now);
                    break;
                }
            }
        }
        self.look_for_main(name, now);
        self.work(now);
    }

    /// A keeper was killed: all of its service counts as killed, too.
    fn lose_keeper(&mut self, name: &str, now: Instant) {
        let Some(loaded) = self.loaded.get_mut(name) else {
            return;
        };
        loaded.keeper = None;
        let of = [loaded.activation.main(), loaded.activation.control()];
        for pid in of.into_iter().flatten() {
            self.tell(name, now, |it, now| it.exited(pid, End::Signal(libc::SIGKILL), now));
        }
        self.tell(name, now, Activation::emptied);
    }

    /// Reads what a service tells about itself.
    pub(super) fn read_notices(&mut self, name: &str, now: Instant) {
        let notices = self
            .loaded
            .get(name)
            .and_then(|loaded| loaded.notices.as_ref())
            .map(notification::Socket::read);
        for notice in notices.unwrap_or_default() {
            match notice {
                Notice::Ready => self.tell(name, now, Activation::ready),
                Notice::Main(pid) => {
                    let is_own = self.loaded.get(name).is_some_and(|loaded| loaded.has(pid));
                    self.tell(name, now, |it, now| it.main_is(Some(pid).filter(|_| is_own), now));
                }
                Notice::Status(status) => {
                    if let Some(loaded) = self.loaded.get_mut(name) {
                        loaded.status = status;
                    }
                }
            }
        }
        self.work(now);
    }

    /// Looks for the main process of a forking service: the one in its file, or the only one.
    fn look_for_main(&mut self, name: &str, now: Instant) {
        let Some(loaded) = self
            .loaded
            .get(name)
            .filter(|loaded| loaded.activation.state() == State::FindMain)
        else {
            return;
        };
        let main = if let Some(file) = &loaded.activation.service.pid_file {
            let pid = self.files.read(file).and_then(|text| text.trim().parse().ok());
            let Some(pid) = pid.filter(|pid| loaded.has(*pid)) else {
                return;
            };
            Some(pid)
        } else {
            let processes = loaded.keeper.as_ref().map(Keeper::processes).unwrap_or_default();
            match processes.as_slice() {
                [only] => Some(*only),
                _ => None,
            }
        };
        self.tell(name, now, |it, now| it.main_is(main, now));
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        let names: Vec<String> = self.loaded.keys().cloned().collect();
        for name in names {
            self.look_for_main(&name, now);
            if self
                .loaded
                .get(&name)
                .and_then(|loaded| loaded.activation.deadline())
                .is_some_and(|deadline| deadline <= now)
            {
                self.tell(&name, now, Activation::tick);
            }
        }
        self.work(now);
    }

    /// When `tick` has something to do.
    pub(super) fn next_tick(&self, now: Instant) -> Option<Instant> {
        let ticks = self
            .loaded
            .values()
            .filter_map(|loaded| match loaded.activation.state() {
                State::FindMain => Some(now + LOOK),
                _ => loaded.activation.deadline(),
            });
        ticks.min()
    }

    /// Signals a unit's processes.
    pub(super) fn signal(&self, name: &str, target: Target, number: i32) -> bool {
        let Some(loaded) = self.loaded.get(name).filter(|loaded| loaded.keeper.is_some()) else {
            return false;
        };
        loaded.signal(target, number);
        true
    }

    /// Files whose readiness means that a service has something to tell: its name, and whether they are notices.
    pub(super) fn sources(&self) -> Vec<(String, bool, &OwnedFd)> {
        let mut sources = Vec::new();
        for (name, loaded) in &self.loaded {
            sources.extend(loaded.keeper.iter().map(|keeper| (name.clone(), false, &keeper.socket)));
            sources.extend(
                loaded
                    .notices
                    .iter()
                    .map(|notices| (name.clone(), true, notices.file())),
            );
        }
        sources
    }
}

impl Loaded {
    fn run(&mut self, phase: Phase, index: usize, is_switchable: bool, now: Instant) {
        let ran = self.try_run(phase, index, is_switchable);
        if let Err(error) = ran {
            self.activation
                .not_run(&format!("Failed to start a process: {error}"), now);
        }
    }

    fn try_run(&mut self, phase: Phase, index: usize, is_switchable: bool) -> std::io::Result<()> {
        let service = Rc::clone(&self.activation.service);
        if self.keeper.is_none() {
            if service.kind == super::service::Kind::Notify {
                self.notices = Some(notification::Socket::new()?);
            }
            self.keeper = Some(Keeper::start(&Setting {
                unit: &self.unit.name,
                service: &service,
                is_switchable,
            })?);
        }
        let mut environment = Vec::new();
        let mut add = |name: &str, value: String| environment.push((name.to_owned(), value));
        if let Some(main) = self.activation.main() {
            add("MAINPID", main.to_string());
        }
        if let Some(notices) = &self.notices {
            add("NOTIFY_SOCKET", notices.path().display().to_string());
        }
        if matches!(phase, Phase::Stop | Phase::StopPost) {
            add("SERVICE_RESULT", self.activation.result().name().to_owned());
            let (code, status) = match self.activation.main_end() {
                Some(End::Status(status)) => ("exited", status.to_string()),
                Some(End::Signal(number)) => ("killed", number.to_string()),
                None => ("", String::new()),
            };
            add("EXIT_CODE", code.to_owned());
            add("EXIT_STATUS", status);
        }
        match &self.keeper {
            Some(keeper) => keeper.run(phase, index, environment),
            None => Ok(()),
        }
    }

    fn signal(&self, target: Target, number: i32) {
        let pids = match target {
            Target::All => self.keeper.as_ref().map(Keeper::processes).unwrap_or_default(),
            Target::Main => self.activation.main().into_iter().collect(),
            Target::Control => self.activation.control().into_iter().collect(),
        };
        for pid in pids {
            kernel::kill(pid, number).ok(); // one that is gone is as good
            if number != libc::SIGKILL && number != libc::SIGCONT {
                kernel::kill(pid, libc::SIGCONT).ok();
            }
        }
    }

    fn release(&mut self) {
        self.keeper = None;
        self.notices = None;
        self.status.clear();
        let service = &self.activation.service;
        for directory in service.directories.iter().filter(|directory| directory.is_temporary) {
            if !service.keeps_runtime_directory {
                fs::remove_dir_all(&directory.path).ok(); // what is left is there at the next start, too
            }
        }
    }

    fn has(&self, pid: i32) -> bool {
        self.keeper
            .as_ref()
            .is_some_and(|keeper| keeper.processes().contains(&pid))
    }
}

/// The services that a boot starts: those enabled for its targets in `/etc`, without those that this machine's own system had enabled and
/// those whose work the local cloud does itself.
pub(super) fn enabled_at_boot(files: &UnitFiles, had: &BTreeSet<PathBuf>) -> Vec<String> {
    links(files.root())
        .into_iter()
        .filter(|link| !had.contains(link))
        .filter_map(|link| link.file_name()?.to_str().map(str::to_owned))
        .filter(|name| name.ends_with(".service") && !OWN_WORK.iter().any(|prefix| name.starts_with(prefix)))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Targets that a boot reaches.
const BOOT_TARGETS: [&str; 7] = [
    "default.target",
    "graphical.target",
    "multi-user.target",
    "basic.target",
    "sysinit.target",
    "network-online.target",
    "cloud-init.target",
];
/// What services begin with that set up what an instance has by itself: consoles, names, network, clock, devices, user data.
const OWN_WORK: [&str; 22] = [
    "systemd-",
    "cloud-",
    "getty@",
    "serial-getty@",
    "console-getty",
    "dbus-org.",
    "NetworkManager",
    "networking",
    "network.service",
    "dhcpcd",
    "wpa_supplicant",
    "netplan",
    "resolvconf",
    "chrony",
    "ntp",
    "amazon-ssm-agent",
    "snapd",
    "lvm2-",
    "mdmonitor",
    "multipathd",
    "auditd",
    "e2scrub",
];

/// The links below a root's `/etc/systemd/system` that enable something at boot, relative to that directory.
pub(in crate::sandbox) fn links(root: &Path) -> BTreeSet<PathBuf> {
    let directory = root.join("etc/systemd/system");
    let mut found = BTreeSet::new();
    for target in BOOT_TARGETS {
        for kind in ["wants", "requires"] {
            let name = format!("{target}.{kind}");
            let entries = fs::read_dir(directory.join(&name)).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| Path::new(&name).join(entry.file_name())));
        }
    }
    found
}
