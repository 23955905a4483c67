//! Tells reporters how far a folder has gone over.

use std::sync::atomic::{AtomicU64, Ordering};

use bakelite_engine::event::{TransferEvent, What};
use bakelite_engine::events::Events;

/// Bytes between two reports.
const STEP: u64 = 256 * 1024;

/// A transfer under way; its end is reported when it is dropped.
pub(crate) struct Progress<'a> {
    events: &'a Events,
    id: u64,
    done: AtomicU64,
}

impl<'a> Progress<'a> {
    /// Reports a transfer under a name; `total` in bytes, where known.
    pub(crate) fn begin(events: &'a Events, name: &str, total: Option<u64>) -> Self {
        /// Files count from 1: a transfer has an id of its own within the run.
        static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        events.emit(What::Transfer(TransferEvent::Started {
            id,
            name: name.to_owned(),
            total,
        }));
        Self {
            events,
            id,
            done: AtomicU64::new(0),
        }
    }

    /// So many bytes more are over.
    pub(crate) fn add(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let done = before + bytes;
        if before / STEP != done / STEP {
            self.events
                .emit(What::Transfer(TransferEvent::Progress { id: self.id, done }));
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.events
            .emit(What::Transfer(TransferEvent::Finished { id: self.id }));
    }
}
