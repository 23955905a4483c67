//! `validate`: a template is read and planned, and what is wrong is said.

use bakelite_engine::provisioner::RunContext;
use bakelite_template::{Invocation, Purpose, UndeclaredVariables};

use super::print_exactly;
use crate::args::ValidateArgs;
use crate::cloud;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;
use crate::world::World;

pub(super) async fn run(args: ValidateArgs, process: &Process) -> Result<Status, Failure> {
    let purpose = Purpose::Validate {
        syntax_only: args.syntax_only,
        evaluate_data: args.evaluate_datasources || args.place.local,
    };
    let undeclared = if args.no_warn_undeclared_var {
        UndeclaredVariables::Ignore
    } else {
        UndeclaredVariables::Warn
    };
    let invocation = invocation(args.template, args.path, purpose, undeclared, process)?;
    let mut reading = Reading::default();
    let (context, cloud) = cloud::place(&args.place, process).await?;
    let sound = check(&invocation, &mut reading, &context).await;
    if let Some(cloud) = cloud {
        cloud.shutdown().await;
    }
    let status = if sound { Status::Ok } else { Status::Failed };
    if args.json {
        print_exactly(&reading.as_json());
        return Ok(status);
    }
    reading.say(process);
    if !sound {
        return Ok(status);
    }
    let checked = if args.syntax_only {
        "Syntax-only check passed. Everything looks okay."
    } else {
        "The configuration is valid."
    };
    process.output.say(checked);
    Ok(Status::Ok)
}

/// Reads a template and plans it, as far as the invocation's purpose goes. Answers whether it is sound; what was found is kept.
pub(super) async fn check(invocation: &Invocation, reading: &mut Reading, run: &RunContext) -> bool {
    let Some(template) = reading.read(invocation) else {
        return false;
    };
    if !matches!(invocation.purpose, Purpose::Validate { syntax_only: true, .. }) {
        let registry = registry();
        let world = World {
            registry: &registry,
            run,
        };
        let plan = template.plan(&registry, &world, &mut reading.diagnostics).await;
        reading.hidden.extend(plan.secrets);
    }
    !reading.diagnostics.has_errors()
}
