//! A server that a test started: it ends with the test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;

use crate::ended;
use crate::eventually::LIMIT;

/// A server process, killed and waited for when it is dropped.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a server and reads its standard output until a line answers `ready` with a value, within a limit.
    pub fn start<T>(command: &mut Command, ready: impl Fn(&str) -> Option<T>) -> (Server, T) {
        crate::backstop::watch();
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let output = child.stdout.take().expect("its output is piped");
        let server = Server { child };
        let (sender, lines) = channel();
        // Also what it prints later is read: it must not block it.
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines.map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let deadline = Instant::now() + LIMIT;
        while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(value) = ready(&line) {
                return (server, value);
            }
        }
        panic!("{command:?} ended before it was ready, or was not ready within {LIMIT:?}");
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        ended::status_of(&mut self.child);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
