//! `init`: what a template requires is checked; components are native, so there is nothing to install.

use bakelite_template::{Purpose, UndeclaredVariables};

use crate::args::InitArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};

pub(super) fn run(args: InitArgs, process: &Process) -> Result<Status, Failure> {
    let invocation = invocation(
        args.template,
        args.path,
        Purpose::Init,
        UndeclaredVariables::Ignore,
        process,
    )?;
    let mut reading = Reading::default();
    let template = reading.read(&invocation);
    if let Some(template) = &template {
        template.check_requirements(&mut reading.diagnostics);
    }
    if reading.say(process) {
        return Ok(Status::Failed);
    }
    let Some(template) = template else {
        return Ok(Status::Failed);
    };
    if template.requirements().is_empty() {
        process
            .output
            .say("The template requires no plugins, and bakelite needs none: its components are built in.");
    }
    Ok(Status::Ok)
}
