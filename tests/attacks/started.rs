//! Waiting with an end: for programs that a test started, for what they say, and for what can only be looked at again and again.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bakelite_test_support::context::Ran;

/// Looks until something is there, and fails with what was waited for.
#[track_caller]
pub(crate) fn until<T>(what: &str, timeout: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + timeout;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {timeout:?} in vain for {what}");
        pause();
    }
}

/// Between two looks at something that tells nobody when it changes.
pub(crate) fn pause() {
    #[expect(clippy::disallowed_methods, reason = "it is looked at again, by `until` with an end")]
    std::thread::sleep(Duration::from_millis(10));
}

/// A program that runs; it ends with the value.
pub(crate) struct Started {
    child: Child,
    said: Vec<u8>,
    stdout: Receiver<Vec<u8>>,
    stderr: Option<JoinHandle<String>>,
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
        let (sender, stdout) = channel();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        let mut errors = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = errors.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Started {
            child,
            said: Vec::new(),
            stdout,
            stderr: Some(stderr),
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
    pub(crate) fn says<T>(&mut self, what: &str, timeout: Duration, mut look: impl FnMut(&str) -> Option<T>) -> T {
        let end = Instant::now() + timeout;
        loop {
            let Ok(line) = self.stdout.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                let errors = self.errors_after_kill();
                let said = String::from_utf8_lossy(&self.said);
                panic!("{} did not say {what}, but: {said}{errors}", self.shown);
            };
            let found = look(&String::from_utf8_lossy(&line));
            self.said.extend(line);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Waits until it has made a file, and fails with what it says when it ends before.
    #[track_caller]
    pub(crate) fn makes(&mut self, file: &Path, timeout: Duration) {
        let end = Instant::now() + timeout;
        while !file.exists() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > end {
                let errors = self.errors_after_kill();
                self.said.extend(self.stdout.iter().flatten());
                let said = String::from_utf8_lossy(&self.said);
                panic!(
                    "{} has not made {}: {ended:?} {said}{errors}",
                    self.shown,
                    file.display()
                );
            }
            pause();
        }
    }

    /// Waits for its end, kills it when that does not come in time, and fails then.
    #[track_caller]
    pub(crate) fn end(mut self, timeout: Duration) -> Ran {
        let end = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                let errors = self.errors_after_kill();
                self.said.extend(self.stdout.iter().flatten());
                let said = String::from_utf8_lossy(&self.said);
                panic!("{} has not ended within {timeout:?}: {said}{errors}", self.shown);
            }
            pause();
        };
        self.said.extend(self.stdout.iter().flatten());
        Ran {
            code: std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code(), |_| None),
            stdout: String::from_utf8_lossy(&self.said).into_owned(),
            stderr: self
                .stderr
                .take()
                .map(|errors| errors.join().unwrap())
                .unwrap_or_default(),
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
        self.stderr
            .take()
            .map(|errors| errors.join().unwrap())
            .unwrap_or_default()
    }
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
