//! A named part of a bake, and what the bake waits for meanwhile. Both report their end when they are dropped, so that a bake that is
//! cancelled leaves none open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::event::{StepEvent, WaitEvent, What};
use crate::events::Events;

tokio::task_local! {
    /// The events of the bake that this task makes: whoever waits deep below it has no other way to them.
    static BAKE: Events;
}

/// Makes a bake, whose waits are events of it from here on.
pub(crate) fn bake<T>(events: Events, bake: impl Future<Output = T>) -> impl Future<Output = T> {
    BAKE.scope(events, bake)
}

/// Work of the bake that this task makes, for a task of its own.
pub(crate) fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let events = BAKE.try_with(Events::clone).ok();
    async move {
        match events {
            Some(events) => bake(events, work).await,
            None => work.await,
        }
    }
}

/// The build that this task bakes; absent outside of a bake.
pub fn current_build() -> Option<String> {
    BAKE.try_with(Events::build).ok().flatten()
}

/// A step under way.
pub(crate) struct Step<'a> {
    events: &'a Events,
    name: &'a str,
    started: Instant,
    is_done: bool,
}

impl<'a> Step<'a> {
    pub(crate) fn begin(events: &'a Events, name: &'a str) -> Self {
        events.emit(What::Step(StepEvent::Started { step: name.to_owned() }));
        Self {
            events,
            name,
            started: Instant::now(),
            is_done: false,
        }
    }

    /// Ends it; `ok`: it succeeded. One that is dropped instead has failed.
    pub(crate) fn end(mut self, ok: bool) {
        self.is_done = ok;
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.events.emit(What::Step(StepEvent::Finished {
            step: self.name.to_owned(),
            took: self.started.elapsed(),
            ok: self.is_done,
        }));
    }
}

/// A wait of the bake that this task makes, which ends when it is dropped. Outside of a bake nobody hears of it.
#[must_use = "the wait ends when it is dropped"]
pub struct Waiting {
    id: u64,
    events: Option<Events>,
}

/// The bake waits for this from now on, as in `waiting for WHAT`. `usual`: how long that takes as a rule, where it is known.
pub fn waiting_for(what: impl Into<String>, usual: Option<Duration>) -> Waiting {
    /// A wait has an id of its own within the run.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let waiting = Waiting {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        events: BAKE.try_with(Events::clone).ok(),
    };
    waiting.emit(WaitEvent::Started {
        id: waiting.id,
        what: what.into(),
        usual,
    });
    waiting
}

impl Waiting {
    fn emit(&self, event: WaitEvent) {
        if let Some(events) = &self.events {
            events.emit(What::Wait(event));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.emit(WaitEvent::Finished { id: self.id });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn waits_belong_to_the_bake_around_them_and_end_with_it() {
        let (sender, events) = channel();
        let waits = async {
            let _waiting = waiting_for("instance i-1 to become running", None);
            std::future::pending::<()>().await;
        };
        let bake = bake(Events::new(sender).of("null.a"), waits);
        assert!(tokio::time::timeout(Duration::from_millis(1), bake).await.is_err());
        drop(waiting_for("nobody", None));
        let shown: Vec<_> = events.iter().map(|event| (event.build, event.what)).collect();
        let [
            (Some(one), What::Wait(WaitEvent::Started { id, what, .. })),
            (_, What::Wait(WaitEvent::Finished { id: ended })),
        ] = shown.as_slice()
        else {
            panic!("{shown:?}")
        };
        assert_eq!(
            (one.as_str(), what.as_str()),
            ("null.a", "instance i-1 to become running")
        );
        assert_eq!(id, ended);
    }
}
