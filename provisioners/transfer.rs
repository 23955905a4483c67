//! Tells reporters how far a file has gone over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bakelite_engine::events::Events;
use bakelite_engine::transfer::Transfer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is counted on its way; the end is reported when it is dropped.
pub(crate) struct Counted<'a, T> {
    stream: T,
    transfer: Transfer<'a>,
}

impl<'a, T> Counted<'a, T> {
    /// Reports what goes through `stream` under a name; `total` in bytes, where known.
    pub(crate) fn new(stream: T, events: &'a Events, name: &str, total: Option<u64>) -> Self {
        let transfer = Transfer::begin(events, name, total);
        Self { stream, transfer }
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
        self.transfer.add((buffer.filled().len() - before) as u64);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = polled {
            self.transfer.add(length as u64);
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
