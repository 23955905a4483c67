//! Tells reporters how far a file has gone over.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bakelite_engine::event::{TransferEvent, What};
use bakelite_engine::events::Events;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes between two reports.
const STEP: u64 = 256 * 1024;

/// A stream that is counted on its way; the end is reported when it is dropped.
pub(crate) struct Counted<'a, T> {
    stream: T,
    events: &'a Events,
    id: u64,
    done: u64,
    reported: u64,
}

impl<'a, T> Counted<'a, T> {
    /// Reports what goes through `stream` under a name; `total` in bytes, where known.
    pub(crate) fn new(stream: T, events: &'a Events, name: &str, total: Option<u64>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        events.emit(What::Transfer(TransferEvent::Started {
            id,
            name: name.to_owned(),
            total,
        }));
        Self {
            stream,
            events,
            id,
            done: 0,
            reported: 0,
        }
    }

    fn count(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done - self.reported >= STEP {
            self.reported = self.done;
            self.events.emit(What::Transfer(TransferEvent::Progress {
                id: self.id,
                done: self.done,
            }));
        }
    }
}

impl<T> Drop for Counted<'_, T> {
    fn drop(&mut self) {
        self.events
            .emit(What::Transfer(TransferEvent::Finished { id: self.id }));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.count(buffer.filled().len() - before);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = polled {
            self.count(length);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
