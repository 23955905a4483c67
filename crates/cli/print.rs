//! The standard streams of a command that is no run: what people read is made legible, what programs read is written as it is.

use std::io::{IsTerminal as _, Write as _};

use bakelite_engine::untrusted::visible;

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
