//! Slots for the connections of a server that every user of this machine can reach: their number is bounded, and when all are taken, the
//! oldest connection that has not authenticated is closed.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// How long to wait for files to become free when no connection ends meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a server.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    most: usize,
    /// In the order in which they were accepted.
    taken: VecDeque<Weak<State>>,
}

#[derive(Debug, Default)]
struct State {
    authenticated: CancellationToken,
    evicted: CancellationToken,
}

/// The slot of one connection, free again when the last clone of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<State>);

impl ConnectionSlots {
    /// Returns slots for at most `most` connections.
    pub(crate) fn new(most: usize) -> ConnectionSlots {
        ConnectionSlots {
            most,
            taken: VecDeque::new(),
        }
    }

    /// Returns a slot for another connection, if there is a free one or one that can be freed.
    pub(crate) fn acquire(&mut self) -> Option<Slot> {
        self.taken.retain(|slot| slot.strong_count() > 0);
        if self.taken.len() >= self.most && !self.make_room() {
            return None;
        }
        let slot = Arc::new(State::default());
        self.taken.push_back(Arc::downgrade(&slot));
        Some(Slot(slot))
    }

    /// Evicts the oldest connection that has not authenticated; returns `false` when there is none.
    pub(crate) fn make_room(&mut self) -> bool {
        let unknown = self
            .taken
            .iter()
            .position(|slot| slot.upgrade().is_some_and(|slot| !slot.authenticated.is_cancelled()));
        let slot = unknown.and_then(|slot| self.taken.remove(slot)?.upgrade());
        slot.inspect(|slot| slot.evicted.cancel()).is_some()
    }

    /// To be called when no connection can be accepted, for lack of file descriptors, say: evicts one and waits for an end before the next try.
    pub(crate) async fn await_room(&mut self, connections: &mut JoinSet<()>) {
        self.make_room();
        let one_ends = async {
            if connections.join_next().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(PAUSE, one_ends).await;
    }
}

impl Slot {
    /// Marks the connection as authenticated: it is not evicted any more.
    pub(crate) fn authenticated(&self) {
        self.0.authenticated.cancel();
    }

    /// Waits until it is authenticated.
    pub(crate) fn until_authenticated(&self) -> WaitForCancellationFuture<'_> {
        self.0.authenticated.cancelled()
    }

    /// Waits until it is evicted.
    pub(crate) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.0.evicted.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(slot: &Slot) -> bool {
        slot.0.evicted.is_cancelled()
    }

    #[test]
    fn the_oldest_connection_without_authentication_is_evicted() {
        let mut slots = ConnectionSlots::new(3);
        let held: Vec<Slot> = (0..3).map(|_| slots.acquire().unwrap()).collect();
        held[0].authenticated();
        let fourth = slots.acquire().unwrap();
        let left: Vec<bool> = held.iter().map(is_evicted).collect();
        assert_eq!(left, [false, true, false]);
        held[2].authenticated();
        fourth.authenticated();
        assert!(slots.acquire().is_none(), "all are authenticated");
        drop(fourth);
        assert!(slots.acquire().is_some(), "one has left");
    }

    #[test]
    fn a_place_is_taken_until_its_last_copy_goes() {
        let mut slots = ConnectionSlots::new(1);
        let slot = slots.acquire().unwrap();
        slot.authenticated();
        let copy = slot.clone();
        drop(slot);
        assert!(slots.acquire().is_none());
        drop(copy);
        assert!(slots.acquire().is_some());
    }
}
