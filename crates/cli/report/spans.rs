//! The record of a run: each bake with its steps, when they began and ended, and what they waited for. It is made of events alone, kept
//! once, and everything that shows where the time goes is made of it: the live lines, `-timing`, `-trace` and `-report`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bakelite_engine::error::Kind;
use bakelite_engine::event::{BuildEvent, Event, RunEvent, StepEvent, TransferEvent, WaitEvent, What};
use bakelite_engine::untrusted::one_line;

/// A run. Its texts are legible already, and what is secret is masked.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// When it began; absent before.
    pub(super) started: Option<SystemTime>,
    pub(super) ended: Option<SystemTime>,
    /// In the order of the template.
    pub(super) bakes: Vec<Bake>,
    /// Waits that have not ended: their bake, step and position.
    open: BTreeMap<WaitId, (usize, usize, usize)>,
}

/// Waits and transfers have numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WaitId {
    Wait(u64),
    Transfer(u64),
}

/// One bake.
#[derive(Debug)]
pub(super) struct Bake {
    pub(super) name: String,
    /// Absent while it waits for its turn.
    pub(super) started: Option<SystemTime>,
    pub(super) ended: Option<SystemTime>,
    pub(super) state: State,
    /// Why it failed.
    pub(super) error: Option<String>,
    /// In the order in which they began.
    pub(super) steps: Vec<Step>,
}

/// How far a bake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Failed,
    Cancelled,
    Running,
    /// It waits for its turn.
    Waiting,
    Finished,
}

impl State {
    /// As it is shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Finished => "finished",
        }
    }
}

/// A named part of a bake.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) started: SystemTime,
    pub(super) ended: Option<SystemTime>,
    /// It ended, and did not succeed.
    pub(super) is_failed: bool,
    pub(super) waits: Vec<Wait>,
}

/// What a step waited for.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) what: String,
    pub(super) started: SystemTime,
    pub(super) ended: Option<SystemTime>,
    /// How long it takes as a rule.
    pub(super) usual: Option<Duration>,
    /// Of a transfer: bytes that are transferred, and all of them where they are known.
    pub(super) bytes: Option<(u64, Option<u64>)>,
}

impl Spans {
    /// Adds what happened.
    pub(super) fn add(&mut self, event: &Event) {
        let bake = event
            .build
            .as_deref()
            .and_then(|name| self.find(&one_line(name), &event.what));
        match (&event.what, bake) {
            (What::Run(RunEvent::Started { builds }), _) => {
                self.started = Some(event.at);
                self.bakes = builds.iter().map(|name| Bake::named(&one_line(name))).collect();
            }
            (What::Run(RunEvent::Finished { .. }), _) => self.ended = Some(event.at),
            (What::Build(what), Some(bake)) => self.build(bake, what, event.at),
            (What::Step(what), Some(bake)) => {
                if let Some(bake) = self.bakes.get_mut(bake) {
                    bake.step(what, event.at);
                }
            }
            (What::Wait(WaitEvent::Started { id, what, usual }), Some(bake)) => {
                let usual = usual.filter(|usual| !usual.is_zero());
                self.wait(
                    bake,
                    WaitId::Wait(*id),
                    Wait {
                        usual,
                        ..Wait::new(what, event.at)
                    },
                );
            }
            (What::Transfer(TransferEvent::Started { id, name, total }), Some(bake)) => {
                let bytes = Some((0, *total));
                let wait = Wait::new(&format!("transfer of {name}"), event.at);
                self.wait(bake, WaitId::Transfer(*id), Wait { bytes, ..wait });
            }
            (What::Transfer(TransferEvent::Progress { id, done }), _) => {
                if let Some(Wait {
                    bytes: Some((so_far, _)),
                    ..
                }) = self.waiting(WaitId::Transfer(*id))
                {
                    *so_far = *done;
                }
            }
            (What::Wait(WaitEvent::Finished { id }), _) => self.waited(WaitId::Wait(*id), event.at),
            (What::Transfer(TransferEvent::Finished { id }), _) => self.waited(WaitId::Transfer(*id), event.at),
            _ => {}
        }
    }

    /// The bake that an event is about. Several builds of a template may have one name: then the first that is not over.
    fn find(&self, name: &str, what: &What) -> Option<usize> {
        let begins = matches!(what, What::Build(BuildEvent::Started | BuildEvent::Skipped));
        let wanted = if begins { State::Waiting } else { State::Running };
        self.bakes
            .iter()
            .position(|bake| bake.state == wanted && bake.name == name)
    }

    fn build(&mut self, bake: usize, what: &BuildEvent, at: SystemTime) {
        let Some(bake) = self.bakes.get_mut(bake) else { return };
        match what {
            BuildEvent::Started => {
                bake.started = Some(at);
                bake.state = State::Running;
                return;
            }
            BuildEvent::Finished { .. } => bake.state = State::Finished,
            BuildEvent::Errored { error, .. } => {
                let is_cancelled = error.kind == Kind::Cancelled;
                bake.state = if is_cancelled { State::Cancelled } else { State::Failed };
                bake.error = Some(one_line(&error.text).into_owned());
            }
            BuildEvent::Skipped => bake.state = State::Cancelled,
        }
        bake.ended = Some(at);
        for step in &mut bake.steps {
            step.ended.get_or_insert(at);
        }
    }

    fn wait(&mut self, bake: usize, id: WaitId, wait: Wait) {
        let steps = self.bakes.get_mut(bake).map(|bake| &mut bake.steps);
        let last = steps.and_then(|steps| Some((steps.len().checked_sub(1)?, steps.last_mut()?)));
        if let Some((step, last)) = last {
            self.open.insert(id, (bake, step, last.waits.len()));
            last.waits.push(wait);
        }
    }

    fn waiting(&mut self, id: WaitId) -> Option<&mut Wait> {
        let (bake, step, wait) = *self.open.get(&id)?;
        self.bakes.get_mut(bake)?.steps.get_mut(step)?.waits.get_mut(wait)
    }

    fn waited(&mut self, id: WaitId, at: SystemTime) {
        if let Some(wait) = self.waiting(id) {
            wait.ended = Some(at);
        }
        self.open.remove(&id);
    }

    /// How long the run took up to `now`.
    pub(super) fn length(&self, now: SystemTime) -> Duration {
        between(self.started.unwrap_or(now), self.ended.unwrap_or(now))
    }

    /// No bake runs any more, and none will.
    pub(super) fn is_over(&self) -> bool {
        let may_run = |bake: &Bake| matches!(bake.state, State::Running | State::Waiting);
        self.ended.is_some() || (self.started.is_some() && !self.bakes.iter().any(may_run))
    }

    /// How many bakes are so far.
    pub(super) fn count(&self, state: State) -> usize {
        self.bakes.iter().filter(|bake| bake.state == state).count()
    }

    /// How long this step took in other bakes of the run: the median of those that succeeded.
    pub(super) fn usual(&self, step: &str) -> Option<Duration> {
        let steps = self.bakes.iter().flat_map(|bake| &bake.steps);
        let same = steps.filter(|other| other.name == step && !other.is_failed);
        let mut lengths: Vec<Duration> = same
            .filter_map(|step| Some(between(step.started, step.ended?)))
            .collect();
        lengths.sort();
        lengths.get(lengths.len() / 2).copied()
    }
}

impl Bake {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            started: None,
            ended: None,
            state: State::Waiting,
            error: None,
            steps: Vec::new(),
        }
    }

    fn step(&mut self, what: &StepEvent, at: SystemTime) {
        match what {
            StepEvent::Started { step } => self.steps.push(Step {
                name: one_line(step).into_owned(),
                started: at,
                ended: None,
                is_failed: false,
                waits: Vec::new(),
            }),
            StepEvent::Finished { step, took, ok } => {
                let name = one_line(step);
                let mut open = self.steps.iter_mut().rev().filter(|step| step.ended.is_none());
                if let Some(step) = open.find(|step| step.name == name) {
                    step.ended = step.started.checked_add(*took);
                    step.is_failed = !ok;
                }
            }
        }
    }

    /// The step that is under way.
    pub(super) fn current(&self) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.ended.is_none())
    }

    /// How long it took up to `now`; nothing while it waits for its turn.
    pub(super) fn length(&self, now: SystemTime) -> Duration {
        let started = self.started.unwrap_or(now);
        between(started, self.ended.unwrap_or(now))
    }
}

impl Step {
    pub(super) fn length(&self, now: SystemTime) -> Duration {
        between(self.started, self.ended.unwrap_or(now))
    }

    /// The wait that is under way and began last.
    pub(super) fn current(&self) -> Option<&Wait> {
        self.waits.iter().rev().find(|wait| wait.ended.is_none())
    }
}

impl Wait {
    fn new(what: &str, started: SystemTime) -> Self {
        Self {
            what: one_line(what).into_owned(),
            started,
            ended: None,
            usual: None,
            bytes: None,
        }
    }

    pub(super) fn length(&self, now: SystemTime) -> Duration {
        between(self.started, self.ended.unwrap_or(now))
    }
}

/// The time between two moments; none when the clock was set back meanwhile.
pub(super) fn between(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::UNIX_EPOCH;

    use bakelite_engine::error::Report;

    use super::*;

    /// A moment, in milliseconds after the run began.
    pub(in crate::report) fn at(milliseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(milliseconds)
    }

    pub(in crate::report) fn event(milliseconds: u64, build: Option<&str>, what: What) -> Event {
        Event {
            at: at(milliseconds),
            build: build.map(str::to_owned),
            what,
        }
    }

    pub(in crate::report) fn step_started(step: &str) -> What {
        What::Step(StepEvent::Started { step: step.into() })
    }

    pub(in crate::report) fn step_finished(step: &str, milliseconds: u64, ok: bool) -> What {
        What::Step(StepEvent::Finished {
            step: step.into(),
            took: Duration::from_millis(milliseconds),
            ok,
        })
    }

    pub(in crate::report) fn failed(text: &str) -> What {
        let error = Report {
            kind: Kind::Failed,
            text: text.into(),
            help: None,
            location: None,
        };
        let took = Duration::ZERO;
        What::Build(BuildEvent::Errored { took, error })
    }

    /// So many bakes of AMIs after 25 s: every tenth waits for its turn, of the others every seventh has failed, every third is done,
    /// and the rest wait for their instances or are provisioned.
    pub(in crate::report) fn under_way(count: usize) -> Spans {
        let name = |number: usize| format!("amazon-ebs.svc-{number:03}");
        let builds = (1..=count).map(name).collect();
        let mut spans = Spans::default();
        spans.add(&event(0, None, What::Run(RunEvent::Started { builds })));
        for number in (1..=count).filter(|number| number % 10 != 0) {
            let name = name(number);
            let id = number as u64;
            let mut add = |at, what| spans.add(&event(at, Some(&name), what));
            add(0, What::Build(BuildEvent::Started));
            add(100, step_started("launch"));
            let what = format!("instance i-{number:03} to become running");
            let usual = Some(Duration::from_secs(30));
            add(500, What::Wait(WaitEvent::Started { id, what, usual }));
            if number % 4 == 0 {
                continue;
            }
            add(12_500, What::Wait(WaitEvent::Finished { id }));
            add(12_600, step_finished("launch", 12_500, true));
            add(12_600, step_started("provision"));
            match (number % 7, number % 3) {
                (0, _) => {
                    add(20_000, step_finished("provision", 7_400, false));
                    add(
                        21_000,
                        failed("Script exited with non-zero exit status: 3. Allowed exit codes are: [0]"),
                    );
                }
                (_, 0) => {
                    add(22_600, step_finished("provision", 10_000, true));
                    let took = Duration::from_secs(23);
                    add(23_000, What::Build(BuildEvent::Finished { took }));
                }
                _ => {}
            }
        }
        spans
    }

    #[test]
    fn a_step_has_its_waits_and_ends_with_its_bake() {
        let mut spans = Spans::default();
        let builds = vec!["null.a".to_owned(), "null.a".to_owned()];
        spans.add(&event(0, None, What::Run(RunEvent::Started { builds })));
        let mut add = |at, what| spans.add(&event(at, Some("null.a"), what));
        add(10, What::Build(BuildEvent::Started));
        add(20, step_started("provision"));
        let (id, name) = (1, "upload of app.tar".to_owned());
        add(
            30,
            What::Transfer(TransferEvent::Started {
                id,
                name,
                total: Some(9),
            }),
        );
        add(40, What::Transfer(TransferEvent::Progress { id, done: 5 }));
        add(60, What::Transfer(TransferEvent::Finished { id }));
        add(90, failed("no"));
        add(95, What::Build(BuildEvent::Started));
        let [first, second] = spans.bakes.as_slice() else {
            panic!("{spans:?}")
        };
        assert_eq!((first.state, second.state), (State::Failed, State::Running));
        assert_eq!(first.length(at(200)), Duration::from_millis(80));
        let step = &first.steps[0];
        assert_eq!(step.length(at(200)), Duration::from_millis(70));
        assert_eq!(step.waits[0].what, "transfer of upload of app.tar");
        assert_eq!(step.waits[0].bytes, Some((5, Some(9))));
        assert_eq!(step.waits[0].length(at(200)), Duration::from_millis(30));
        assert!(spans.open.is_empty());
    }

    #[test]
    fn what_is_usual_is_learned_from_other_bakes() {
        let spans = under_way(30);
        assert_eq!(spans.usual("launch"), Some(Duration::from_millis(12_500)));
        assert_eq!(spans.usual("provision"), Some(Duration::from_secs(10)));
        assert_eq!(spans.usual("stop"), None);
    }
}
