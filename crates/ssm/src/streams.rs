//! The streams of a session on this side of it: bytes that come from the other side are written to them, what is written there is read.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, SelectAll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_util::io::ReaderStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A request to the driver for a stream.
pub(crate) type StreamRequest = oneshot::Sender<OpenedStream>;

/// A stream to the port.
pub struct OpenedStream {
    /// The stream itself.
    pub stream: DuplexStream,
    /// Completes with the other side's first bytes, or with why there will be none. Without multiplexing that is not known: it completes
    /// at once.
    pub answered: oneshot::Receiver<Result<(), PortError>>,
}

/// The agent cannot connect to the port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// It reported so.
    #[error("the agent on the instance cannot connect to the port: nothing listens there")]
    Refused,
    /// It closed the stream before a byte had come.
    #[error("the instance closed the connection before it sent anything")]
    Silent,
}

/// Bytes that may wait to be written, over all streams. Then no more is taken from the link: smux version 1 has no flow control of its
/// own for each stream. The windows of SSH's channels keep it from coming to that.
const BUFFER: usize = 4 << 20;

/// With less room than this, nothing is taken.
const LEAST_ROOM: u32 = 64 * 1024;

/// The streams that are open.
pub(crate) struct Streams {
    /// What is read at a time.
    read_size: usize,
    reads: SelectAll<BoxStream<'static, (u32, Option<Bytes>)>>,
    inlets: HashMap<u32, UnboundedSender<Inflow>>,
    writers: JoinSet<()>,
    room: Arc<Semaphore>,
}

/// Bytes on their way into a stream, with the room that they take.
struct Inflow(Bytes, Option<OwnedSemaphorePermit>);

impl Streams {
    pub(crate) fn new(read_size: usize) -> Self {
        Self {
            read_size,
            reads: SelectAll::new(),
            inlets: HashMap::new(),
            writers: JoinSet::new(),
            room: Arc::new(Semaphore::new(BUFFER)),
        }
    }

    /// Opens a stream of this number.
    pub(crate) fn add(&mut self, number: u32, ours: impl AsyncRead + AsyncWrite + Send + 'static) {
        let (reader, writer) = tokio::io::split(ours);
        let (inlet, inflow) = unbounded_channel();
        let over = CancellationToken::new();
        let read = ReaderStream::with_capacity(reader, self.read_size)
            .take_until(over.clone().cancelled_owned())
            .map(move |read| (number, read.ok()))
            .chain(stream::iter([(number, None)]));
        self.reads.push(read.boxed());
        self.inlets.insert(number, inlet);
        self.writers.spawn(write(writer, inflow, over.drop_guard()));
        // Those that are done need no place any more.
        while self.writers.try_join_next().is_some() {}
    }

    pub(crate) fn is_open(&self, number: u32) -> bool {
        self.inlets.contains_key(&number)
    }

    /// Writes bytes to a stream; those for one that is closed are nobody's.
    pub(crate) fn deliver(&mut self, number: u32, bytes: Bytes) {
        if let Some(inlet) = self.inlets.get(&number) {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            // The last message may take more room than there is.
            let permit = Arc::clone(&self.room).try_acquire_many_owned(length).ok();
            let _ = inlet.send(Inflow(bytes, permit));
        }
    }

    /// Closes a stream: what was delivered is still written, what it still sends is dropped. Returns whether it was open.
    pub(crate) fn close(&mut self, number: u32) -> bool {
        self.inlets.remove(&number).is_some()
    }

    /// Waits for bytes of a stream; `None`: it has ended. Pending as long as there is no stream.
    pub(crate) async fn next(&mut self) -> (u32, Option<Bytes>) {
        match self.reads.next().await {
            Some(read) => read,
            None => std::future::pending().await,
        }
    }

    /// May more be delivered?
    pub(crate) fn has_room(&self) -> bool {
        self.room.available_permits() >= LEAST_ROOM as usize
    }

    /// Waits until more may be delivered.
    pub(crate) fn room(&self) -> impl Future<Output = ()> + use<> {
        let room = Arc::clone(&self.room);
        async move {
            let _ = room.acquire_many(LEAST_ROOM).await;
        }
    }
}

/// Writes to one stream until it is closed. There is no half of a stream: when this ends, nothing is read from it any more either.
async fn write(mut writer: impl AsyncWrite + Unpin, mut inflow: UnboundedReceiver<Inflow>, _over: DropGuard) {
    while let Some(Inflow(bytes, _room)) = inflow.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
        if inflow.is_empty() && writer.flush().await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn both_directions_and_both_ends() {
        let mut streams = Streams::new(1024);
        let (mut ours, theirs) = tokio::io::duplex(64);
        streams.add(3, theirs);
        streams.deliver(3, Bytes::from_static(b"hello"));
        streams.deliver(5, Bytes::from_static(b"nobody's"));
        ours.write_all(b"hi").await.unwrap();
        assert_eq!(streams.next().await, (3, Some(Bytes::from_static(b"hi"))));
        assert!(streams.close(3));
        assert!(!streams.close(3));
        let mut received = String::new();
        ours.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "hello");
        assert_eq!(streams.next().await, (3, None), "its other half is over, too");
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_stops_the_taking() {
        let mut streams = Streams::new(1024);
        let (mut ours, theirs) = tokio::io::duplex(64);
        streams.add(3, theirs);
        while streams.has_room() {
            streams.deliver(3, Bytes::from(vec![7; 1024]));
        }
        let reading = async {
            let mut sink = vec![0; BUFFER / 2];
            ours.read_exact(&mut sink).await.unwrap();
        };
        tokio::join!(streams.room(), reading);
        assert!(streams.has_room());
    }
}
