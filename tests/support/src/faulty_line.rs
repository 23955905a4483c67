//! A line to a server that breaks, once: after so many bytes of one direction it is reset, closed, held back or stops carrying anything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What happens to the connection that carries the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both ends get an RST.
    Reset,
    /// Both ends get a FIN.
    Close,
    /// Nothing is carried any more, either way, and nobody is told.
    Stall,
    /// The direction pauses for this long; then everything goes on.
    Delay(Duration),
}

#[derive(Debug, Default)]
struct State {
    /// What is to happen, and before how many more bytes of that direction.
    armed: Option<(Direction, Break, u64)>,
    struck: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    carried: [AtomicU64; 2],
}

/// A relay to a server; it ends with the value.
pub struct FaultyLine {
    /// Its near end.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends with the value.
    _relaying: JoinSet<()>,
}

impl FaultyLine {
    /// A line that is whole until it is armed.
    pub async fn to(server: SocketAddr) -> FaultyLine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let of_lines = Arc::clone(&shared);
        let mut relaying = JoinSet::new();
        relaying.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                // Nobody is there: the near end sees that its line is closed.
                let Ok(far) = TcpStream::connect(server).await else {
                    continue;
                };
                lines.spawn(relay(near, far, Arc::clone(&of_lines)));
            }
        });
        FaultyLine {
            address,
            shared,
            _relaying: relaying,
        }
    }

    /// Breaks the connection that carries one byte more than `after` from now on in this direction; those that are made later are whole.
    pub fn arm(&self, direction: Direction, what: Break, after: u64) {
        let armed = Some((direction, what, after));
        *self.shared.lock() = State { armed, struck: false };
    }

    /// Lets everything through again that still can be carried; answers whether it was broken.
    pub fn disarm(&self) -> bool {
        std::mem::take(&mut *self.shared.lock()).struck
    }

    /// Bytes that were carried in this direction so far.
    pub fn carried(&self, direction: Direction) -> u64 {
        self.shared.carried[direction as usize].load(Ordering::SeqCst)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of a piece goes over as usual, and what happens then.
    fn next(&self, direction: Direction, length: usize) -> (usize, Option<Break>) {
        let mut state = self.lock();
        let Some((of, what, after)) = &mut state.armed else {
            return (length, None);
        };
        let (of, what, left) = (*of, *what, usize::try_from(*after).unwrap_or(usize::MAX));
        if of != direction {
            return (length, None);
        }
        if length <= left {
            *after -= length as u64;
            return (length, None);
        }
        *state = State {
            armed: None,
            struck: true,
        };
        (left, Some(what))
    }
}

/// How one direction of a connection ended.
enum End {
    /// Its sender has ended it, or its receiver is gone.
    Closed,
    Broken(Break),
}

async fn relay(near: TcpStream, far: TcpStream, shared: Arc<Shared>) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let end = {
        let outward = carry(&mut from_near, &mut to_far, Direction::ToServer, &shared);
        let inward = carry(&mut from_far, &mut to_near, Direction::ToClient, &shared);
        tokio::pin!(outward, inward);
        tokio::select! {
            end = &mut outward => match end {
                End::Closed => inward.await,
                broken @ End::Broken(_) => broken,
            },
            end = &mut inward => match end {
                End::Closed => outward.await,
                broken @ End::Broken(_) => broken,
            },
        }
    };
    match end {
        // Dropped, so that both ends are closed.
        End::Closed | End::Broken(Break::Close | Break::Delay(_)) => {}
        End::Broken(Break::Stall) => std::future::pending().await,
        End::Broken(Break::Reset) => {
            for half in [&from_near, &from_far] {
                half.as_ref().set_zero_linger().unwrap();
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a line that is slow for a while is made of time"
)]
async fn carry(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, direction: Direction, shared: &Shared) -> End {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            // The other end may have gone.
            let _ = to.shutdown().await;
            return End::Closed;
        };
        let (whole, what) = shared.next(direction, length);
        if to.write_all(&buffer[..whole]).await.is_err() {
            return End::Closed;
        }
        match what {
            Some(Break::Delay(span)) => {
                tokio::time::sleep(span).await;
                if to.write_all(&buffer[whole..length]).await.is_err() {
                    return End::Closed;
                }
            }
            Some(what) => return End::Broken(what),
            None => {}
        }
        shared.carried[direction as usize].fetch_add(length as u64, Ordering::SeqCst);
    }
}
