//! Calls that name many resources at once. While one is under way, whatever other bakes ask for is gathered into the next: a single
//! bake never waits for company, and many bakes that come to the same point together cost two calls instead of one each.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::error::AwsError;

/// Makes the call for these ids.
pub type Call = Box<dyn Fn(Vec<String>) -> BoxFuture<'static, Result<(), AwsError>> + Send + Sync>;

/// The calls of one operation in one account and region.
pub struct Batch {
    call: Call,
    /// What the next call is for, and who hears how it went.
    next: Mutex<Vec<(String, oneshot::Sender<Outcome>)>>,
    /// Held while a call is under way.
    turn: tokio::sync::Mutex<()>,
}

/// How a call went for one of its ids.
enum Outcome {
    Done,
    /// It was refused for this id alone.
    Failed(AwsError),
    /// It was refused for several ids, and does not tell for which of them.
    Unclear,
}

impl Batch {
    /// Of an operation that is called in this way.
    pub fn new(call: Call) -> Self {
        Self {
            call,
            next: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Makes the call for this id, together with what others want of it at the same time. One id that is refused does not fail the others.
    ///
    /// # Errors
    /// What the service answers for this id.
    pub async fn call(&self, id: &str) -> Result<(), AwsError> {
        let (sender, mut outcome) = oneshot::channel();
        self.lock().push((id.to_owned(), sender));
        let turn = self.turn.lock().await;
        if let Ok(outcome) = outcome.try_recv() {
            drop(turn);
            return self.settle(id, outcome).await;
        }
        let wanted = std::mem::take(&mut *self.lock());
        // Another waiter that took this id into its call has been cancelled within it.
        if !wanted.iter().any(|(wanted, _)| wanted == id) {
            drop(turn);
            return self.alone(id).await;
        }
        let is_alone = wanted.len() == 1;
        let (ids, senders): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let answer = (self.call)(ids).await;
        let mut outcomes = senders.into_iter();
        match answer {
            Ok(()) => outcomes.for_each(|sender| drop(sender.send(Outcome::Done))),
            Err(error) if is_alone => drop(outcomes.next().map(|sender| sender.send(Outcome::Failed(error)))),
            Err(_) => outcomes.for_each(|sender| drop(sender.send(Outcome::Unclear))),
        }
        drop(turn);
        let outcome = outcome.try_recv().unwrap_or(Outcome::Unclear);
        self.settle(id, outcome).await
    }

    async fn settle(&self, id: &str, outcome: Outcome) -> Result<(), AwsError> {
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Failed(error) => Err(error),
            Outcome::Unclear => self.alone(id).await,
        }
    }

    async fn alone(&self, id: &str) -> Result<(), AwsError> {
        (self.call)(vec![id.to_owned()]).await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, oneshot::Sender<Outcome>)>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;
    use crate::retry::ErrorClass;

    /// What the calls of a batch were for.
    type Calls = Arc<Mutex<Vec<Vec<String>>>>;

    /// A batch that notes its calls; the first one waits until it is allowed to end, and what names `bad` is refused.
    fn noting(allowed: &Arc<Notify>) -> (Calls, Batch) {
        let calls = Calls::default();
        let (noted, allowed) = (Arc::clone(&calls), Arc::clone(allowed));
        let batch = Batch::new(Box::new(move |ids| {
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
                Ok(())
            })
        }));
        (calls, batch)
    }

    #[tokio::test]
    async fn what_is_asked_for_during_a_call_goes_together_in_the_next() {
        let allowed = Arc::new(Notify::new());
        let (calls, batch) = noting(&allowed);
        let all = join_all(["a", "b", "c", "d"].map(|id| batch.call(id)));
        let allow = async { allowed.notify_one() };
        let (answers, ()) = tokio::join!(all, allow);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(*calls.lock().unwrap(), [vec!["a"], vec!["b", "c", "d"]]);
    }

    #[tokio::test]
    async fn one_that_is_refused_does_not_fail_the_others() {
        let allowed = Arc::new(Notify::new());
        allowed.notify_one();
        let (calls, batch) = noting(&allowed);
        let answers = join_all(["a", "bad", "c"].map(|id| batch.call(id))).await;
        let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false]);
        assert_eq!(calls.lock().unwrap().len(), 4, "the first, the others together, then each of them");
    }

    #[tokio::test]
    async fn a_waiter_that_is_cancelled_does_not_take_the_others_with_it() {
        let allowed = Arc::new(Notify::new());
        let (calls, batch) = noting(&allowed);
        let batch = Arc::new(batch);
        let first = tokio::spawn({
            let batch = Arc::clone(&batch);
            async move { batch.call("a").await }
        });
        while calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let batch = Arc::clone(&batch);
            async move { batch.call("b").await }
        });
        tokio::task::yield_now().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        second.await.unwrap().unwrap();
        assert_eq!(*calls.lock().unwrap(), [vec!["a"], vec!["b"]]);
    }
}
