//! Real machines, reached with OpenSSH's own clients, and attempts to break out of them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use libtest_mimic::Arguments;

fn main() {
    bakelite_local::sandbox::enter_if_asked();
    let arguments = Arguments::from_args();
    let trials = support::trials();
    libtest_mimic::run(&arguments, trials).exit();
}
