//! `hcl2_upgrade`: a legacy JSON template becomes an HCL template beside it.

use std::path::PathBuf;

use bakelite_template::{Purpose, UndeclaredVariables};

use crate::args::UpgradeArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;

pub(super) fn run(args: UpgradeArgs, process: &Process) -> Result<Status, Failure> {
    let output = output(&args);
    let invocation = invocation(
        args.template,
        args.path,
        Purpose::Init,
        UndeclaredVariables::Ignore,
        process,
    )?;
    let mut reading = Reading::default();
    let Some(template) = reading.open(&invocation, process) else {
        return Ok(Status::Failed);
    };
    let Some(upgraded) = template.upgrade(&registry(), args.with_annotations) else {
        return Err(Failure::new(format!(
            "failed to upgrade `{}`: it is HCL already",
            invocation.path
        )));
    };
    let Some(output) = output else {
        process.output.result(&upgraded);
        return Ok(Status::Ok);
    };
    let shown = output.display();
    std::fs::write(process.working_directory.join(&output), upgraded)
        .map_err(|error| Failure::new(format!("failed to write `{shown}`")).because(&error))?;
    process.output.say(&format!("Successfully created {shown}."));
    Ok(Status::Ok)
}

/// The file to write; `None`: standard output, because the template came from standard input.
fn output(args: &UpgradeArgs) -> Option<PathBuf> {
    let beside = || (args.path != "-").then(|| PathBuf::from(format!("{}.pkr.hcl", args.path)));
    args.output_file.clone().or_else(beside)
}
