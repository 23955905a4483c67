//! The levels of a cancellation as a value; signals are the program's matter, and tests send levels as they like.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How urgently a run shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// It goes on.
    #[default]
    None,
    /// Bodies stop at their next await, everything temporary is removed.
    CleanUp,
    /// The same without graceful waits.
    Hurry,
}

/// The cancellation of a run, as those see it who obey. Clones are the same cancellation.
#[derive(Debug, Clone)]
pub struct Cancel {
    token: CancellationToken,
    urgency: watch::Receiver<Urgency>,
}

/// The cancellation of a run, as the one sees it who decides.
#[derive(Debug)]
pub struct Canceller {
    token: CancellationToken,
    urgency: watch::Sender<Urgency>,
}

/// A cancellation that has not happened.
pub fn cancellation() -> (Canceller, Cancel) {
    let token = CancellationToken::new();
    let (sender, urgency) = watch::channel(Urgency::None);
    (
        Canceller {
            token: token.clone(),
            urgency: sender,
        },
        Cancel { token, urgency },
    )
}

impl Canceller {
    /// Cancels, or makes it more urgent.
    pub fn cancel(&self, urgency: Urgency) {
        self.urgency.send_if_modified(|now| {
            let more = urgency > *now;
            *now = urgency.max(*now);
            more
        });
        self.token.cancel();
    }
}

impl Cancel {
    /// The token that tasks watch.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Has it happened?
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// How urgent it is now.
    pub fn urgency(&self) -> Urgency {
        *self.urgency.borrow()
    }

    /// Answers when it is at least that urgent; never when the decider is gone before.
    pub async fn at_least(&self, urgency: Urgency) {
        let mut watched = self.urgency.clone();
        if watched.wait_for(|now| *now >= urgency).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
