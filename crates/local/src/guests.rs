//! Places for connections to a server that everybody on this machine can reach: there are so many, and when all are taken, whoever has
//! been there longest without showing who it is has to go.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// How long to wait for files to become free when no connection ends meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a server.
#[derive(Debug)]
pub(crate) struct Guests {
    most: usize,
    /// In the order in which they came.
    present: VecDeque<Weak<Place>>,
}

#[derive(Debug, Default)]
struct Place {
    known: CancellationToken,
    leave: CancellationToken,
}

/// The place of one connection. It is free again when the last copy of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Seat(Arc<Place>);

impl Guests {
    /// So many at most.
    pub(crate) fn new(most: usize) -> Guests {
        Guests {
            most,
            present: VecDeque::new(),
        }
    }

    /// A place for the next one, if there is any or somebody unknown can be made to leave.
    pub(crate) fn seat(&mut self) -> Option<Seat> {
        self.present.retain(|place| place.strong_count() > 0);
        if self.present.len() >= self.most && !self.make_room() {
            return None;
        }
        let place = Arc::new(Place::default());
        self.present.push_back(Arc::downgrade(&place));
        Some(Seat(place))
    }

    /// Shows out the one that has been unknown for longest. False when there is none.
    pub(crate) fn make_room(&mut self) -> bool {
        let unknown = self
            .present
            .iter()
            .position(|place| place.upgrade().is_some_and(|place| !place.known.is_cancelled()));
        let place = unknown.and_then(|place| self.present.remove(place)?.upgrade());
        place.inspect(|place| place.leave.cancel()).is_some()
    }

    /// Nobody can come in now, for want of files, say: somebody has to leave before the next try.
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

impl Seat {
    /// It has shown who it is, and stays as long as it likes.
    pub(crate) fn recognize(&self) {
        self.0.known.cancel();
    }

    /// Waits until it has shown who it is.
    pub(crate) fn recognized(&self) -> WaitForCancellationFuture<'_> {
        self.0.known.cancelled()
    }

    /// Waits until it has to leave.
    pub(crate) fn asked_to_leave(&self) -> WaitForCancellationFuture<'_> {
        self.0.leave.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must_leave(seat: &Seat) -> bool {
        seat.0.leave.is_cancelled()
    }

    #[test]
    fn the_oldest_unknown_guest_makes_room() {
        let mut guests = Guests::new(3);
        let seats: Vec<Seat> = (0..3).map(|_| guests.seat().unwrap()).collect();
        seats[0].recognize();
        let fourth = guests.seat().unwrap();
        let left: Vec<bool> = seats.iter().map(must_leave).collect();
        assert_eq!(left, [false, true, false]);
        seats[2].recognize();
        fourth.recognize();
        assert!(guests.seat().is_none(), "all are known");
        drop(fourth);
        assert!(guests.seat().is_some(), "one has left");
    }

    #[test]
    fn a_place_is_taken_until_its_last_copy_goes() {
        let mut guests = Guests::new(1);
        let seat = guests.seat().unwrap();
        seat.recognize();
        let copy = seat.clone();
        drop(seat);
        assert!(guests.seat().is_none());
        drop(copy);
        assert!(guests.seat().is_some());
    }
}
