//! bakelite: reads Packer's templates and bakes them into machine images by itself.
//!
//! What was typed becomes [`args::Cli`]; what the process was started with becomes [`process::Process`]; a command turns both into a
//! [`exit::Status`]. Nothing else reads the environment, prints, or ends the process.

mod args;
mod cloud;
mod commands;
mod completion;
mod env;
mod exit;
mod flags;
mod keeper;
mod notices;
mod output;
mod partition;
mod print;
mod process;
mod reading;
mod registry;
mod report;
mod signals;
mod user;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A sandbox of the local cloud is this same program: then it never returns from here.
    bakelite_local::enter_if_asked();
    let process = match process::Process::current() {
        Ok(process) => process,
        Err(failure) => return exit::with(Err(failure), print::print_error),
    };
    exit::with(run(&process), |words| process.output.error(words))
}

/// Does what was typed; a shell that asks what could be typed next gets that instead.
fn run(process: &process::Process) -> Result<exit::Status, exit::Failure> {
    if let Some(line) = process.variable("COMP_LINE") {
        print::write(&completion::answer(&flags::grammar(), line));
        return Ok(exit::Status::Ok);
    }
    commands::run(flags::parse(process)?, process)
}
