//! Programs that a test started, waited for within a limit: one that never ends fails its test instead of holding the suite for ever.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::backstop;

/// How long a program may run: a whole bake on a busy machine takes a tenth of it.
const LIMIT: Duration = Duration::from_mins(10);
/// How long output may stay open behind the program's end, by what it started and left running.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// Runs programs to their ends, within the limit of all programs.
pub trait RunToEnd {
    /// Runs the program without input, as `Command::output` does, which would wait for ever.
    fn run_to_end(&mut self) -> Output;
}

impl RunToEnd for Command {
    fn run_to_end(&mut self) -> Output {
        let piped = self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = piped.spawn();
        output_of(child.unwrap_or_else(|error| panic!("{self:?} cannot be run: {error}")))
    }
}

/// Waits for the end of a program, which is killed and fails the test where it goes on for longer than the limit of all programs.
pub fn status_of(child: &mut Child) -> ExitStatus {
    ended_within(child, LIMIT).unwrap_or_else(|| {
        // It may end at this very moment.
        let _ = child.kill();
        panic!("a program did not end within {LIMIT:?}")
    })
}

/// Waits for the end of a program; nothing where it goes on for longer than `limit`.
pub fn ended_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    backstop::watch();
    // One that was waited for before has no process any more.
    if let Some(status) = child.try_wait().expect("a child can be waited for") {
        return Some(status);
    }
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a child that runs exists");
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("a limit is a few minutes");
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(0) => return None,
            Ok(_) => return Some(child.wait().expect("a program that has ended can be waited for")),
            Err(Errno::INTR) => (),
            Err(error) => panic!("cannot wait for a program: {error}"),
        }
    }
}

/// Waits for the end of a program and for all of its output; panics with what it printed where one of them does not come.
pub fn output_of(child: Child) -> Output {
    let (output, ended) = output_within(child, LIMIT);
    let shown = || {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    assert!(ended, "did not end within {LIMIT:?}: {:?}", shown());
    output
}

/// The same within a limit of the test's own, where a program is killed that goes on for longer; answers also whether it ended by
/// itself.
pub fn output_within(mut child: Child, limit: Duration) -> (Output, bool) {
    drop(child.stdin.take());
    let stdout = child.stdout.take().map(Collected::of);
    let stderr = child.stderr.take().map(Collected::of);
    let all = |output: Option<Collected>| output.map_or((Vec::new(), true), Collected::all);
    let ended = ended_within(&mut child, limit);
    let status = ended.unwrap_or_else(|| {
        // It may end at this very moment.
        let _ = child.kill();
        child.wait().expect("a program that was killed ends")
    });
    let (stdout, all_of_stdout) = all(stdout);
    let (stderr, all_of_stderr) = all(stderr);
    assert!(
        all_of_stdout && all_of_stderr,
        "its output is still open {AFTER_THE_END:?} after its end ({status}): {:?} {:?}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    (Output { status, stdout, stderr }, ended.is_some())
}

/// What a thread reads from a pipe until it is closed.
struct Collected(Receiver<Vec<u8>>);

impl Collected {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// All of it, and whether the pipe was closed in time.
    fn all(self) -> (Vec<u8>, bool) {
        let deadline = Instant::now() + AFTER_THE_END;
        let mut collected = Vec::new();
        loop {
            use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
            match self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => collected.extend(bytes),
                Err(Disconnected) => return (collected, true),
                Err(Timeout) => return (collected, false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_waited_for_before_still_has_its_status() {
        let mut child = Command::new("false").spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let status = ended_within(&mut child, Duration::ZERO).unwrap();
        assert_eq!(status.code(), Some(1));
    }
}
