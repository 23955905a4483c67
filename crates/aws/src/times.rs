//! How long states take: what is declared for each, and what this run has seen of it. A watch looks when the answer is likely to have
//! changed, so that a wait costs few calls and little time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Looks never come closer than this.
const SHORTEST: Duration = Duration::from_millis(15);
/// … and hardly closer than this once a state is due.
const DUE: Duration = Duration::from_secs(1);
/// … nor rarer than this, long after it was due.
const RARE: Duration = Duration::from_secs(30);
/// So many waits for a state are remembered.
const REMEMBERED: usize = 8;

/// What the waits of a run have taught, for all states of an account.
#[derive(Debug)]
pub struct Times {
    /// Whether the endpoint is on this machine: its states may change within milliseconds.
    is_near: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By state, when it was there: after the first time, and at the second at the latest.
    took: HashMap<&'static str, VecDeque<(Duration, Duration)>>,
    /// How long the last state took, …
    last: Duration,
    /// … and in proportion to what is declared for it.
    scale: Option<f64>,
}

/// When a state is likely to be there, counted from the beginning of the wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expected {
    /// Nothing is known but what is declared.
    Declared { usual: Duration, is_near: bool },
    /// Other states took about as long as is declared for them, so this one will.
    Likely(Duration),
    /// The endpoint's states come much sooner than those of AWS: this one may be there at once, or take as long as the last.
    Hurried(Duration),
    /// It was seen in this run, at the earliest and at the latest then.
    Seen { from: Duration, to: Duration },
}

impl Times {
    /// Of an account where nothing was seen yet.
    pub fn new(is_near: bool) -> Self {
        Self {
            is_near,
            seen: Mutex::default(),
        }
    }

    /// How far calls that many bakes share are apart: those of a run of many bakes are spread over seconds, and an account has one budget
    /// of calls for everybody. The local cloud is nobody else's.
    pub(crate) fn apart(&self) -> Duration {
        if self.is_near { Duration::ZERO } else { DUE }
    }

    /// When this state is likely to be there.
    pub(crate) fn expect(&self, state: &'static str, usual: Duration) -> Expected {
        let seen = self.lock();
        if let Some(took) = seen.took.get(state)
            && let Some(from) = took.iter().map(|(from, _)| *from).min()
            && let Some(to) = took.iter().map(|(_, to)| *to).max()
        {
            return Expected::Seen { from, to };
        }
        match seen.scale {
            Some(scale) if (0.5..=4.0).contains(&scale) => Expected::Likely(usual.mul_f64(scale)),
            Some(scale) if scale < 0.5 && !self.is_near => Expected::Hurried(seen.last),
            _ => Expected::Declared {
                usual,
                is_near: self.is_near,
            },
        }
    }

    /// A state was not there yet after the first time, and it was after the second.
    pub(crate) fn note(&self, state: &'static str, usual: Duration, from: Duration, to: Duration) {
        let mut seen = self.lock();
        // A state that was there at the first look may have been there long before.
        if from >= to / 2 {
            let took = if (from..=to).contains(&usual) {
                usual
            } else {
                (from + to) / 2
            };
            seen.last = took;
            seen.scale = Some(took.as_secs_f64() / usual.as_secs_f64().max(f64::EPSILON));
        }
        let took = seen.took.entry(state).or_default();
        took.push_back((from, to));
        if took.len() > REMEMBERED {
            took.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// How long the wait takes as a rule; nothing is known of an endpoint on this machine.
    pub(crate) fn usual(self) -> Option<Duration> {
        match self {
            Expected::Declared { is_near: true, .. } => None,
            Expected::Declared { usual, .. } | Expected::Likely(usual) | Expected::Hurried(usual) => Some(usual),
            Expected::Seen { to, .. } => Some(to),
        }
    }

    /// When to look first, of what began to change a moment ago.
    pub(crate) fn first(self) -> Duration {
        match self {
            Expected::Declared { .. } | Expected::Hurried(_) => Duration::ZERO,
            Expected::Likely(usual) => usual.mul_f64(0.55),
            Expected::Seen { from, .. } => from,
        }
    }

    /// How long until the next look, after one at `elapsed`: rare before the state is likely, about once a second around it, ever more
    /// rarely after it.
    pub(crate) fn pause(self, elapsed: Duration) -> Duration {
        let after = |factor: f64| elapsed.mul_f64(factor - 1.0);
        let (due, usual, on_time) = match self {
            Expected::Declared { usual, is_near } => {
                let early = match (is_near, elapsed) {
                    (true, _) => after(2.0).clamp(SHORTEST, DUE),
                    (false, elapsed) if elapsed < DUE / 4 => DUE / 4,
                    (false, elapsed) if elapsed < DUE => DUE,
                    (false, _) => after(1.5).max(DUE),
                };
                if elapsed + early < usual.mul_f64(0.9) {
                    return early;
                }
                (usual.mul_f64(0.9), usual, on_time(usual))
            }
            Expected::Likely(usual) | Expected::Hurried(usual) => {
                let early = [0.55, 0.75, 0.9].map(|part| usual.mul_f64(part));
                let mut steps = early.into_iter().chain([on_time(usual)]);
                if let Some(next) = steps.find(|step| *step > elapsed) {
                    return next.saturating_sub(elapsed).max(SHORTEST);
                }
                (usual, usual, usual)
            }
            Expected::Seen { from, to } => (from, to, to + SHORTEST),
        };
        if elapsed < due {
            return due.saturating_sub(elapsed).max(SHORTEST);
        }
        // What takes milliseconds is looked at in milliseconds, what takes minutes in seconds.
        let around = (elapsed / 4).min(DUE.max(usual / 40));
        let late = if elapsed > usual * 3 {
            elapsed / 15
        } else {
            Duration::ZERO
        };
        let pause = around.max(late).clamp(SHORTEST, RARE);
        // The look that finds what takes its usual time is not passed by.
        let until_due = on_time.saturating_sub(elapsed);
        if !until_due.is_zero() && until_due < pause.mul_f64(1.6) {
            return until_due.max(SHORTEST);
        }
        pause
    }
}

/// When to look for a state that takes its usual time: when its answer has come a moment ago.
fn on_time(usual: Duration) -> Duration {
    usual.mul_f64(1.005) + DUE / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Duration = Duration::from_secs(12);
    const STOPPED: Duration = Duration::from_secs(20);
    const AVAILABLE: Duration = Duration::from_secs(75);

    /// The looks of a wait for a state that takes so long, in milliseconds.
    fn looks(times: &Times, state: &'static str, usual: Duration, takes: Duration) -> Vec<u128> {
        let expected = times.expect(state, usual);
        let mut looks = vec![expected.first()];
        let mut before = Duration::ZERO;
        while let Some(&last) = looks.last()
            && last < takes
        {
            before = last;
            looks.push(last + expected.pause(last));
        }
        times.note(state, usual, before, looks[looks.len() - 1]);
        looks.into_iter().map(|look| look.as_millis()).collect()
    }

    #[test]
    fn what_is_declared_is_looked_at_early_around_it_and_ever_more_rarely_after_it() {
        let far = || Times::new(false);
        let quick = looks(&far(), "running", RUNNING, Duration::from_secs(3));
        assert_eq!(quick, [0, 250, 1250, 2250, 3375]);
        let usual = looks(&far(), "running", RUNNING, RUNNING);
        assert_eq!(usual, [0, 250, 1250, 2250, 3375, 5062, 7593, 10800, 12310]);
        let late = looks(&far(), "running", RUNNING, Duration::from_mins(5));
        let gaps: Vec<u128> = late.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            gaps.iter().all(|gap| *gap <= 30_000) && gaps[gaps.len() - 1] > 15_000,
            "{gaps:?}"
        );
    }

    #[test]
    fn what_other_states_took_moves_the_looks() {
        let times = Times::new(false);
        looks(&times, "running", RUNNING, RUNNING);
        assert_eq!(looks(&times, "stopped", STOPPED, STOPPED).len(), 4);
        assert_eq!(looks(&times, "available", AVAILABLE, AVAILABLE).len(), 4);
        let quick = Times::new(false);
        looks(&quick, "running", RUNNING, Duration::from_secs(3));
        let stopped = looks(&quick, "stopped", STOPPED, Duration::from_secs(3));
        assert_eq!(stopped, [0, 1546, 2109, 2531, 3076], "an endpoint in a hurry");
    }

    #[test]
    fn what_was_seen_is_looked_at_when_it_came() {
        let times = Times::new(false);
        looks(&times, "running", RUNNING, Duration::from_secs(3));
        assert_eq!(
            looks(&times, "running", RUNNING, Duration::from_secs(3)),
            [2250, 2812, 3390]
        );
        let near = Times::new(true);
        let first = looks(&near, "running", RUNNING, Duration::from_millis(100));
        assert_eq!(first, [0, 15, 30, 60, 120]);
        assert_eq!(looks(&near, "running", RUNNING, Duration::from_millis(70)), [60, 75]);
    }
}
