//! The commands, one file each. What they share is beside this directory.

mod build;
mod console;
mod export;
mod fix;
mod fmt;
mod gc;
mod hcl2_upgrade;
#[cfg(feature = "amazon")]
mod iam_policy;
mod init;
mod inspect;
mod local;
mod manifest;
mod plugins;
mod validate;
mod verify_attestation;
mod version;

use clap::CommandFactory as _;

use crate::args::{Cli, Command};
use crate::completion;
use crate::exit::{Failure, Status};
use crate::flags::one_dash;
use crate::print::{print, print_error, print_exactly, write};
use crate::process::Process;

/// Does what was typed.
pub(crate) fn run(cli: Cli, process: &Process) -> Result<Status, Failure> {
    match cli.command {
        Some(Command::Build(args)) => runtime()?.block_on(build::run(*args, process.output.machine_readable, process)),
        Some(Command::Validate(args)) => runtime()?.block_on(validate::run(args, process)),
        Some(Command::Inspect(args)) => runtime()?.block_on(inspect::run(args, process)),
        Some(Command::Console(args)) => runtime()?.block_on(console::run(args, process)),
        Some(Command::Fmt(args)) => fmt::run(&args, process),
        Some(Command::Init(args)) => init::run(args, process),
        Some(Command::Hcl2Upgrade(args)) => hcl2_upgrade::run(args, process),
        Some(Command::Fix(args)) => runtime()?.block_on(fix::run(args, process)),
        Some(Command::Plugins(command)) => plugins::run(command, process),
        Some(Command::VerifyAttestation(args)) => verify_attestation::run(&args, process),
        #[cfg(feature = "amazon")]
        Some(Command::IamPolicy(args)) => runtime()?.block_on(iam_policy::run(args, process)),
        Some(Command::Manifest(command)) => manifest::run(&command),
        Some(Command::Gc(args)) => runtime()?.block_on(gc::run(&args, process)),
        Some(Command::Local(command)) => runtime()?.block_on(local::run(command, process)),
        Some(Command::Version) => Ok(version::run(process)),
        None if cli.autocomplete_install => completion::install(process),
        None if cli.autocomplete_uninstall => completion::uninstall(process),
        None if cli.version => Ok(version::run(process)),
        None => Ok(no_command()),
    }
}

fn no_command() -> Status {
    write(&one_dash(&Cli::command().render_help().to_string()));
    Status::NoCommand
}

/// Two workers: a bake waits most of its time, and the local cloud's sandboxes are processes of their own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    built.map_err(|error| Failure::new("failed to start the runtime").because(&error))
}
