//! Waiting with a timeout: for programs that a test started, for what they print, and for what can only be polled.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bakelite_test_support::context::Ran;
use bakelite_test_support::ended::ended_within;
use bakelite_test_support::eventually::within;

/// How long output is read after its program has ended: a process that it left behind may hold the other end open.
const DRAIN: Duration = Duration::from_secs(5);

/// A program that runs; it ends with the value.
pub(crate) struct Started {
    child: Child,
    printed: Vec<u8>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    shown: String,
}

impl Started {
    /// Starts it, with its output kept.
    pub(crate) fn of(mut command: Command) -> Started {
        let shown = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown} cannot be started: {error}"));
        Started {
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
            printed: Vec::new(),
            shown,
        }
    }

    /// Starts it with its standard output thrown away.
    pub(crate) fn silently(mut command: Command) -> Started {
        // A shell that is replaced by the program, so that its id is the program's.
        let inner = std::mem::replace(&mut command, Command::new("sh"));
        command.args(["-c", "exec \"$0\" \"$@\" > /dev/null"]);
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = inner.get_current_dir() {
            command.current_dir(directory);
        }
        Started::of(command)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its standard output that answers a value.
    #[track_caller]
    pub(crate) fn prints<T>(&mut self, what: &str, timeout: Duration, mut look: impl FnMut(&str) -> Option<T>) -> T {
        let end = Instant::now() + timeout;
        loop {
            let Ok(line) = self.stdout.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                let errors = self.errors_after_kill();
                let printed = String::from_utf8_lossy(&self.printed);
                panic!("{} did not print {what}, but: {printed}{errors}", self.shown);
            };
            let found = look(&String::from_utf8_lossy(&line));
            self.printed.extend(line);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Waits until it has made a file, and fails with its output when it ends before.
    #[track_caller]
    pub(crate) fn makes(&mut self, file: &Path, timeout: Duration) {
        let mut ended = None;
        within(timeout, || {
            ended = self.child.try_wait().unwrap();
            (file.exists() || ended.is_some()).then_some(())
        });
        if !file.exists() {
            let errors = self.errors_after_kill();
            self.printed.extend(drain(&self.stdout));
            let printed = String::from_utf8_lossy(&self.printed);
            let file = file.display();
            panic!("{} has not made {file}: {ended:?} {printed}{errors}", self.shown);
        }
    }

    /// Waits for its end, kills it when that does not come in time, and fails then.
    #[track_caller]
    pub(crate) fn end(mut self, timeout: Duration) -> Ran {
        let Some(status) = ended_within(&mut self.child, timeout) else {
            let errors = self.errors_after_kill();
            self.printed.extend(drain(&self.stdout));
            let printed = String::from_utf8_lossy(&self.printed);
            panic!("{} has not ended within {timeout:?}: {printed}{errors}", self.shown);
        };
        self.printed.extend(drain(&self.stdout));
        Ran {
            code: std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code(), |_| None),
            stdout: String::from_utf8_lossy(&self.printed).into_owned(),
            stderr: String::from_utf8_lossy(&drain(&self.stderr)).into_owned(),
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it as `kill -9` does, and waits for it.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The most memory that it has had resident so far in MiB; nothing once it has ended.
    pub(crate) fn peak(&self) -> Option<u64> {
        peak(self.id())
    }

    fn errors_after_kill(&mut self) -> String {
        self.kill();
        String::from_utf8_lossy(&drain(&self.stderr)).into_owned()
    }
}

/// Reads lines, as they come, on a thread of its own.
fn lines(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, lines) = channel();
    let mut reader = BufReader::new(stream);
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    lines
}

/// Everything up to the end of the stream, or what has come when [`DRAIN`] is over.
fn drain(lines: &Receiver<Vec<u8>>) -> Vec<u8> {
    let end = Instant::now() + DRAIN;
    let mut bytes = Vec::new();
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        bytes.extend(line);
    }
    bytes
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The most memory that a process has had resident so far in MiB; nothing once it has ended.
pub(crate) fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{process}/status"))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024)
}
