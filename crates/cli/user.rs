//! The user at the terminal, who answers what a bake asks (`-on-error=ask`, `-debug`).

use std::io;

use async_trait::async_trait;
use bakelite_engine::policy::User;
use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Mutex;

/// The user, when standard input is a terminal. Bakes that run side by side are answered one after another.
pub(crate) struct AtTerminal {
    is_there: bool,
    turn: Mutex<()>,
}

impl AtTerminal {
    pub(crate) fn new(is_there: bool) -> AtTerminal {
        AtTerminal {
            is_there,
            turn: Mutex::default(),
        }
    }
}

#[async_trait]
impl User for AtTerminal {
    fn is_there(&self) -> bool {
        self.is_there
    }

    async fn line(&self) -> Option<String> {
        let _turn = self.turn.lock().await;
        let mut terminal = BufReader::new(open().ok()?);
        let mut line = String::new();
        let count = terminal.read_line(&mut line).await.ok()?;
        (count > 0).then_some(line)
    }
}

/// The terminal of the session. Opened anew, so that not blocking is ours alone: a bake that is cancelled does not wait for a line.
fn open() -> io::Result<Receiver> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty())?;
    Receiver::from_file_unchecked(terminal.into())
}
