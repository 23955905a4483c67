//! The life of one service: what it does next when it is asked for something, when a process of its has ended, and when time has passed.
//!
//! It does nothing itself. What is to be done are its effects, which the manager carries out; so tests can play every story.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::sandbox::wire::End;

use super::service::{KillMode, Kind, Phase, Restart, Service};

/// How long killed processes have to go.
const KILLED: Duration = Duration::from_secs(5);

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Inactive,
    StartPre(usize),
    Start(usize),
    /// A forking service's main process is looked for.
    FindMain,
    StartPost(usize),
    Running,
    /// Nothing runs any more, and it counts as active.
    Exited,
    Reload(usize),
    Stop(usize),
    StopSigterm,
    StopSigkill,
    StopPost(usize),
    FinalSigkill,
    Failed,
    /// It is started again in a while.
    AutoRestart,
}

/// What became of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    ExitCode,
    Signal,
    Timeout,
    /// It did not do what its type promises.
    Protocol,
    /// A command could not be started.
    Resources,
    StartLimitHit,
}

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    All,
    Main,
    Control,
}

/// What is to be done for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Run a command; `ran` or `not_run` is the answer.
    Run {
        phase: Phase,
        index: usize,
    },
    Signal {
        target: Target,
        number: i32,
    },
    /// Let go of its processes and of its temporary directories.
    Release,
    /// A line for its log.
    Log(String),
}

/// A service in its life.
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) service: Rc<Service>,
    state: State,
    main: Option<i32>,
    control: Option<i32>,
    /// Whether it has any process.
    is_populated: bool,
    result: Outcome,
    main_end: Option<End>,
    deadline: Option<Instant>,
    starts: VecDeque<Instant>,
    restarts: u32,
    is_stop_requested: bool,
    reload_failed: bool,
    effects: Vec<Effect>,
}

impl Activation {
    pub(super) fn new(service: Rc<Service>) -> Activation {
        Activation {
            service,
            state: State::Inactive,
            main: None,
            control: None,
            is_populated: false,
            result: Outcome::Success,
            main_end: None,
            deadline: None,
            starts: VecDeque::new(),
            restarts: 0,
            is_stop_requested: false,
            reload_failed: false,
            effects: Vec::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn result(&self) -> Outcome {
        self.result
    }

    pub(super) fn main(&self) -> Option<i32> {
        self.main
    }

    pub(super) fn control(&self) -> Option<i32> {
        self.control
    }

    /// How the last main process has ended.
    pub(super) fn main_end(&self) -> Option<End> {
        self.main_end
    }

    pub(super) fn restarts(&self) -> u32 {
        self.restarts
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn reload_failed(&self) -> bool {
        self.reload_failed
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Running | State::Exited | State::Reload(_))
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Inactive | State::Failed)
    }

    /// What is to be done now.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Forgets a failure, and how often it was started.
    pub(super) fn reset_failed(&mut self) {
        if self.state == State::Failed {
            self.state = State::Inactive;
        }
        self.starts.clear();
        self.result = Outcome::Success;
    }

    /// Starts it, unless it is up or on its way.
    pub(super) fn start(&mut self, now: Instant) {
        if !self.is_down() && self.state != State::AutoRestart {
            return;
        }
        self.restarts = 0;
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        let (burst, interval) = self.service.start_limit;
        while self
            .starts
            .front()
            .is_some_and(|start| now.duration_since(*start) > interval)
        {
            self.starts.pop_front();
        }
        if burst > 0 && !interval.is_zero() && self.starts.len() >= burst {
            self.log("Start request repeated too quickly.");
            self.result = Outcome::StartLimitHit;
            self.deadline = None;
            self.state = State::Failed;
            return;
        }
        self.starts.push_back(now);
        self.result = Outcome::Success;
        self.is_stop_requested = false;
        (self.main, self.control, self.main_end) = (None, None, None);
        self.advance(Phase::StartPre, 0, now);
    }

    /// Stops it.
    pub(super) fn stop(&mut self, now: Instant) {
        self.is_stop_requested = true;
        match self.state {
            State::AutoRestart => {
                self.deadline = None;
                self.state = self.at_rest();
            }
            State::Running | State::Exited | State::Reload(_) => self.advance(Phase::Stop, 0, now),
            State::StartPre(_) | State::Start(_) | State::FindMain | State::StartPost(_) => self.terminate(now),
            _ => {}
        }
    }

    /// Reloads it; whether it can be.
    pub(super) fn reload(&mut self, now: Instant) -> bool {
        if self.state != State::Running && self.state != State::Exited
            || self.service.commands(Phase::Reload).is_empty()
        {
            return false;
        }
        self.reload_failed = false;
        self.advance(Phase::Reload, 0, now);
        true
    }

    /// A command runs as this process.
    pub(super) fn ran(&mut self, pid: i32, now: Instant) {
        self.is_populated = true;
        match (self.state, self.service.kind) {
            (State::Start(_), Kind::Forking) => self.control = Some(pid),
            (State::Start(_), kind) => {
                self.main = Some(pid);
                if kind == Kind::Simple {
                    self.advance(Phase::StartPost, 0, now);
                }
            }
            _ => self.control = Some(pid),
        }
    }

    /// A command could not be started.
    pub(super) fn not_run(&mut self, error: &str, now: Instant) {
        self.log(error);
        match self.state {
            State::StartPre(index) if self.may_fail(Phase::StartPre, index) => {
                self.advance(Phase::StartPre, index + 1, now);
            }
            State::StartPost(index) if self.may_fail(Phase::StartPost, index) => {
                self.advance(Phase::StartPost, index + 1, now);
            }
            State::Start(index) if self.may_fail(Phase::Start, index) && self.service.kind == Kind::Oneshot => {
                self.advance(Phase::Start, index + 1, now);
            }
            State::Reload(_) => {
                self.reload_failed = true;
                self.back_up();
            }
            State::Stop(index) => self.advance(Phase::Stop, index + 1, now),
            State::StopPost(index) => self.advance(Phase::StopPost, index + 1, now),
            _ => self.fail(Outcome::Resources, now),
        }
    }

    /// A process has ended.
    pub(super) fn exited(&mut self, pid: i32, end: End, now: Instant) {
        if self.main == Some(pid) {
            self.main = None;
            self.main_end = Some(end);
            self.main_exited(end, now);
        } else if self.control == Some(pid) {
            self.control = None;
            self.control_exited(end, now);
        }
    }

    fn main_exited(&mut self, end: End, now: Instant) {
        let index = if let State::Start(index) = self.state { index } else { 0 };
        let outcome = if self.service.is_success(end) || self.may_fail(Phase::Start, index) {
            Outcome::Success
        } else {
            self.log(&format!("Main process exited, {}", describe(end)));
            outcome_of(end)
        };
        match (self.state, outcome) {
            (State::Start(index), Outcome::Success) if self.service.kind == Kind::Oneshot => {
                self.advance(Phase::Start, index + 1, now);
            }
            (State::Start(_), Outcome::Success) => self.fail(Outcome::Protocol, now),
            (State::Running | State::Reload(_), Outcome::Success) => self.main_gone(now),
            (State::Start(_) | State::FindMain | State::StartPost(_) | State::Running | State::Reload(_), _)
                if outcome != Outcome::Success =>
            {
                self.fail(outcome, now);
            }
            (State::StopSigterm | State::StopSigkill, _) => {
                if self.result == Outcome::Success {
                    self.result = outcome;
                }
                self.check_gone(now);
            }
            _ => {}
        }
    }

    fn control_exited(&mut self, end: End, now: Instant) {
        let is_good = |may_fail| may_fail || end == End::Status(0);
        match self.state {
            State::StartPre(index) => self.go_on(Phase::StartPre, index, end, now),
            State::StartPost(index) => self.go_on(Phase::StartPost, index, end, now),
            State::Start(index) => {
                if !is_good(self.may_fail(Phase::Start, index)) {
                    self.log(&format!("Control process exited, {}", describe(end)));
                    self.fail(outcome_of(end), now);
                } else if self.service.pid_file.is_some() || self.service.guess_main_pid {
                    self.state = State::FindMain;
                } else {
                    self.advance(Phase::StartPost, 0, now);
                }
            }
            State::Reload(index) => {
                if is_good(self.may_fail(Phase::Reload, index)) {
                    self.advance(Phase::Reload, index + 1, now);
                } else {
                    self.log(&format!("Reload failed: control process exited, {}", describe(end)));
                    self.reload_failed = true;
                    self.back_up();
                }
            }
            State::Stop(index) => {
                self.note(is_good(self.may_fail(Phase::Stop, index)), end);
                self.advance(Phase::Stop, index + 1, now);
            }
            State::StopPost(index) => {
                self.note(is_good(self.may_fail(Phase::StopPost, index)), end);
                self.advance(Phase::StopPost, index + 1, now);
            }
            State::StopSigterm | State::StopSigkill => self.check_gone(now),
            _ => {}
        }
    }

    /// After a command of `StartPre` or `StartPost`.
    fn go_on(&mut self, phase: Phase, index: usize, end: End, now: Instant) {
        if end == End::Status(0) || self.may_fail(phase, index) {
            self.advance(phase, index + 1, now);
        } else {
            self.log(&format!("Control process exited, {}", describe(end)));
            self.fail(outcome_of(end), now);
        }
    }

    fn note(&mut self, is_good: bool, end: End) {
        if !is_good {
            self.log(&format!("Control process exited, {}", describe(end)));
            if self.result == Outcome::Success {
                self.result = outcome_of(end);
            }
        }
    }

    /// None of its processes is left.
    pub(super) fn emptied(&mut self, now: Instant) {
        self.is_populated = false;
        match self.state {
            State::Running if self.main.is_none() => self.main_gone(now),
            State::FindMain => self.fail(Outcome::Protocol, now),
            State::StopSigterm | State::StopSigkill => self.check_gone(now),
            State::FinalSigkill => self.finish(now),
            _ => {}
        }
    }

    /// It has sent `READY=1`.
    pub(super) fn ready(&mut self, now: Instant) {
        if matches!(self.state, State::Start(_)) && self.service.kind == Kind::Notify {
            self.advance(Phase::StartPost, 0, now);
        }
    }

    /// Its main process is this one: it told, its file has it, or it is the only one.
    pub(super) fn main_is(&mut self, pid: Option<i32>, now: Instant) {
        if pid.is_some() {
            self.main = pid;
        }
        if self.state == State::FindMain {
            self.advance(Phase::StartPost, 0, now);
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.deadline = None;
        match self.state {
            State::AutoRestart => {
                self.restarts += 1;
                self.begin(now);
            }
            State::StartPre(_) | State::Start(_) | State::FindMain | State::StartPost(_) => {
                self.log("Start operation timed out. Terminating.");
                self.fail(Outcome::Timeout, now);
            }
            State::Reload(_) => {
                self.log("Reload operation timed out.");
                self.reload_failed = true;
                self.signal(Target::Control, libc::SIGKILL);
                self.back_up();
            }
            State::Stop(_) => {
                self.log("Stopping timed out. Terminating.");
                self.fail(Outcome::Timeout, now);
            }
            State::StopSigterm => {
                self.result = Outcome::Timeout;
                if self.service.sends_sigkill {
                    self.log("State 'stop-sigterm' timed out. Killing.");
                    self.kill(now);
                } else {
                    self.advance(Phase::StopPost, 0, now);
                }
            }
            State::StopSigkill => self.advance(Phase::StopPost, 0, now),
            State::StopPost(_) | State::FinalSigkill => self.finish(now),
            _ => {}
        }
    }

    /// Goes on with a command of a phase, or with what comes after all of them.
    fn advance(&mut self, phase: Phase, index: usize, now: Instant) {
        let timeout = match phase {
            Phase::Stop | Phase::StopPost => self.service.stop_timeout,
            _ => self.service.start_timeout,
        };
        if index < self.service.commands(phase).len() {
            self.state = match phase {
                Phase::StartPre => State::StartPre(index),
                Phase::Start => State::Start(index),
                Phase::StartPost => State::StartPost(index),
                Phase::Reload => State::Reload(index),
                Phase::Stop => State::Stop(index),
                Phase::StopPost => State::StopPost(index),
            };
            self.deadline = timeout.map(|timeout| now + timeout);
            self.effects.push(Effect::Run { phase, index });
            return;
        }
        match phase {
            Phase::StartPre => self.advance(Phase::Start, 0, now),
            Phase::Start => self.advance(Phase::StartPost, 0, now),
            Phase::StartPost => self.started(now),
            Phase::Reload => self.back_up(),
            Phase::Stop => self.terminate(now),
            Phase::StopPost => self.end_rest(now),
        }
    }

    fn started(&mut self, now: Instant) {
        self.deadline = None;
        self.state = State::Running;
        let has_ended = match self.service.kind {
            Kind::Oneshot => true,
            Kind::Simple | Kind::Notify => self.main.is_none(),
            Kind::Forking => self.main.is_none() && !self.is_populated,
        };
        if has_ended {
            self.main_gone(now);
        }
    }

    /// Back from a reload.
    fn back_up(&mut self) {
        self.deadline = None;
        let is_running = self.main.is_some() || self.is_populated;
        self.state = if is_running { State::Running } else { State::Exited };
    }

    /// The main process has ended as it should, or all have.
    fn main_gone(&mut self, now: Instant) {
        if self.service.remain_after_exit {
            self.deadline = None;
            self.state = State::Exited;
        } else {
            self.advance(Phase::Stop, 0, now);
        }
    }

    fn fail(&mut self, outcome: Outcome, now: Instant) {
        if self.result == Outcome::Success {
            self.result = outcome;
        }
        self.terminate(now);
    }

    /// Asks the processes to end.
    fn terminate(&mut self, now: Instant) {
        self.state = State::StopSigterm;
        self.deadline = self.service.stop_timeout.map(|timeout| now + timeout);
        if !self.is_gone() {
            let number = self.service.kill_signal;
            match self.service.kill_mode {
                KillMode::ControlGroup => self.signal(Target::All, number),
                KillMode::Mixed if self.main.is_some() => self.signal(Target::Main, number),
                KillMode::Mixed => return self.kill(now),
                KillMode::Process => {
                    self.signal(Target::Main, number);
                    self.signal(Target::Control, number);
                }
                KillMode::None => {}
            }
        }
        self.check_gone(now);
    }

    fn kill(&mut self, now: Instant) {
        self.state = State::StopSigkill;
        self.deadline = Some(now + KILLED);
        match self.service.kill_mode {
            KillMode::Process | KillMode::None => {
                self.signal(Target::Main, libc::SIGKILL);
                self.signal(Target::Control, libc::SIGKILL);
            }
            _ => self.signal(Target::All, libc::SIGKILL),
        }
    }

    fn is_gone(&self) -> bool {
        match self.service.kill_mode {
            KillMode::ControlGroup | KillMode::Mixed => !self.is_populated,
            KillMode::Process => self.main.is_none() && self.control.is_none(),
            KillMode::None => true,
        }
    }

    fn check_gone(&mut self, now: Instant) {
        if self.is_gone() {
            self.advance(Phase::StopPost, 0, now);
        } else if self.service.kill_mode == KillMode::Mixed && self.main.is_none() && self.state == State::StopSigterm {
            self.kill(now);
        }
    }

    /// Ends what the stop has left.
    fn end_rest(&mut self, now: Instant) {
        if self.is_populated && matches!(self.service.kill_mode, KillMode::ControlGroup | KillMode::Mixed) {
            self.state = State::FinalSigkill;
            self.deadline = Some(now + KILLED);
            self.signal(Target::All, libc::SIGKILL);
        } else {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        self.deadline = None;
        (self.main, self.control, self.is_populated) = (None, None, false);
        self.effects.push(Effect::Release);
        if self.result != Outcome::Success {
            let result = self.result.name();
            self.log(&format!("Failed with result '{result}'."));
        }
        if self.restarts_itself() {
            self.state = State::AutoRestart;
            self.deadline = Some(now + self.service.restart_delay);
        } else {
            self.state = self.at_rest();
        }
    }

    fn at_rest(&self) -> State {
        if self.result == Outcome::Success {
            State::Inactive
        } else {
            State::Failed
        }
    }

    fn restarts_itself(&self) -> bool {
        let is_prevented = self.main_end.is_some_and(|end| self.service.prevents_restart(end));
        if self.is_stop_requested || is_prevented {
            return false;
        }
        match self.service.restart {
            Restart::No | Restart::OnWatchdog => false,
            Restart::Always => true,
            Restart::OnSuccess => self.result == Outcome::Success,
            Restart::OnFailure => self.result != Outcome::Success,
            Restart::OnAbnormal => matches!(self.result, Outcome::Signal | Outcome::Timeout),
            Restart::OnAbort => self.result == Outcome::Signal,
        }
    }

    fn may_fail(&self, phase: Phase, index: usize) -> bool {
        self.service
            .commands(phase)
            .get(index)
            .is_some_and(|command| command.may_fail)
    }

    fn signal(&mut self, target: Target, number: i32) {
        self.effects.push(Effect::Signal { target, number });
    }

    fn log(&mut self, line: &str) {
        self.effects.push(Effect::Log(line.to_owned()));
    }
}

impl State {
    /// systemd's names of the state: `ActiveState` and `SubState`.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            State::Inactive => ("inactive", "dead"),
            State::StartPre(_) => ("activating", "start-pre"),
            State::Start(_) | State::FindMain => ("activating", "start"),
            State::StartPost(_) => ("activating", "start-post"),
            State::Running => ("active", "running"),
            State::Exited => ("active", "exited"),
            State::Reload(_) => ("reloading", "reload"),
            State::Stop(_) => ("deactivating", "stop"),
            State::StopSigterm => ("deactivating", "stop-sigterm"),
            State::StopSigkill => ("deactivating", "stop-sigkill"),
            State::StopPost(_) => ("deactivating", "stop-post"),
            State::FinalSigkill => ("deactivating", "final-sigkill"),
            State::Failed => ("failed", "failed"),
            State::AutoRestart => ("activating", "auto-restart"),
        }
    }
}

impl Outcome {
    /// systemd's name of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::ExitCode => "exit-code",
            Outcome::Signal => "signal",
            Outcome::Timeout => "timeout",
            Outcome::Protocol => "protocol",
            Outcome::Resources => "resources",
            Outcome::StartLimitHit => "start-limit-hit",
        }
    }
}

fn outcome_of(end: End) -> Outcome {
    match end {
        End::Status(_) => Outcome::ExitCode,
        End::Signal(_) => Outcome::Signal,
    }
}

/// An end as systemd tells it.
pub(super) fn describe(end: End) -> String {
    match end {
        End::Status(status) => format!(
            "code=exited, status={status}{}",
            if status == 0 { "/SUCCESS" } else { "/FAILURE" }
        ),
        End::Signal(number) => format!("code=killed, signal={number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::command_line::Specifiers;
    use super::super::unit::Unit;
    use super::super::unit_file::UnitFile;
    use super::*;

    /// A service with a clock.
    struct Story {
        it: Activation,
        now: Instant,
    }

    impl Story {
        fn of(lines: &str) -> Story {
            let unit = Unit {
                name: "a.service".into(),
                content: UnitFile::parse(&format!("[Service]\n{lines}")),
                ..Unit::default()
            };
            Story {
                it: Activation::new(Rc::new(Service::of(&unit, &Specifiers::default()).unwrap())),
                now: Instant::now(),
            }
        }

        /// What is to be done, without lines of the log.
        fn effects(&mut self) -> Vec<Effect> {
            let mut effects = self.it.take_effects();
            effects.retain(|effect| !matches!(effect, Effect::Log(_)));
            effects
        }

        fn start(&mut self) -> Vec<Effect> {
            self.it.start(self.now);
            self.effects()
        }

        fn stop(&mut self) -> Vec<Effect> {
            self.it.stop(self.now);
            self.effects()
        }

        fn ran(&mut self, pid: i32) -> Vec<Effect> {
            self.it.ran(pid, self.now);
            self.effects()
        }

        fn exited(&mut self, pid: i32, status: i32) -> Vec<Effect> {
            self.it.exited(pid, End::Status(status), self.now);
            self.effects()
        }

        fn emptied(&mut self) -> Vec<Effect> {
            self.it.emptied(self.now);
            self.effects()
        }

        fn pass(&mut self, seconds: u64) -> Vec<Effect> {
            self.now += Duration::from_secs(seconds);
            self.it.tick(self.now);
            self.effects()
        }
    }

    fn run(phase: Phase, index: usize) -> Vec<Effect> {
        vec![Effect::Run { phase, index }]
    }

    fn signal(target: Target, number: i32) -> Effect {
        Effect::Signal { target, number }
    }

    #[test]
    fn a_simple_service_runs_until_it_is_stopped() {
        let mut story = Story::of("ExecStartPre=/bin/p\nExecStart=/bin/a\nExecStopPost=/bin/c");
        assert_eq!(story.start(), run(Phase::StartPre, 0));
        assert_eq!(story.ran(1), []);
        assert_eq!(story.exited(1, 0), run(Phase::Start, 0));
        story.emptied();
        assert_eq!(story.ran(2), []);
        assert_eq!((story.it.state(), story.it.main()), (State::Running, Some(2)));
        assert_eq!(story.start(), [], "it is up");
        assert_eq!(story.stop(), [signal(Target::All, libc::SIGTERM)]);
        story.it.exited(2, End::Signal(libc::SIGTERM), story.now);
        assert_eq!(story.emptied(), run(Phase::StopPost, 0));
        story.ran(3);
        assert_eq!(
            story.exited(3, 0),
            [signal(Target::All, libc::SIGKILL)],
            "its end is not known to be the last one"
        );
        assert_eq!(story.emptied(), [Effect::Release]);
        assert_eq!(
            (story.it.state(), story.it.result()),
            (State::Inactive, Outcome::Success)
        );
    }

    #[test]
    fn what_does_not_stop_is_killed() {
        let mut story = Story::of("ExecStart=/bin/a\nTimeoutStopSec=3");
        story.start();
        story.ran(1);
        story.stop();
        assert_eq!(story.pass(2), []);
        assert_eq!(story.pass(1), [signal(Target::All, libc::SIGKILL)]);
        assert_eq!(story.emptied(), [Effect::Release]);
        assert_eq!((story.it.state(), story.it.result()), (State::Failed, Outcome::Timeout));
    }

    #[test]
    fn a_oneshot_runs_all_its_commands_and_may_remain() {
        for (remain, end) in [("no", State::Inactive), ("yes", State::Exited)] {
            let mut story = Story::of(&format!(
                "Type=oneshot\nExecStart=-/bin/a\nExecStart=/bin/b\nRemainAfterExit={remain}"
            ));
            assert_eq!(story.start(), run(Phase::Start, 0));
            story.ran(1);
            assert_eq!(story.exited(1, 9), run(Phase::Start, 1));
            story.ran(2);
            story.emptied();
            story.exited(2, 0);
            assert_eq!(story.it.state(), end);
        }
    }

    #[test]
    fn a_failed_start_fails() {
        let mut story = Story::of("Type=oneshot\nExecStart=/bin/a");
        story.start();
        story.ran(1);
        story.exited(1, 3);
        assert_eq!(story.emptied(), [Effect::Release]);
        assert_eq!(
            (story.it.state(), story.it.result()),
            (State::Failed, Outcome::ExitCode)
        );
        let mut story = Story::of("ExecStart=/no/such");
        story.start();
        story.it.not_run("no such program", story.now);
        assert_eq!(
            (story.it.state(), story.it.result()),
            (State::Failed, Outcome::Resources)
        );
    }

    #[test]
    fn a_notifying_service_is_up_when_it_is_ready() {
        let mut story = Story::of("Type=notify\nExecStart=/bin/a\nTimeoutStartSec=5");
        story.start();
        story.ran(1);
        assert_eq!(story.it.state(), State::Start(0));
        story.it.ready(story.now);
        assert_eq!(story.it.state(), State::Running);
        let mut story = Story::of("Type=notify\nExecStart=/bin/a\nTimeoutStartSec=5");
        story.start();
        story.ran(1);
        assert_eq!(story.pass(5), [signal(Target::All, libc::SIGTERM)]);
        assert_eq!(story.it.result(), Outcome::Timeout);
    }

    #[test]
    fn a_forking_service_has_the_main_process_that_is_found() {
        let mut story =
            Story::of("Type=forking\nPIDFile=/run/a.pid\nExecStart=/bin/a\nRestart=on-failure\nRestartSec=2");
        story.start();
        story.ran(1);
        story.exited(1, 0);
        assert_eq!(story.it.state(), State::FindMain);
        story.it.main_is(Some(7), story.now);
        assert_eq!((story.it.state(), story.it.main()), (State::Running, Some(7)));
        story.it.exited(7, End::Signal(libc::SIGSEGV), story.now);
        story.emptied();
        assert_eq!(story.it.state(), State::AutoRestart);
        assert_eq!(story.pass(2), run(Phase::Start, 0));
        assert_eq!(story.it.restarts(), 1);
        assert_eq!(story.stop(), [Effect::Release]);
    }

    #[test]
    fn restarts_have_a_limit() {
        let mut story =
            Story::of("ExecStart=/bin/a\nRestart=always\nRestartSec=0\nStartLimitBurst=3\nStartLimitInterval=60");
        story.start();
        for pid in 1..=3 {
            story.ran(pid);
            story.exited(pid, 1);
            story.emptied();
            story.pass(0);
        }
        assert_eq!(
            (story.it.state(), story.it.result()),
            (State::Failed, Outcome::StartLimitHit)
        );
        story.it.reset_failed();
        assert_eq!(story.start(), run(Phase::Start, 0));
    }

    #[test]
    fn kill_modes_choose_whom_to_signal() {
        let mut story = Story::of("ExecStart=/bin/a\nKillMode=process");
        story.start();
        story.ran(1);
        assert_eq!(
            story.stop(),
            [
                signal(Target::Main, libc::SIGTERM),
                signal(Target::Control, libc::SIGTERM)
            ]
        );
        assert_eq!(story.exited(1, 0), [Effect::Release], "others are left alone");
        let mut story = Story::of("ExecStart=/bin/a\nKillMode=mixed\nKillSignal=SIGQUIT");
        story.start();
        story.ran(1);
        assert_eq!(story.stop(), [signal(Target::Main, libc::SIGQUIT)]);
        assert_eq!(story.exited(1, 0), [signal(Target::All, libc::SIGKILL)]);
    }

    #[test]
    fn a_reload_leaves_the_service_up() {
        let mut story = Story::of("ExecStart=/bin/a\nExecReload=/bin/r");
        assert!(!story.it.reload(story.now));
        story.start();
        story.ran(1);
        assert!(story.it.reload(story.now));
        assert_eq!(story.effects(), run(Phase::Reload, 0));
        story.ran(2);
        story.exited(2, 1);
        assert!(story.it.reload_failed() && story.it.is_up());
    }

    proptest::proptest! {
        /// Whatever happens in whatever order: once stopped and empty, and with all its deadlines over, a service is down.
        #[test]
        fn every_story_ends(kind in 0..4_usize, events in proptest::collection::vec((0..10_u8, 0..3_i32), 0..40)) {
            let kind = ["simple", "oneshot", "forking", "notify"][kind];
            let mut story = Story::of(&format!("Type={kind}\nExecStartPre=/bin/p\nExecStart=/bin/a\nExecReload=/bin/r\nExecStop=/bin/s\nRestart=always\nRestartSec=1"));
            for (event, value) in events {
                match event {
                    0 => drop(story.start()),
                    1 => drop(story.stop()),
                    2 => drop(story.ran(value)),
                    3 => drop(story.exited(value, value)),
                    4 => drop(story.emptied()),
                    5 => drop(story.pass(60)),
                    6 => story.it.ready(story.now),
                    7 => story.it.main_is(Some(value), story.now),
                    8 => drop(story.it.reload(story.now)),
                    _ => story.it.not_run("error", story.now),
                }
            }
            for _ in 0..8 {
                story.stop();
                story.emptied();
                story.pass(100);
            }
            proptest::prop_assert!(story.it.is_down(), "{:?}", story.it.state());
        }
    }
}
