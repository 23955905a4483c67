//! `inspect`: variables, locals and builds of a template.

use bakelite_template::{Purpose, UndeclaredVariables};

use super::{print, print_exactly};
use crate::args::InspectArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;
use crate::report;
use crate::world::World;

/// What is inspected when no template is named.
const EMPTY: &str = r#"{"builders": [{"type": "null", "communicator": "none"}]}"#;

pub(super) async fn run(args: InspectArgs, machine_readable: bool, process: &Process) -> Result<Status, Failure> {
    let given = args.path.is_some();
    let path = args.path.unwrap_or_default();
    let mut invocation = invocation(
        args.template,
        path,
        Purpose::Inspect,
        UndeclaredVariables::Ignore,
        process,
    )?;
    if !given {
        invocation.path = "-".into();
        invocation.stdin = Some(EMPTY.into());
    }
    let mut reading = Reading::default();
    let Some(template) = reading.open(&invocation, process) else {
        return Ok(Status::Failed);
    };
    let (registry, run) = (registry(), process.run_context(false, false));
    let world = World {
        registry: &registry,
        run: &run,
    };
    for message in template.inspect(&registry, &world).await {
        if machine_readable {
            print_exactly(&report::machine_line(&message));
        } else {
            print(&format!("{message}\n"));
        }
    }
    Ok(Status::Ok)
}
