//! Waiting for a state: EC2 sends no events. All builds that share an [`crate::client::Aws`] share one watch per resource kind: whoever's turn it is
//! describes what everyone waits for, and all read the answer. There is no task behind it, so nothing to stop: a waiter that is
//! dropped just does not take its turn any more.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakelite_engine::clock::{self, Paused};
use bakelite_engine::error::Explain;
use bakelite_engine::step::waiting_for;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::pause;
use crate::error::AwsError;
use crate::made::SETTLES;
use crate::retry::Tries;
use crate::times::Times;

/// Two descriptions are so far apart for each resource that is waited for besides the first, up to what calls of many bakes are apart.
const COMPANY: Duration = Duration::from_millis(100);

/// Describes these ids; what does not exist is missing from the answer.
pub type Describe<S> =
    Box<dyn Fn(Vec<String>) -> BoxFuture<'static, Result<HashMap<String, S>, AwsError>> + Send + Sync>;

/// How a state is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long this usually takes: looks are rare before, frequent around it.
    pub usual: Duration,
    /// When to give up.
    pub limit: Duration,
    /// Whether it began to change just now, so that a look is worth nothing before the state may be there.
    pub has_just_begun: bool,
    /// When to give up because nothing is answered; absent: when the error's own policy ends.
    pub unanswered: Option<Duration>,
}

/// Why a wait ended without the state.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It will never come.
    #[error("{what} is {state} instead of {wanted}{}", reason(why.as_ref()))]
    Lost {
        /// What was waited for: `instance i-1`.
        what: String,
        /// The state that it is in.
        state: String,
        /// The state that was wanted.
        wanted: &'static str,
        /// What the service says about it.
        why: Option<String>,
    },
    /// It did not come in time.
    #[error("{what} did not become {wanted} within {} s", limit.as_secs())]
    TooLong {
        /// What was waited for.
        what: String,
        /// The state that was wanted.
        wanted: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// It is not there, and was not made just now.
    #[error("{what} does not exist; it was waited for to become {wanted}")]
    Missing {
        /// What was waited for.
        what: String,
        /// The state that was wanted.
        wanted: &'static str,
    },
    /// Whether it came cannot be seen.
    #[error("whether {what} is {wanted} cannot be seen: {cause}")]
    Unseen {
        /// What was waited for.
        what: String,
        /// The state that was wanted.
        wanted: &'static str,
        /// Why not.
        cause: Box<AwsError>,
    },
    /// It cannot be described.
    #[error("{0}")]
    Aws(#[from] AwsError),
}

impl Explain for WaitError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            WaitError::Aws(error) => error.help(),
            WaitError::Unseen { cause, .. } => cause.help(),
            WaitError::TooLong { .. } => {
                Some("`aws_polling { max_attempts, delay_seconds }` sets how long a state is waited for".into())
            }
            WaitError::Lost { .. } | WaitError::Missing { .. } => None,
        }
    }
}

fn reason(why: Option<&String>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

/// A resource kind in one account and region.
pub struct Watch<S> {
    describe: Describe<S>,
    times: Arc<Times>,
    seen: Mutex<Seen<S>>,
    /// Held while describing.
    turn: tokio::sync::Mutex<()>,
    /// Counts the descriptions.
    looks: watch::Sender<u64>,
}

struct Seen<S> {
    wanted: BTreeMap<String, usize>,
    states: HashMap<String, Arc<S>>,
    /// When the last description began.
    last: Option<Instant>,
    /// … and the last one that was answered.
    answered: Option<Instant>,
    /// The descriptions that failed since the last answer.
    failed: Option<Failed>,
}

/// Descriptions that failed.
struct Failed {
    tries: Tries,
    /// After the last of them.
    pause: Duration,
    error: AwsError,
}

impl<S> Watch<S> {
    /// A watch that describes in this way, when the times of the account say so.
    pub fn new(describe: Describe<S>, times: &Arc<Times>) -> Self {
        let seen = Seen {
            wanted: BTreeMap::new(),
            states: HashMap::new(),
            last: None,
            answered: None,
            failed: None,
        };
        Self {
            describe,
            times: Arc::clone(times),
            seen: Mutex::new(seen),
            turn: tokio::sync::Mutex::new(()),
            looks: watch::Sender::new(0),
        }
    }

    /// Waits until `judge` has an answer about the resource's state (`None`: it is not there, or not yet). `what` and `wanted` are
    /// for the error when that takes longer than the pace allows.
    pub async fn until<T>(
        &self,
        id: &str,
        pace: Pace,
        what: &str,
        wanted: &'static str,
        mut judge: impl FnMut(Option<&S>) -> Option<Result<T, WaitError>>,
    ) -> Result<T, WaitError> {
        let _interest = self.interest(id);
        let mut looks = self.looks.subscribe();
        let started = Instant::now();
        let expected = self.times.expect(wanted, pace.usual);
        let _waiting = waiting_for(format!("{what} to become {wanted}"), expected.usual());
        let mut not_yet = Duration::ZERO;
        let mut fresh = started;
        if pace.has_just_begun {
            let other = async { drop(looks.changed().await) };
            clock::pause_unless(expected.first().min(pace.limit), other).await;
        }
        let asked = Instant::now();
        loop {
            let looked = self.look(fresh).await;
            if let Some(limit) = pace.unanswered
                && let Some(cause) = looked
                    .as_ref()
                    .err()
                    .cloned()
                    .or_else(|| self.failing_since(asked, limit))
            {
                let (what, cause) = (what.to_owned(), Box::new(cause));
                return Err(WaitError::Unseen { what, wanted, cause });
            }
            looked?;
            looks.mark_unchanged();
            let elapsed = started.elapsed();
            if self.answered_since(started)
                && let Some(answer) = judge(self.state(id).as_deref())
            {
                if pace.has_just_begun && answer.is_ok() {
                    self.times.note(wanted, pace.usual, not_yet, elapsed);
                }
                return answer;
            }
            not_yet = elapsed;
            if elapsed >= SETTLES && self.answered_since(started) && self.state(id).is_none() {
                return Err(WaitError::Missing {
                    what: what.to_owned(),
                    wanted,
                });
            }
            if elapsed >= pace.limit {
                return Err(WaitError::TooLong {
                    what: what.to_owned(),
                    wanted,
                    limit: pace.limit,
                });
            }
            let after_failure = self.lock().failed.as_ref().map(|failed| failed.pause);
            let pause = after_failure.unwrap_or_else(|| expected.pause(elapsed));
            let pause = pause.min(pace.limit.saturating_sub(elapsed));
            // When somebody else looks, that answer is judged.
            let other = async { drop(looks.changed().await) };
            if clock::pause_unless(pause, other).await == Paused::Elapsed {
                // A look that another waiter began a moment ago is as good as one of our own.
                fresh = a_moment_ago(pause / 2);
            }
        }
    }

    /// Describes everything that is wanted, unless that happened since `fresh`.
    async fn look(&self, fresh: Instant) -> Result<(), AwsError> {
        if self.is_fresh(fresh) {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        if self.is_fresh(fresh) {
            return Ok(());
        }
        pause(self.until_turn()).await;
        let begun = Instant::now();
        let ids: Vec<String> = self.lock().wanted.keys().cloned().collect();
        let answer = (self.describe)(ids).await;
        let mut seen = self.lock();
        // A failure counts as a look too: the next one comes after a pause.
        seen.last = Some(begun);
        match answer {
            Ok(states) => {
                seen.answered = Some(begun);
                seen.states = states.into_iter().map(|(id, state)| (id, Arc::new(state))).collect();
                seen.failed = None;
            }
            Err(error) => {
                let failed = seen.failed.take();
                let mut tries = failed.map_or_else(|| Tries::since(begun), |failed| failed.tries);
                let Some(pause) = tries.after(error.class) else {
                    return Err(error);
                };
                seen.failed = Some(Failed { tries, pause, error });
            }
        }
        drop(seen);
        self.looks.send_modify(|count| *count += 1);
        Ok(())
    }

    /// How long the next description waits for company: the longer, the more is waited for.
    fn until_turn(&self) -> Duration {
        let seen = self.lock();
        let wanted = u32::try_from(seen.wanted.len()).unwrap_or(u32::MAX);
        let apart = self.times.apart().min(COMPANY.saturating_mul(wanted.saturating_sub(1)));
        seen.last
            .map_or(Duration::ZERO, |last| apart.saturating_sub(last.elapsed()))
    }

    /// The last error, when nothing was answered for so long.
    fn failing_since(&self, started: Instant, limit: Duration) -> Option<AwsError> {
        let seen = self.lock();
        let silent = started.max(seen.answered.unwrap_or(started)).elapsed();
        let failed = seen.failed.as_ref().filter(|_| silent >= limit)?;
        Some(failed.error.clone())
    }

    /// Whether the service said anything since then.
    fn answered_since(&self, started: Instant) -> bool {
        self.lock().answered.is_some_and(|answered| answered >= started)
    }

    /// What the service said last of the resource.
    fn state(&self, id: &str) -> Option<Arc<S>> {
        self.lock().states.get(id).cloned()
    }

    fn is_fresh(&self, fresh: Instant) -> bool {
        self.lock().last.is_some_and(|last| last >= fresh)
    }

    fn interest(&self, id: &str) -> Interest<'_, S> {
        *self.lock().wanted.entry(id.to_owned()).or_default() += 1;
        Interest {
            watch: self,
            id: id.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen<S>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> fmt::Debug for Watch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

fn a_moment_ago(moment: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(moment).unwrap_or(now)
}

/// Keeps an id among those that are described while somebody waits for it.
struct Interest<'a, S> {
    watch: &'a Watch<S>,
    id: String,
}

impl<S> Drop for Interest<'_, S> {
    fn drop(&mut self) {
        let mut seen = self.watch.lock();
        if let Some(count) = seen.wanted.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                seen.wanted.remove(&self.id);
                seen.states.remove(&self.id);
            }
        }
    }
}

impl Pace {
    /// A pace for a state that usually comes after this many seconds; given up after `limit`.
    pub const fn new(usual_seconds: u64, limit: Duration) -> Self {
        Self {
            usual: Duration::from_secs(usual_seconds),
            limit,
            has_just_begun: false,
            unanswered: None,
        }
    }

    /// The same for what need not be seen: a removal was asked for, whether it was done is told or not.
    #[must_use]
    pub(crate) const fn unless_silent(self, limit: Duration) -> Self {
        Self {
            unanswered: Some(limit),
            ..self
        }
    }

    /// The same for a change that was asked for just now.
    #[must_use]
    pub const fn just_begun(self) -> Self {
        Self {
            has_just_begun: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::retry::ErrorClass;

    const PACE: Pace = Pace::new(10, Duration::from_mins(1));

    /// Answers what number of description this is, for every id.
    fn counting(calls: &Arc<AtomicUsize>) -> Watch<usize> {
        let calls = Arc::clone(calls);
        let describe: Describe<usize> = Box::new(move |ids| {
            let count = calls.fetch_add(1, Ordering::SeqCst) + 1;
            Box::pin(async move { Ok(ids.into_iter().map(|id| (id, count)).collect()) })
        });
        Watch::new(describe, &Arc::new(Times::new(true)))
    }

    #[tokio::test]
    async fn waiters_share_descriptions() {
        let calls = Arc::new(AtomicUsize::new(0));
        let watch = counting(&calls);
        let third = |id: &'static str| watch.until(id, PACE, id, "third", |count| (*count? >= 3).then_some(Ok(())));
        let (a, b, c) = tokio::join!(third("a"), third("b"), third("c"));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert!(calls.load(Ordering::SeqCst) <= 4, "{calls:?}");
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_limit() {
        let watch = counting(&Arc::default());
        let pace = Pace::new(10, Duration::ZERO);
        let error = watch
            .until("a", pace, "instance a", "running", |_| None::<Result<(), _>>)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "instance a did not become running within 0 s");
    }

    #[tokio::test(start_paused = true)]
    async fn descriptions_of_many_are_apart_and_those_of_one_are_not() {
        for (others, expected) in [(0, 10), (3, 300), (30, 1000)] {
            let describe: Describe<()> =
                Box::new(|ids| Box::pin(async move { Ok(ids.into_iter().map(|id| (id, ())).collect()) }));
            let watch = Watch::new(describe, &Arc::new(Times::new(false)));
            let _others: Vec<_> = (0..others).map(|number| watch.interest(&number.to_string())).collect();
            let begun = Instant::now();
            for _ in 0..2 {
                let seen = watch.until("a", PACE, "a", "available", |state| state.map(|()| Ok(())));
                seen.await.unwrap();
                let moment = Duration::from_millis(10).saturating_sub(begun.elapsed());
                pause(moment).await;
            }
            assert_eq!(begun.elapsed().as_millis() / 10, expected / 10, "{others}");
        }
    }

    fn failed(class: ErrorClass) -> AwsError {
        AwsError {
            operation: "DescribeImages",
            code: Some("Code".into()),
            message: "it fails".into(),
            request_id: None,
            class,
            action: None,
            principal: None,
            connection: None,
        }
    }

    #[tokio::test]
    async fn what_nobody_can_tell_of_is_not_waited_for() {
        for class in [ErrorClass::Unavailable, ErrorClass::Denied] {
            let describe: Describe<()> = Box::new(move |_| Box::pin(async move { Err(failed(class)) }));
            let watch = Watch::new(describe, &Arc::new(Times::new(true)));
            let pace = PACE.unless_silent(Duration::ZERO);
            let error = watch
                .until("a", pace, "instance a", "terminated", |_| None::<Result<(), _>>)
                .await;
            let text = error.unwrap_err().to_string();
            assert!(
                text.starts_with("whether instance a is terminated cannot be seen: `DescribeImages` answered `Code`"),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn throttling_slows_down_and_never_fails() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let describe: Describe<()> = Box::new(move |ids| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if call < 2 {
                    return Err(failed(ErrorClass::Throttled));
                }
                Ok(ids.into_iter().map(|id| (id, ())).collect())
            })
        });
        let watch = Watch::new(describe, &Arc::new(Times::new(true)));
        let pace = Pace::new(10, Duration::from_mins(1));
        watch
            .until("a", pace, "image a", "available", |state| state.map(|()| Ok(())))
            .await
            .unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    }
}
