//! How much of a server's lists of names is kept: the library gathers a whole directory before it hands out the first name, so what comes
//! in is weighed on its way to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bakelite_net::tap::Tap;

/// Memory for the names of all directories that are open at one time: about 300,000 entries of an OpenSSH server.
const MOST_MEMORY: usize = 96 * 1024 * 1024;

/// What an entry takes in memory beside its bytes.
const ENTRY_MEMORY: usize = 200;

/// The packet that carries names.
const NAMES: u8 = 104;

/// Length, kind, id and count: the beginning of such a packet.
const HEAD: usize = 13;

/// Weighs what a server lists.
#[derive(Debug, Default)]
pub(crate) struct Scales {
    is_listing: AtomicBool,
    kept: AtomicUsize,
    is_too_much: AtomicBool,
}

/// What a list weighs, until it is dropped.
pub(crate) struct Weight {
    scales: Arc<Scales>,
    weight: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.scales.kept.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

impl Scales {
    /// Weighs the packets that arrive while a list is asked for.
    pub(crate) async fn weigh<T>(self: &Arc<Self>, listing: impl Future<Output = T>) -> (T, Weight) {
        let before = self.kept.load(Ordering::Relaxed);
        self.is_listing.store(true, Ordering::Relaxed);
        let listed = listing.await;
        self.is_listing.store(false, Ordering::Relaxed);
        let weight = Weight {
            scales: Arc::clone(self),
            weight: self.kept.load(Ordering::Relaxed) - before,
        };
        (listed, weight)
    }

    /// Has the server listed more than is kept?
    pub(crate) fn is_too_much(&self) -> bool {
        self.is_too_much.load(Ordering::Relaxed)
    }

    fn add(&self, entries: u32, bytes: u32) -> io::Result<()> {
        if !self.is_listing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        // A packet that announces more entries than it has bytes is a broken one, which the library will find.
        let weight = entries.min(bytes).saturating_mul(ENTRY_MEMORY).saturating_add(bytes);
        let kept = self.kept.fetch_add(weight, Ordering::Relaxed).saturating_add(weight);
        if kept <= MOST_MEMORY {
            return Ok(());
        }
        self.is_too_much.store(true, Ordering::Relaxed);
        Err(io::ErrorKind::OutOfMemory.into())
    }
}

/// Weighs the lists of names that a stream delivers.
pub(crate) struct Weighing {
    scales: Arc<Scales>,
    head: [u8; HEAD],
    /// Bytes of the present packet so far, its length included.
    seen: usize,
}

impl Weighing {
    pub(crate) fn new(scales: Arc<Scales>) -> Self {
        Self {
            scales,
            head: [0; HEAD],
            seen: 0,
        }
    }

    /// The length of the present packet with the four bytes that hold it.
    fn length(&self) -> usize {
        usize::try_from(self.number(0)).unwrap_or(usize::MAX).saturating_add(4)
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = self.head.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    fn weigh_packet(&self) -> io::Result<()> {
        match self.head.get(4) {
            Some(&NAMES) => self.scales.add(self.number(9), self.number(0)),
            _ => Ok(()),
        }
    }
}

impl Tap for Weighing {
    fn delivered(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            if let Some(byte) = self.head.get_mut(self.seen) {
                *byte = *first;
                self.seen += 1;
                bytes = rest;
                if self.seen == HEAD {
                    self.weigh_packet()?;
                }
            } else {
                let left = self.length().saturating_sub(self.seen);
                let passed = left.min(bytes.len());
                self.seen += passed;
                bytes = bytes.get(passed..).unwrap_or_default();
            }
            if self.seen >= 4 && self.seen >= self.length() {
                self.seen = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, count: u32, content: usize) -> Vec<u8> {
        let mut packet = u32::try_from(9 + content).unwrap().to_be_bytes().to_vec();
        packet.extend([kind, 0, 0, 0, 7]);
        packet.extend(count.to_be_bytes());
        packet.extend(vec![0; content]);
        packet
    }

    #[tokio::test]
    async fn lists_are_weighed_however_they_are_cut_and_weigh_nothing_when_they_are_gone() {
        let scales = Arc::new(Scales::default());
        let stream = [
            packet(101, 9, 3),
            packet(NAMES, 5, 100),
            vec![0, 0, 0, 1, 105],
            packet(NAMES, 2, 40),
        ]
        .concat();
        for size in [1, 2, 3, 7, 13, 64, 1000] {
            let mut weighing = Weighing::new(Arc::clone(&scales));
            let listing = async {
                for piece in stream.chunks(size) {
                    weighing.delivered(piece).unwrap();
                }
            };
            let ((), weight) = scales.weigh(listing).await;
            assert_eq!(weight.weight, 5 * 200 + 109 + 2 * 200 + 49, "{size}");
            drop(weight);
            assert_eq!(scales.kept.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test]
    async fn too_much_is_an_error() {
        let scales = Arc::new(Scales::default());
        let mut weighing = Weighing::new(Arc::clone(&scales));
        weighing.delivered(&packet(NAMES, 1_000_000, 13_000_000)).unwrap();
        let listing = async { weighing.delivered(&packet(NAMES, 1_000_000, 13_000_000)) };
        let (looked, _weight) = scales.weigh(listing).await;
        assert!(looked.is_err() && scales.is_too_much());
    }
}
