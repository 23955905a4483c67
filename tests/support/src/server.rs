//! A server that a test started: it ends with the test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A server process, killed and waited for when it is dropped.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a server and reads its standard output until a line answers `ready` with a value.
    pub fn start<T>(command: &mut Command, ready: impl Fn(&str) -> Option<T>) -> (Server, T) {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let output = child.stdout.take().expect("its output is piped");
        let server = Server { child };
        let mut lines = BufReader::new(output).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(value) = ready(&line) {
                // What it says later must not block it.
                std::thread::spawn(move || lines.for_each(drop));
                return (server, value);
            }
        }
        panic!("{command:?} ended before it was ready");
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        self.child.wait().expect("a started server can be waited for");
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
