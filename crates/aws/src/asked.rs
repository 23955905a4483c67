//! What the bakes of a run ask alike: the source AMI of one filter, what an instance type can do, where it is offered. Each question is
//! asked once, and all read the answer.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

/// Answers by their questions.
#[derive(Default)]
pub struct Asked(Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>);

impl Asked {
    /// The answer to a question, which is asked now unless it was before; who asks at the same time waits for the one answer. A question
    /// names everything that its answer depends on. One that fails is asked again by the next.
    ///
    /// # Errors
    /// What asking answers.
    pub fn once<'a, T, E>(
        &'a self,
        question: String,
        ask: impl Future<Output = Result<T, E>> + Send + 'a,
    ) -> impl Future<Output = Result<T, E>> + Send + 'a
    where
        T: Clone + Send + Sync + 'static,
        E: 'a,
    {
        // A call of the SDK is tens of kilobytes.
        self.answer(question, Box::pin(ask))
    }

    async fn answer<T, E>(&self, question: String, ask: BoxFuture<'_, Result<T, E>>) -> Result<T, E>
    where
        T: Clone + Send + Sync + 'static,
    {
        let cell = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let cell = all.entry(question).or_insert_with(|| Arc::new(OnceCell::<T>::new()));
            Arc::clone(cell).downcast::<OnceCell<T>>()
        };
        match cell {
            Ok(cell) => cell.get_or_try_init(|| ask).await.cloned(),
            // The same words for an answer of another type: another question.
            Err(_) => ask.await,
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_question_is_asked_once_unless_it_fails() {
        let asked = Asked::default();
        let times = AtomicUsize::new(0);
        let ask = |answer: Result<usize, ()>| {
            let times = &times;
            async move {
                times.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                answer
            }
        };
        assert_eq!(asked.once("a".into(), ask(Err(()))).await, Err(()));
        let (one, other, another) = tokio::join!(
            asked.once("a".into(), ask(Ok(1))),
            asked.once("a".into(), ask(Ok(2))),
            asked.once("b".into(), ask(Ok(3))),
        );
        assert_eq!((one, other, another), (Ok(1), Ok(1), Ok(3)));
        assert_eq!(times.load(Ordering::SeqCst), 3);
    }
}
