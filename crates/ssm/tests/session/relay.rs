//! A relay between client and service that works frame by frame, and drops, repeats, swaps and delays them as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bakelite_ssm::frame::{Frame, MessageType};
use bytes::Bytes;
use futures::stream::SplitStream;
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// What happens to frames: each figure is "one in so many", 0: never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) drop: u64,
    pub(crate) duplicate: u64,
    pub(crate) reorder: u64,
    /// Held back for up to this long, while others pass.
    pub(crate) delay: Duration,
    pub(crate) garble: u64,
    /// Frames after which the client is told to pause, and as many after which it may go on.
    pub(crate) pause_after: usize,
    /// Frames from the client after which the websocket is cut, again and again.
    pub(crate) cut_after: usize,
    /// How often it is cut.
    pub(crate) cuts: usize,
}

/// The relay; it ends with the test.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) cut: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start(service: SocketAddr, faults: Faults) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&cut);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut chance = Chance(0x5eed);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let cuts_left = faults.cuts.saturating_sub(counter.load(Ordering::Relaxed));
                let limit = if cuts_left > 0 { faults.cut_after } else { usize::MAX };
                if between(stream, service, faults, limit, &mut chance).await {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Relay {
            address,
            cut,
            _tasks: tasks,
        }
    }
}

/// Relays until one side closes, or the limit is reached: then `true`.
async fn between(client: TcpStream, service: SocketAddr, faults: Faults, limit: usize, chance: &mut Chance) -> bool {
    let client = accept_async(client).await.unwrap();
    let stream = TcpStream::connect(service).await.unwrap();
    let (service, _) = client_async("ws://service/", stream).await.unwrap();
    let (to_client, from_client) = client.split();
    let (to_service, from_service) = service.split();
    let up = one_way(from_client, to_service, faults, limit, chance.split());
    let down = one_way(from_service, to_client, faults, usize::MAX, chance.split());
    tokio::select! {
        is_cut = up => is_cut,
        is_cut = down => is_cut,
    }
}

async fn one_way(
    mut from: SplitStream<WebSocketStream<TcpStream>>,
    mut to: impl futures::Sink<Message> + Unpin,
    faults: Faults,
    limit: usize,
    mut chance: Chance,
) -> bool {
    let (late, mut arrivals) = mpsc::unbounded_channel();
    let mut delays = JoinSet::new();
    let mut held = None;
    let mut seen = 0;
    loop {
        let message = tokio::select! {
            message = from.next() => message,
            Some(message) = arrivals.recv() => {
                if to.send(message).await.is_err() { return false; }
                continue;
            }
        };
        let Some(Ok(message)) = message else {
            return false;
        };
        seen += 1;
        if seen > limit {
            return true;
        }
        let Message::Binary(bytes) = message else {
            if to.send(message).await.is_err() {
                return false;
            }
            continue;
        };
        if chance.one_in(faults.drop) {
            continue;
        }
        if faults.pause_after > 0 && seen.is_multiple_of(faults.pause_after) {
            let is_start = (seen / faults.pause_after).is_multiple_of(2);
            if to.send(publication(is_start)).await.is_err() {
                return false;
            }
        }
        let mut out = vec![Message::Binary(bytes.clone())];
        if chance.one_in(faults.garble) {
            let mut garbled = bytes.to_vec();
            *garbled.last_mut().unwrap() ^= 0x55;
            out = vec![Message::Binary(garbled.into())];
        }
        if chance.one_in(faults.duplicate) {
            out.push(Message::Binary(bytes));
        }
        if chance.one_in(faults.reorder) && held.is_none() {
            held = out.pop();
        } else {
            out.extend(held.take());
        }
        if !faults.delay.is_zero() && chance.one_in(8) {
            let until = Instant::now() + faults.delay.mul_f64(chance.fraction());
            let late = late.clone();
            delays.spawn(async move {
                #[expect(clippy::disallowed_methods, reason = "a message that is late is made of time")]
                tokio::time::sleep_until(until).await;
                for message in out {
                    let _ = late.send(message);
                }
            });
            continue;
        }
        for message in out {
            if to.feed(message).await.is_err() {
                return false;
            }
        }
        if to.flush().await.is_err() {
            return false;
        }
    }
}

/// What the service says when the other side goes away, and when it is back.
fn publication(is_start: bool) -> Message {
    let message_type = if is_start {
        MessageType::StartPublication
    } else {
        MessageType::PausePublication
    };
    Message::Binary(Frame::new(message_type, 0, 3, 0, Bytes::new()).bytes())
}

/// The same chances in every run (an xorshift generator).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn split(&mut self) -> Chance {
        Chance(self.next() | 1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        count > 0 && self.next().is_multiple_of(count)
    }

    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 40).unwrap()) / f64::from(1_u32 << 24)
    }
}
