//! Questions to the person at the terminal, whatever standard input is: passphrases, what a bastion asks, codes of MFA devices.

use std::io;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;

/// One question at a time, of all builds.
static ASKING: Mutex<()> = Mutex::const_new(());

/// Asks a question and waits for the line that answers it, which is shown only when `echo` is set. Without a terminal it is an error.
pub async fn ask(question: &str, echo: bool) -> io::Result<String> {
    let _alone = ASKING.lock().await;
    let terminal = Arc::new(open(OFlags::RDWR)?);
    let _quiet = if echo {
        None
    } else {
        Some(Quiet::new(Arc::clone(&terminal))?)
    };
    rustix::io::write(&*terminal, question.as_bytes())?;
    let reader = pipe::Receiver::from_file_unchecked(std::fs::File::from(open(OFlags::RDONLY)?))?;
    let mut line = String::new();
    let read = BufReader::new(reader).read_line(&mut line).await;
    if !echo {
        // The line break that was typed was not shown either.
        rustix::io::write(&*terminal, b"\n")?;
    }
    if read? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn open(access: OFlags) -> io::Result<std::os::fd::OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open("/dev/tty", flags, Mode::empty())?)
}

/// A terminal that does not show what is typed, until the value goes.
struct Quiet {
    terminal: Arc<std::os::fd::OwnedFd>,
    before: Termios,
}

impl Quiet {
    fn new(terminal: Arc<std::os::fd::OwnedFd>) -> io::Result<Self> {
        let before = tcgetattr(&*terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&*terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(&*self.terminal, OptionalActions::Now, &self.before);
    }
}
