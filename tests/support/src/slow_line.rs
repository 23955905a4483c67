//! A line on which every byte takes its time, as to another continent. In the place of `netem`, which not every kernel has and which
//! only root can use.

use std::net::SocketAddr;
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
    /// Ends with the value.
    _relaying: JoinSet<()>,
}

impl SlowLine {
    /// A line to `server` that takes this long each way.
    pub async fn to(server: SocketAddr, delay: Duration) -> SlowLine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dead, alive) = watch::channel(false);
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
                lines.spawn(hold_back(from_near, to_far, delay, alive.clone()));
                lines.spawn(hold_back(from_far, to_near, delay, alive.clone()));
            }
        });
        SlowLine {
            address,
            dead,
            _relaying: relaying,
        }
    }

    /// Carries nothing any more and tells nobody, as a cable that was cut; or again what is sent from now on.
    pub fn cut(&self, cut: bool) {
        self.dead.send_replace(cut);
    }
}

async fn hold_back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration, dead: watch::Receiver<bool>) {
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
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        if !*dead.borrow() {
            // The other end may have gone.
            let _ = to.shutdown().await;
        }
    };
    tokio::join!(reading, writing);
}
