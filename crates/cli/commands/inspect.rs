//! `inspect`: variables, locals and builds of a template.

use bakelite_template::{Purpose, UndeclaredVariables};

use super::reading::{Reading, invocation};
use super::{build, print};
use crate::args::InspectArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::registry::registry;
use crate::world::World;

pub(super) async fn run(args: InspectArgs, process: &Process) -> Result<Status, Failure> {
    let invocation = invocation(
        args.template,
        args.path,
        Purpose::Inspect,
        UndeclaredVariables::Ignore,
        process,
    )?;
    let mut reading = Reading::default();
    let template = reading.read(&invocation);
    reading.say(process);
    let Some(template) = template else {
        return Ok(Status::Failed);
    };
    let (registry, run) = (registry(), build::run_context(process, false, false));
    let world = World { registry: &registry, run: &run };
    for message in template.inspect(&registry, &world).await {
        print(&format!("{message}\n"));
    }
    Ok(Status::Ok)
}
