//! What arrives, put into order: what comes early waits, what comes twice is dropped.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Messages that may wait for one before them; the official client's figure.
const CAPACITY: usize = 10_000;

/// Messages of one direction.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    expected: i64,
    waiting: BTreeMap<i64, Message>,
}

/// A payload and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) payload_type: u32,
    pub(crate) payload: Bytes,
}

impl Incoming {
    /// Takes a message. `true`: it is to be acknowledged, also when it came before, for that acknowledgement may have been lost.
    pub(crate) fn receive(&mut self, sequence: i64, message: Message) -> bool {
        if sequence < self.expected {
            return sequence >= 0;
        }
        if sequence > self.expected && self.waiting.len() >= CAPACITY {
            // Without an acknowledgement it is sent again.
            return false;
        }
        self.waiting.entry(sequence).or_insert(message);
        true
    }

    /// The next message in order.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let message = self.waiting.remove(&self.expected)?;
        self.expected += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(number: i64) -> Message {
        Message {
            payload_type: 1,
            payload: Bytes::from(number.to_string()),
        }
    }

    fn drain(incoming: &mut Incoming) -> Vec<Message> {
        std::iter::from_fn(|| incoming.next()).collect()
    }

    #[test]
    fn early_ones_wait_and_old_ones_are_acknowledged_again() {
        let mut incoming = Incoming::default();
        assert!(incoming.receive(1, message(1)));
        assert_eq!(drain(&mut incoming), []);
        assert!(incoming.receive(0, message(0)));
        assert_eq!(drain(&mut incoming), [message(0), message(1)]);
        assert!(incoming.receive(0, message(9)));
        assert_eq!(drain(&mut incoming), []);
        assert!(!incoming.receive(-1, message(9)), "no message has such a number");
    }

    #[test]
    fn what_waits_is_bounded_but_the_expected_one_always_fits() {
        let mut incoming = Incoming::default();
        let many = i64::try_from(CAPACITY).unwrap();
        for sequence in 1..=many {
            assert!(incoming.receive(sequence, message(sequence)));
        }
        assert!(!incoming.receive(many + 1, message(many + 1)));
        assert!(incoming.receive(0, message(0)));
        assert_eq!(drain(&mut incoming).len(), CAPACITY + 1);
    }

    proptest! {
        /// However the messages come, as long as each comes: they go on once each, in order.
        #[test]
        fn any_order_and_any_repetition_end_in_order(
            order in Just((0..60_i64).collect::<Vec<_>>()).prop_shuffle(),
            repeated in prop::collection::vec((0..60_usize, 0..60_i64), 0..40),
        ) {
            let mut arrivals = order;
            for (place, sequence) in repeated {
                arrivals.insert(place, sequence);
            }
            let mut incoming = Incoming::default();
            let mut out = Vec::new();
            for sequence in arrivals {
                prop_assert!(incoming.receive(sequence, message(sequence)));
                out.extend(drain(&mut incoming));
            }
            prop_assert_eq!(out, (0..60).map(message).collect::<Vec<_>>());
        }
    }
}
