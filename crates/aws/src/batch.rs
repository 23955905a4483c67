//! Calls that name many resources at once. While one is under way, and for a moment after it began, whatever other bakes ask for is
//! gathered into the next: a single bake never waits for company, and many bakes that come to the same point at about the same time cost
//! a few calls instead of one each.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Image, Volume};
use futures::future::{BoxFuture, try_join_all};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::call::{call, once, pause};
use crate::describe;
use crate::error::AwsError;
use crate::tag::{self, Tags};

/// Makes the call for these ids, and answers what is said about each of them, if anything.
pub type Call<V, K = String> = Box<dyn Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>, AwsError>> + Send + Sync>;

/// How long after a call that followed no other the next one may begin; each that follows doubles it.
const FIRST_APART: Duration = Duration::from_millis(100);

/// The calls of one operation in one account and region.
pub struct Batch<V, K = String> {
    call: Call<V, K>,
    /// How long after the beginning of a call the next one may begin, when calls follow each other.
    apart: Duration,
    /// What the next call is for, and who is told how it went.
    next: Mutex<Vec<(K, oneshot::Sender<Outcome<V>>)>>,
    /// The last call; held while one is under way.
    turn: tokio::sync::Mutex<Option<Last>>,
}

/// A call that was made.
struct Last {
    begun: Instant,
    /// How long after it the next one may begin.
    apart: Duration,
}

/// How a call went for one of its ids.
enum Outcome<V> {
    Done(Option<V>),
    /// It was refused for this id alone.
    Failed(AwsError),
    /// It was refused for several ids, and does not tell for which of them.
    Unclear,
}

impl<V: Clone, K: Clone + Eq + Hash> Batch<V, K> {
    /// Of an operation that is called in this way, with up to so much time between the beginnings of two calls.
    pub fn new(apart: Duration, call: Call<V, K>) -> Self {
        Self {
            call,
            apart,
            next: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Makes the call for this id, together with what others want of it at the same time, and answers what is said about the id. One that
    /// is refused does not fail the others.
    ///
    /// # Errors
    /// What the service answers for this id.
    pub async fn call(&self, id: K) -> Result<Option<V>, AwsError> {
        let (sender, mut outcome) = oneshot::channel();
        self.lock().push((id.clone(), sender));
        let mut turn = self.turn.lock().await;
        if let Ok(outcome) = outcome.try_recv() {
            drop(turn);
            return self.settle(id, outcome).await;
        }
        let apart = match &*turn {
            Some(last) if last.begun.elapsed() < self.apart * 2 => {
                pause(last.apart.saturating_sub(last.begun.elapsed())).await;
                last.apart * 2
            }
            _ => FIRST_APART,
        };
        let wanted: Vec<_> = {
            let mut next = self.lock();
            let count = next.len().min(describe::MOST_VALUES);
            next.drain(..count).collect()
        };
        // Another waiter that took this id into its call has been cancelled within it.
        if !wanted.iter().any(|(wanted, _)| *wanted == id) {
            drop(turn);
            return self.alone(id).await;
        }
        *turn = Some(Last {
            begun: Instant::now(),
            apart: apart.min(self.apart),
        });
        let is_alone = wanted.len() == 1;
        let (ids, senders): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let answer = (self.call)(ids.clone()).await;
        for (id, sender) in ids.iter().zip(senders) {
            let outcome = match &answer {
                Ok(said) => Outcome::Done(said.get(id).cloned()),
                Err(error) if is_alone => Outcome::Failed(error.clone()),
                Err(_) => Outcome::Unclear,
            };
            // Who asked may have been cancelled.
            let _ = sender.send(outcome);
        }
        drop(turn);
        let outcome = outcome.try_recv().unwrap_or(Outcome::Unclear);
        self.settle(id, outcome).await
    }

    async fn settle(&self, id: K, outcome: Outcome<V>) -> Result<Option<V>, AwsError> {
        match outcome {
            Outcome::Done(said) => Ok(said),
            Outcome::Failed(error) => Err(error),
            Outcome::Unclear => self.alone(id).await,
        }
    }

    async fn alone(&self, id: K) -> Result<Option<V>, AwsError> {
        Ok((self.call)(vec![id.clone()]).await?.remove(&id))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(K, oneshot::Sender<Outcome<V>>)>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::zero_sized_map_values,
    reason = "these calls say nothing about an id but that they were answered"
)]
impl Batch<()> {
    /// Stops instances.
    pub(crate) fn stops(ec2: &Client, apart: Duration) -> Self {
        let ec2 = ec2.clone();
        Self::new(
            apart,
            Box::new(move |ids| {
                let request = ec2.stop_instances().set_instance_ids(Some(ids));
                Box::pin(async move {
                    call("StopInstances", || request.clone().send()).await?;
                    Ok(HashMap::new())
                })
            }),
        )
    }

    /// Terminates instances; a call is not repeated here.
    pub(crate) fn terminations(ec2: &Client, apart: Duration) -> Self {
        let ec2 = ec2.clone();
        Self::new(
            apart,
            Box::new(move |ids| {
                let request = ec2.terminate_instances().set_instance_ids(Some(ids));
                Box::pin(async move {
                    once("TerminateInstances", request.send()).await?;
                    Ok(HashMap::new())
                })
            }),
        )
    }
}

#[expect(
    clippy::zero_sized_map_values,
    reason = "these calls say nothing about resources but that they were answered"
)]
impl Batch<(), Vec<String>> {
    /// Removes the tags of temporary resources from resources that stay, those of a bake together.
    pub(crate) fn untags(ec2: &Client, apart: Duration) -> Self {
        let ec2 = ec2.clone();
        Self::new(
            apart,
            Box::new(move |resources| {
                let ec2 = ec2.clone();
                Box::pin(async move {
                    tag::remove_temporary(&ec2, resources.concat()).await?;
                    Ok(HashMap::new())
                })
            }),
        )
    }
}

#[expect(
    clippy::zero_sized_map_values,
    reason = "these calls say nothing about resources but that they were answered"
)]
impl Batch<(), (Tags, Vec<String>)> {
    /// Sets tags of resources: those of bakes that set the same tags go together.
    pub(crate) fn tags(ec2: &Client, apart: Duration) -> Self {
        let ec2 = ec2.clone();
        Self::new(
            apart,
            Box::new(move |all| {
                let mut alike: BTreeMap<Tags, Vec<String>> = BTreeMap::new();
                for (tags, resources) in all {
                    alike.entry(tags).or_default().extend(resources);
                }
                let ec2 = ec2.clone();
                Box::pin(async move {
                    let calls = alike
                        .iter()
                        .map(|(tags, resources)| tag::set(&ec2, resources.clone(), tags));
                    try_join_all(calls).await?;
                    Ok(HashMap::new())
                })
            }),
        )
    }
}

impl Batch<Vec<Image>> {
    /// Finds the account's own images by their names.
    pub(crate) fn images_by_name(ec2: &Client, apart: Duration) -> Self {
        let ec2 = ec2.clone();
        Self::new(
            apart,
            Box::new(move |names| {
                let by = Filter::builder().name("name").set_values(Some(names)).build();
                let ec2 = ec2.clone();
                Box::pin(async move {
                    let mut named: HashMap<String, Vec<Image>> = HashMap::new();
                    for image in describe::own_images(&ec2, by).await? {
                        let name = image.name().unwrap_or_default().to_owned();
                        named.entry(name).or_default().push(image);
                    }
                    Ok(named)
                })
            }),
        )
    }
}

impl Batch<Vec<Volume>> {
    /// Finds volumes by their tokens.
    pub(crate) fn volumes_by_token(ec2: &Client, apart: Duration) -> Self {
        let ec2 = ec2.clone();
        Self::new(
            apart,
            Box::new(move |tokens| {
                let by = tag::by_tokens(tokens);
                let ec2 = ec2.clone();
                Box::pin(async move {
                    let mut by_token: HashMap<String, Vec<Volume>> = HashMap::new();
                    for volume in describe::volumes(&ec2, by).await? {
                        if let Some(token) = tag::read(volume.tags()).remove(tag::TOKEN) {
                            by_token.entry(token).or_default().push(volume);
                        }
                    }
                    Ok(by_token)
                })
            }),
        )
    }
}

impl<V, K> fmt::Debug for Batch<V, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;
    use crate::retry::ErrorClass;

    /// What the calls of a batch were for.
    type Calls = Arc<Mutex<Vec<Vec<String>>>>;

    /// A batch that notes its calls; the first one waits until it is allowed to end, and what names `bad` is refused.
    fn noting(allowed: &Arc<Notify>, apart: Duration) -> (Calls, Batch<usize>) {
        let calls = Calls::default();
        let (noted, allowed) = (Arc::clone(&calls), Arc::clone(allowed));
        let batch = Batch::new(
            apart,
            Box::new(move |ids| {
                let is_first = {
                    let mut calls = noted.lock().unwrap();
                    calls.push(ids.clone());
                    calls.len() == 1
                };
                let allowed = Arc::clone(&allowed);
                Box::pin(async move {
                    if is_first {
                        allowed.notified().await;
                    }
                    if ids.iter().any(|id| id == "bad") {
                        return Err(AwsError {
                            operation: "StopInstances",
                            code: Some("InvalidInstanceID.NotFound".into()),
                            message: "no such instance".into(),
                            request_id: None,
                            class: ErrorClass::NotFound,
                            action: None,
                            principal: None,
                            connection: None,
                        });
                    }
                    Ok(ids.into_iter().enumerate().map(|(at, id)| (id, at)).collect())
                })
            }),
        );
        (calls, batch)
    }

    #[tokio::test]
    async fn what_is_asked_for_during_a_call_goes_together_in_the_next() {
        let allowed = Arc::new(Notify::new());
        let (calls, batch) = noting(&allowed, Duration::ZERO);
        let all = join_all(["a", "b", "c", "d"].map(|id| batch.call(id.to_owned())));
        let allow = async { allowed.notify_one() };
        let (answers, ()) = tokio::join!(all, allow);
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
        assert_eq!(answers, [0, 0, 1, 2], "each has what was said about it");
        assert_eq!(*calls.lock().unwrap(), [vec!["a"], vec!["b", "c", "d"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_a_moment_after_a_call_waits_for_company() {
        let allowed = Arc::new(Notify::new());
        allowed.notify_one();
        let (calls, batch) = noting(&allowed, Duration::from_secs(1));
        let at = async |milliseconds, id: &str| {
            pause(Duration::from_millis(milliseconds)).await;
            batch.call(id.to_owned()).await.unwrap();
            Instant::now()
        };
        let begun = Instant::now();
        let many = join_all([0, 10, 90, 150, 250, 310, 600, 1600, 2400, 5000].map(|milliseconds| {
            let name = milliseconds.to_string();
            async move { at(milliseconds, &name).await }
        }));
        let ended = many
            .await
            .into_iter()
            .map(|end| end.duration_since(begun).as_millis() / 10);
        assert_eq!(
            ended.collect::<Vec<_>>(),
            [0, 10, 10, 30, 30, 70, 70, 160, 260, 500],
            "hundredths of a second"
        );
        assert_eq!(
            *calls.lock().unwrap(),
            [
                vec!["0"],
                vec!["10", "90"],
                vec!["150", "250"],
                vec!["310", "600"],
                vec!["1600"],
                vec!["2400"],
                vec!["5000"]
            ]
        );
    }

    #[tokio::test]
    async fn one_that_is_refused_does_not_fail_the_others() {
        let allowed = Arc::new(Notify::new());
        let (calls, batch) = noting(&allowed, Duration::ZERO);
        let all = join_all(["a", "bad", "c"].map(|id| batch.call(id.to_owned())));
        let allow = async { allowed.notify_one() };
        let (answers, ()) = tokio::join!(all, allow);
        let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false]);
        assert_eq!(
            calls.lock().unwrap().len(),
            4,
            "the first, the others together, then each of them"
        );
    }

    #[tokio::test]
    async fn a_call_names_no_more_than_a_filter_takes() {
        let allowed = Arc::new(Notify::new());
        let (calls, batch) = noting(&allowed, Duration::ZERO);
        let ids: Vec<String> = (0..450).map(|number| format!("i-{number}")).collect();
        let asked = join_all(ids.iter().map(|id| batch.call(id.clone())));
        let (answers, ()) = tokio::join!(asked, async { allowed.notify_one() });
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_some()));
        let sizes: Vec<usize> = calls.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 200, 200, 49]);
    }

    #[tokio::test]
    async fn a_waiter_that_is_cancelled_does_not_take_the_others_with_it() {
        let allowed = Arc::new(Notify::new());
        let (calls, batch) = noting(&allowed, Duration::ZERO);
        let batch = Arc::new(batch);
        let mut tasks = JoinSet::new();
        let first = tasks.spawn({
            let batch = Arc::clone(&batch);
            async move { batch.call("a".into()).await }
        });
        while calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        tasks.spawn({
            let batch = Arc::clone(&batch);
            async move { batch.call("b".into()).await }
        });
        tokio::task::yield_now().await;
        first.abort();
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
        tasks.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(*calls.lock().unwrap(), [vec!["a"], vec!["b"]]);
    }
}
