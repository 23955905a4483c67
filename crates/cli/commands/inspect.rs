//! `inspect`: variables, locals and builds of a template. Nobody but the local cloud is asked anything: what depends on a data source is
//! unknown without it.

use bakelite_template::component::DataSources;
use bakelite_template::{Inspected, Purpose, UndeclaredVariables};

use super::print_exactly;
use crate::args::InspectArgs;
use crate::cloud;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;
use crate::report;
use crate::world::World;

/// What is inspected when no template is named.
const EMPTY: &str = r#"{"builders": [{"type": "null", "communicator": "none"}]}"#;

pub(super) async fn run(args: InspectArgs, process: &Process) -> Result<Status, Failure> {
    let given = args.path.is_some();
    let path = args.path.unwrap_or_default();
    let mut invocation = invocation(
        args.template,
        path,
        Purpose::Inspect {
            evaluate_data: args.place.local,
        },
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
    let registry = registry();
    let (run, cloud) = cloud::place(&args.place, process).await?;
    let world = World {
        registry: &registry,
        run: &run,
    };
    let data: Option<&dyn DataSources> = if cloud.is_some() { Some(&world) } else { None };
    let inspected = template.inspect(&registry, data).await;
    if let Some(cloud) = cloud {
        cloud.shutdown().await;
    }
    for one in inspected {
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
