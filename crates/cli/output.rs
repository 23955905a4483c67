//! What a command prints that is no run: text for people, output for programs, errors; with `-machine-readable` all of it as records.

use crate::print::{print, print_error, print_exactly};
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
