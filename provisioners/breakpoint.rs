//! The `breakpoint` provisioner: stops a bake until somebody at the terminal presses Enter.

use std::borrow::Cow;

use async_trait::async_trait;
use bakelite_engine::error::Explain;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use rustix::fs::{Mode, OFlags};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "breakpoint",
    "Stops the bake until Enter is pressed, so that the instance can be looked at.",
    Schema::of::<BreakpointOptions>,
    Make::Provisioner(make),
);

/// Options of breakpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BreakpointOptions {
    /// Shown with the pause, to tell one breakpoint from another.
    note: String,
    /// Go on without stopping.
    disable: bool,
}

struct Breakpoint {
    options: BreakpointOptions,
}

/// There is no terminal on which Enter could be pressed.
#[derive(Debug, thiserror::Error)]
#[error("breakpoint without a terminal to press Enter on")]
struct NoTerminal(#[source] std::io::Error);

impl Explain for NoTerminal {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some("run bakelite in a terminal, or set `disable = true`".into())
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options = read_options(decoded, complaints)?;
    Some(Box::new(Breakpoint { options }))
}

#[async_trait]
impl Provisioner for Breakpoint {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let BreakpointOptions { note, disable } = &self.options;
        let with_note = if note.is_empty() {
            String::new()
        } else {
            format!(" with note \"{note}\"")
        };
        if *disable {
            provisioning
                .ui
                .say(format!("Breakpoint provisioner{with_note} disabled; continuing..."));
            return Ok(());
        }
        let terminal = open_terminal().map_err(NoTerminal)?;
        provisioning.ui.say(format!(
            "Pausing at breakpoint provisioner{with_note}. Press enter to continue."
        ));
        tokio::select! {
            () = provisioning.cancel.cancelled() => Err(ProvisionError::cancelled()),
            pressed = wait_for_enter(terminal) => Ok(pressed.map_err(NoTerminal)?),
        }
    }
}

/// The terminal of the session, whatever standard input is. Opened anew, so that not blocking is ours alone; it is read as a pipe is,
/// when there is something to read.
fn open_terminal() -> std::io::Result<Receiver> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty())?;
    Receiver::from_file_unchecked(terminal.into())
}

/// Waits for the end of a line.
async fn wait_for_enter(terminal: Receiver) -> std::io::Result<()> {
    let mut line = Vec::new();
    match BufReader::new(terminal).read_until(b'\n', &mut line).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
