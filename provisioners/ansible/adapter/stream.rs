//! The streams of one SSH channel of the adapter's: what the client sends, and what goes back to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{Notify, mpsc};

/// How much of a client's input waits for the instance before the client has to wait.
const WAITING_INPUT: usize = 4 << 20;

/// The streams of a channel.
pub(super) struct Streams {
    /// What the client sends.
    pub(super) input: Input,
    /// Standard output.
    pub(super) output: Outlet,
    /// Standard error.
    pub(super) errors: Outlet,
}

/// What is under way on a channel.
#[derive(Default)]
struct Flow {
    /// Bytes of input that nobody has taken yet.
    waiting: AtomicUsize,
    /// Output waits for the client to take it.
    stalled: AtomicBool,
    changed: Notify,
}

/// Where the connection puts what the client sends on a channel.
pub(super) struct Feeder {
    queue: mpsc::UnboundedSender<Bytes>,
    flow: Arc<Flow>,
}

/// The streams of a channel, and what feeds them.
pub(super) fn open(writer: &ChannelWriteHalf<Msg>) -> (Feeder, Streams) {
    let flow = Arc::<Flow>::default();
    let (queue, queued) = mpsc::unbounded_channel();
    let outlet = |extension| Outlet {
        writer: Box::new(writer.make_writer_ext(extension)),
        flow: Arc::clone(&flow),
    };
    let streams = Streams {
        output: outlet(None),
        errors: outlet(Some(1)),
        input: Input {
            queue: queued,
            current: Bytes::new(),
            flow: Arc::clone(&flow),
        },
    };
    (Feeder { queue, flow }, streams)
}

impl Feeder {
    /// Takes input. Waits while much of it is unread, unless the other side itself waits for the client to take its output: the
    /// connection must go on then, or both would wait for each other.
    pub(super) async fn feed(&self, data: &[u8]) {
        let flow = &self.flow;
        flow.waiting.fetch_add(data.len(), Ordering::AcqRel);
        if self.queue.send(Bytes::copy_from_slice(data)).is_err() {
            return;
        }
        loop {
            let changed = flow.changed.notified();
            let is_full = flow.waiting.load(Ordering::Acquire) > WAITING_INPUT;
            if !is_full || flow.stalled.load(Ordering::Acquire) || self.queue.is_closed() {
                return;
            }
            changed.await;
        }
    }
}

/// What the client sends.
pub(super) struct Input {
    queue: mpsc::UnboundedReceiver<Bytes>,
    current: Bytes,
    flow: Arc<Flow>,
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.current.is_empty() {
            match ready!(self.queue.poll_recv(context)) {
                Some(next) => self.current = next,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.current.len().min(buffer.remaining());
        buffer.put_slice(&self.current.split_to(length));
        self.flow.waiting.fetch_sub(length, Ordering::AcqRel);
        self.flow.changed.notify_waiters();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.queue.close();
        self.flow.changed.notify_waiters();
    }
}

/// What goes to the client.
pub(super) struct Outlet {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    flow: Arc<Flow>,
}

impl Outlet {
    /// Sends, waiting until the client takes it.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flow.stalled.store(true, Ordering::Release);
        self.flow.changed.notify_waiters();
        let sent = self.writer.write_all(bytes).await;
        self.flow.stalled.store(false, Ordering::Release);
        sent
    }

    /// Says something to the user of the client, who may have gone.
    pub(super) async fn say(&mut self, text: &str) {
        let _ = self.send(format!("bakelite: {text}\r\n").as_bytes()).await;
    }
}
