//! The signals that ask the program to stop. They are caught here and nowhere else.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// Listens from its creation on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// A terminal or an SSH session that is gone; `nohup` has it ignored, and so it stays.
    hangup: Option<Signal>,
}

impl Signals {
    pub(crate) fn listen() -> Result<Signals, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new("failed to listen for signals").because(&error));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: (!hangup_is_ignored())
                .then(|| listen(SignalKind::hangup()))
                .transpose()?,
        })
    }

    /// The next one, in words.
    pub(crate) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "interrupt",
            _ = self.terminate.recv() => "terminated",
            _ = hangup => "hangup",
        }
    }
}

/// Was the program started so that it outlives its terminal? Where the kernel does not tell, it is left as it is.
fn hangup_is_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        // SIGHUP is signal 1: the lowest bit.
        .is_none_or(|mask| mask & 1 == 1)
}
