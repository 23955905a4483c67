//! What was sent and is not acknowledged yet: numbering, the window, and when something is sent again.
//!
//! Each message is acknowledged by itself, so a gap shows which one was lost: it is sent again as soon as others that were sent well
//! after it are acknowledged. When nothing is acknowledged at all, the oldest is sent again after a time that follows the round trips,
//! and then after twice that time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::frame::{Frame, MessageType};

/// Messages on their way at most: with payloads of 1024 bytes, 20 MB/s over a round trip of 200 ms.
const WINDOW: usize = 4096;

/// A message counts as lost when one is acknowledged that was sent this many after it. Frames travel over TCP, so they come in another
/// order only where a relay has several ways.
const REORDER: u64 = 128;

/// However often nothing was acknowledged, the oldest message is sent again after this.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the peer may leave everything unacknowledged.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// Messages of one direction.
#[derive(Debug)]
pub(crate) struct Outgoing {
    message_type: MessageType,
    next: i64,
    /// From the oldest that is not acknowledged to the newest; `None` where an acknowledgement came out of order.
    unacknowledged: VecDeque<Option<Sent>>,
    /// Transmissions that are not answered, in their order.
    in_flight: BTreeMap<u64, i64>,
    transmissions: u64,
    newest_answered: u64,
    round_trip: RoundTrip,
    /// When the last acknowledgement came, or the first message was sent that waits for one.
    progress: Option<Instant>,
    /// Timeouts since then.
    timeouts: u32,
}

#[derive(Debug)]
struct Sent {
    frame: Bytes,
    transmission: u64,
    at: Instant,
    is_repeated: bool,
}

impl Outgoing {
    pub(crate) fn new(message_type: MessageType) -> Self {
        Self {
            message_type,
            next: 0,
            unacknowledged: VecDeque::new(),
            in_flight: BTreeMap::new(),
            transmissions: 0,
            newest_answered: 0,
            round_trip: RoundTrip::default(),
            progress: None,
            timeouts: 0,
        }
    }

    /// May another message be sent?
    pub(crate) fn has_room(&self) -> bool {
        self.unacknowledged.len() < WINDOW
    }

    /// Has everything arrived?
    pub(crate) fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// Numbers a message; answers its frame.
    pub(crate) fn push(&mut self, payload_type: u32, payload: Bytes, now: Instant) -> Bytes {
        let sequence = self.next;
        // The agent marks its first message; the client marks none.
        let flags = u64::from(sequence == 0 && self.message_type == MessageType::OutputStreamData);
        let frame = Frame::new(self.message_type, sequence, flags, payload_type, payload).bytes();
        self.next += 1;
        self.progress.get_or_insert(now);
        self.transmissions += 1;
        self.in_flight.insert(self.transmissions, sequence);
        self.unacknowledged.push_back(Some(Sent {
            frame: frame.clone(),
            transmission: self.transmissions,
            at: now,
            is_repeated: false,
        }));
        frame
    }

    /// Takes an acknowledgement; answers what is thereby known to be lost, to be sent again.
    pub(crate) fn acknowledged(&mut self, sequence: i64, now: Instant) -> Vec<Bytes> {
        let Some(sent) = self.slot(sequence).and_then(Option::take) else {
            return Vec::new();
        };
        self.in_flight.remove(&sent.transmission);
        // Of a repeated message nobody knows which transmission was answered, so it means nothing for those before it. But somebody
        // listens again: two that have waited too long go after it, and so on, in ever larger steps.
        let mut late = 2;
        if !sent.is_repeated {
            late = 0;
            self.newest_answered = self.newest_answered.max(sent.transmission);
            self.round_trip.measured(now.saturating_duration_since(sent.at));
        }
        while let Some(None) = self.unacknowledged.front() {
            self.unacknowledged.pop_front();
        }
        self.progress = (!self.is_empty()).then_some(now);
        self.timeouts = 0;
        let mut lost = Vec::new();
        while let Some((&transmission, &sequence)) = self.in_flight.first_key_value() {
            if transmission + REORDER > self.newest_answered {
                if late == 0 || !self.is_late(sequence, now) {
                    break;
                }
                late -= 1;
            }
            lost.extend(self.repeat(sequence, now));
        }
        lost
    }

    /// What is to be sent again because time has passed.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Bytes> {
        let timeout = (self.round_trip.timeout() * 2_u32.pow(self.timeouts.min(4))).min(LONGEST_TIMEOUT);
        let oldest = self.first()?;
        let last = self.slot(oldest)?.as_ref()?.at;
        if now.saturating_duration_since(last) < timeout {
            return None;
        }
        self.timeouts += 1;
        self.repeat(oldest, now)
    }

    /// Everything that waits for an acknowledgement, for another socket: as if it had never been sent.
    pub(crate) fn all_again(&mut self, now: Instant) -> Vec<Bytes> {
        self.progress = (!self.is_empty()).then_some(now);
        self.timeouts = 0;
        self.in_flight.clear();
        let oldest = self.next - i64::try_from(self.unacknowledged.len()).unwrap_or(i64::MAX);
        let mut frames = Vec::new();
        for (sent, sequence) in self.unacknowledged.iter_mut().zip(oldest..) {
            let Some(sent) = sent else { continue };
            self.transmissions += 1;
            sent.transmission = self.transmissions;
            sent.at = now;
            sent.is_repeated = false;
            self.in_flight.insert(self.transmissions, sequence);
            frames.push(sent.frame.clone());
        }
        frames
    }

    /// Has the peer acknowledged nothing for too long?
    pub(crate) fn is_given_up(&self, now: Instant) -> bool {
        self.progress
            .is_some_and(|since| now.saturating_duration_since(since) > GIVE_UP_AFTER)
    }

    /// Time without a listener does not count.
    pub(crate) fn hold(&mut self, now: Instant) {
        self.progress = self.progress.map(|_| now);
    }

    fn is_late(&mut self, sequence: i64, now: Instant) -> bool {
        let timeout = self.round_trip.timeout();
        let sent = self.slot(sequence).and_then(|slot| slot.as_ref());
        sent.is_some_and(|sent| now.saturating_duration_since(sent.at) >= timeout)
    }

    fn first(&self) -> Option<i64> {
        let count = i64::try_from(self.unacknowledged.len()).ok()?;
        (count > 0).then(|| self.next - count)
    }

    fn slot(&mut self, sequence: i64) -> Option<&mut Option<Sent>> {
        let index = usize::try_from(sequence.checked_sub(self.first()?)?).ok()?;
        self.unacknowledged.get_mut(index)
    }

    fn repeat(&mut self, sequence: i64, now: Instant) -> Option<Bytes> {
        self.transmissions += 1;
        let transmission = self.transmissions;
        let sent = self.slot(sequence)?.as_mut()?;
        let before = std::mem::replace(&mut sent.transmission, transmission);
        sent.at = now;
        sent.is_repeated = true;
        let frame = sent.frame.clone();
        self.in_flight.remove(&before);
        self.in_flight.insert(transmission, sequence);
        Some(frame)
    }
}

/// The round trip's smoothed time and how it varies: the official peers' constants.
#[derive(Debug)]
struct RoundTrip {
    time: Duration,
    variation: Duration,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(100),
            variation: Duration::ZERO,
        }
    }
}

impl RoundTrip {
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(1);
    const GRANULARITY: Duration = Duration::from_millis(10);

    fn measured(&mut self, sample: Duration) {
        self.variation = self.variation * 3 / 4 + self.time.abs_diff(sample) / 4;
        self.time = self.time * 7 / 8 + sample / 8;
    }

    fn timeout(&self) -> Duration {
        let timeout = self.time + Self::GRANULARITY.max(self.variation * 4);
        timeout.clamp(Self::SHORTEST, Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(messages: usize, now: Instant) -> Outgoing {
        let mut outgoing = Outgoing::new(MessageType::InputStreamData);
        for _ in 0..messages {
            let _ = outgoing.push(1, Bytes::from_static(b"x"), now);
        }
        outgoing
    }

    fn sequences(frames: &[Bytes]) -> Vec<i64> {
        frames.iter().map(|one| Frame::parse(one).unwrap().sequence).collect()
    }

    #[test]
    fn the_window_ends_and_opens_with_the_oldest() {
        let now = Instant::now();
        let mut outgoing = outgoing(WINDOW, now);
        assert!(!outgoing.has_room());
        let _ = outgoing.acknowledged(1, now);
        assert!(!outgoing.has_room(), "the oldest still holds the window");
        let _ = outgoing.acknowledged(0, now);
        assert!(outgoing.has_room());
    }

    #[test]
    fn a_gap_is_sent_again_when_much_later_ones_are_acknowledged() {
        let now = Instant::now();
        let mut outgoing = outgoing(200, now);
        for sequence in 1..i64::try_from(REORDER).unwrap() {
            assert_eq!(outgoing.acknowledged(sequence, now), Vec::<Bytes>::new());
        }
        assert_eq!(sequences(&outgoing.acknowledged(128, now)), [0]);
        assert_eq!(
            outgoing.acknowledged(129, now),
            Vec::<Bytes>::new(),
            "it is on its way again"
        );
    }

    #[test]
    fn the_oldest_is_sent_again_after_longer_and_longer_times() {
        let start = Instant::now();
        let mut outgoing = outgoing(2, start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(outgoing.overdue(at(199)), None);
        assert_eq!(sequences(&[outgoing.overdue(at(200)).unwrap()]), [0]);
        assert_eq!(outgoing.overdue(at(500)), None);
        assert_eq!(sequences(&[outgoing.overdue(at(600)).unwrap()]), [0]);
        let _ = outgoing.acknowledged(0, at(601));
        let _ = outgoing.acknowledged(1, at(602));
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.overdue(at(9000)), None);
    }

    #[test]
    fn after_a_silence_more_and_more_is_sent_again() {
        let start = Instant::now();
        let mut outgoing = outgoing(20, start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(sequences(&[outgoing.overdue(at(300)).unwrap()]), [0]);
        assert_eq!(sequences(&outgoing.acknowledged(0, at(301))), [1, 2]);
        assert_eq!(sequences(&outgoing.acknowledged(1, at(302))), [3, 4]);
        assert_eq!(sequences(&outgoing.acknowledged(2, at(302))), [5, 6]);
        assert_eq!(sequences(&outgoing.acknowledged(19, at(303))), Vec::<i64>::new());
    }

    /// The answer to the first of two transmissions means nothing for what was sent between them.
    #[test]
    fn late_answers_do_not_make_others_lost() {
        let start = Instant::now();
        let mut outgoing = outgoing(1000, start);
        let _ = outgoing.overdue(start + Duration::from_millis(300)).unwrap();
        let soon = start + Duration::from_millis(100);
        assert_eq!(outgoing.acknowledged(0, soon), Vec::<Bytes>::new());
        assert_eq!(outgoing.acknowledged(1, soon), Vec::<Bytes>::new());
    }

    #[test]
    fn a_new_socket_gets_everything_in_order() {
        let now = Instant::now();
        let mut outgoing = outgoing(5, now);
        let _ = outgoing.acknowledged(2, now);
        assert_eq!(sequences(&outgoing.all_again(now)), [0, 1, 3, 4]);
        assert_eq!(sequences(&outgoing.all_again(now)), [0, 1, 3, 4]);
    }

    #[test]
    fn numbers_that_were_never_sent_change_nothing() {
        let now = Instant::now();
        let mut outgoing = outgoing(3, now);
        for sequence in [-1, 3, i64::MAX, i64::MIN] {
            assert_eq!(outgoing.acknowledged(sequence, now), Vec::<Bytes>::new());
        }
        assert!(!outgoing.is_empty());
    }

    #[test]
    fn a_silent_peer_is_given_up_unless_it_is_known_to_be_away() {
        let start = Instant::now();
        let mut outgoing = outgoing(1, start);
        let later = start + GIVE_UP_AFTER + Duration::from_secs(1);
        assert!(outgoing.is_given_up(later));
        outgoing.hold(later);
        assert!(!outgoing.is_given_up(later));
        let _ = outgoing.acknowledged(0, later);
        assert!(!outgoing.is_given_up(later + GIVE_UP_AFTER * 2));
    }

    #[test]
    fn the_timeout_follows_the_round_trip_within_bounds() {
        let mut round_trip = RoundTrip::default();
        for _ in 0..100 {
            round_trip.measured(Duration::from_millis(1));
        }
        assert_eq!(round_trip.timeout(), RoundTrip::SHORTEST);
        for _ in 0..100 {
            round_trip.measured(Duration::from_millis(400));
        }
        assert!((400..=420).contains(&round_trip.timeout().as_millis()));
        round_trip.measured(Duration::from_mins(1));
        assert_eq!(round_trip.timeout(), RoundTrip::LONGEST);
    }
}
