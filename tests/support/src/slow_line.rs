//! A line on which every byte takes its time, as to another continent. In the place of `netem`, which not every kernel has and which
//! only root can use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A relay to a server; it ends with the value.
pub struct SlowLine {
    /// Its near end.
    pub address: SocketAddr,
    dead: watch::Sender<bool>,
    budget: Arc<AtomicI64>,
    /// Ends with the value.
    _relaying: JoinSet<()>,
}

impl SlowLine {
    /// A line to `server` that takes this long each way.
    pub async fn to(server: SocketAddr, delay: Duration) -> SlowLine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dead, alive) = watch::channel(false);
        let budget = Arc::new(AtomicI64::new(i64::MAX));
        let left = Arc::clone(&budget);
        let mut relaying = JoinSet::new();
        relaying.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                // Nobody is there: the near end sees that its line is closed.
                let Ok(far) = TcpStream::connect(server).await else {
                    continue;
                };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                lines.spawn(hold_back(from_near, to_far, delay, alive.clone(), Arc::clone(&left)));
                lines.spawn(hold_back(from_far, to_near, delay, alive.clone(), Arc::clone(&left)));
            }
        });
        SlowLine {
            address,
            dead,
            budget,
            _relaying: relaying,
        }
    }

    /// Carries nothing any more and tells nobody, as a cable that was cut; or again what is sent from now on.
    pub fn cut(&self, cut: bool) {
        self.dead.send_replace(cut);
    }

    /// Breaks the connections that carry a byte after so many more; connections that are made later are whole.
    pub fn break_after(&self, bytes: u32) {
        self.budget.store(i64::from(bytes), Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "a slow line is made of time")]
async fn hold_back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    dead: watch::Receiver<bool>,
    budget: Arc<AtomicI64>,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let reading = async move {
        loop {
            let mut piece = vec![0; 64 * 1024];
            match from.read(&mut piece).await {
                Ok(length @ 1..) => piece.truncate(length),
                _ => return,
            }
            if sender.send((Instant::now() + delay, piece)).is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = receiver.recv().await {
            sleep_until(due).await;
            if *dead.borrow() {
                continue;
            }
            let length = i64::try_from(piece.len()).unwrap();
            let left = budget.fetch_sub(length, Ordering::SeqCst);
            if left < length {
                // What is left still goes over; then the line is whole again for others.
                let _ = to.write_all(&piece[..usize::try_from(left.max(0)).unwrap()]).await;
                budget.store(i64::MAX, Ordering::SeqCst);
                return;
            }
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        if !*dead.borrow() {
            // The other end may have gone.
            let _ = to.shutdown().await;
        }
    };
    // The end of either is the end of both.
    tokio::select! {
        () = writing => {}
        () = async { reading.await; std::future::pending::<()>().await } => {}
    }
}
