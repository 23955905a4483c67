//! Tells reporters how far a file or directory has gone over.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{TransferEvent, What};
use crate::events::Events;

/// Bytes between two reports.
const STEP: u64 = 256 * 1024;

/// A transfer under way; its end is reported when it is dropped.
pub struct Transfer<'a> {
    events: &'a Events,
    id: u64,
    done: AtomicU64,
}

impl<'a> Transfer<'a> {
    /// Reports a transfer under a name; `total` in bytes, where known.
    pub fn begin(events: &'a Events, name: &str, total: Option<u64>) -> Self {
        /// A transfer has an id of its own within the run.
        static NEXT: AtomicU64 = AtomicU64::new(1);
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
    pub fn add(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let done = before + bytes;
        // How far it was is old news for a reader that is behind.
        if before / STEP != done / STEP && !self.events.are_behind() {
            self.events
                .emit(What::Transfer(TransferEvent::Progress { id: self.id, done }));
        }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.events
            .emit(What::Transfer(TransferEvent::Finished { id: self.id }));
    }
}
