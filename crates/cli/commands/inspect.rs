//! `inspect`: variables, locals and builds of a template. Nobody is asked anything: what depends on a data source is unknown.

use bakelite_template::{Inspected, Purpose, UndeclaredVariables};

use super::print_exactly;
use crate::args::InspectArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;
use crate::report;

/// What is inspected when no template is named.
const EMPTY: &str = r#"{"builders": [{"type": "null", "communicator": "none"}]}"#;

pub(super) async fn run(args: InspectArgs, process: &Process) -> Result<Status, Failure> {
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
    for one in template.inspect(&registry()).await {
        match one {
            Inspected::Message(message) => process.output.say(&message),
            Inspected::Record(kind, data) if process.output.machine_readable => {
                print_exactly(&report::machine_record(kind, data.iter().map(String::as_str)));
            }
            Inspected::Record(..) => {}
        }
    }
    Ok(Status::Ok)
}
