//! What a command prints that is no run: text for people, output for programs, errors; with `-machine-readable` all of it as records.

use std::io::{IsTerminal as _, Write as _};

use bakelite_engine::untrusted::visible;

use crate::report::machine_line;

/// Where messages go, and in which form.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    /// One record per message, on standard output.
    pub(crate) machine_readable: bool,
}

impl Output {
    /// A message for people, without its last line end.
    pub(crate) fn say(self, message: &str) {
        if self.machine_readable {
            print_exactly(&machine_line("say", message));
        } else {
            print(&format!("{message}\n"));
        }
    }

    /// What programs read, such as a template: exactly these bytes.
    pub(crate) fn result(self, text: &str) {
        if self.machine_readable {
            print_exactly(&machine_line("say", text));
        } else {
            print_exactly(text);
        }
    }

    /// Something that went wrong, in lines that are legible already.
    pub(crate) fn error(self, text: &str) {
        if self.machine_readable {
            print_exactly(&machine_line("error", text.trim_end()));
        } else {
            print_error(text);
        }
    }
}

/// Writes what people read to standard output; a closed pipe is no failure.
pub(crate) fn print(text: &str) {
    write(&visible(text));
}

/// Writes what programs read to standard output: as it is, unless it is a terminal that reads.
pub(crate) fn print_exactly(text: &str) {
    if std::io::stdout().is_terminal() {
        print(text);
    } else {
        write(text);
    }
}

/// Writes to standard output as it is; a closed pipe is no failure.
pub(crate) fn write(text: &str) {
    let mut output = std::io::stdout().lock();
    // Nobody reads any more: there is nobody to tell.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// Writes to standard error; a closed pipe is no failure.
pub(crate) fn print_error(text: &str) {
    // Nobody reads any more: there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
