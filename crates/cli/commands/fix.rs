//! `fix`: a legacy JSON template with today's options, on standard output. The file itself is left as it is.

use bakelite_template::{ConfigType, Purpose, UndeclaredVariables};

use super::validate::check;
use crate::args::FixArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};

pub(super) async fn run(args: FixArgs, process: &Process) -> Result<Status, Failure> {
    let purpose = Purpose::Validate {
        syntax_only: false,
        evaluate_data: false,
    };
    let mut invocation = invocation(args.template, args.path, purpose, UndeclaredVariables::Ignore, process)?;
    let text = match &invocation.stdin {
        Some(text) => text.clone(),
        None => std::fs::read_to_string(process.working_directory.join(&invocation.path))
            .map_err(|error| Failure::new(format!("failed to read `{}`", invocation.path)).because(&error))?,
    };
    let mut reading = Reading::default();
    let fixed = match bakelite_template::legacy::fix(&text) {
        Ok(fixed) => fixed,
        // The reader of templates knows the place, and what to say of HCL that was taken for JSON.
        Err(error) => {
            reading.read(&invocation);
            return if reading.say(process) {
                Ok(Status::Failed)
            } else {
                Err(Failure::new(format!("failed to fix `{}`", invocation.path)).because(&error))
            };
        }
    };
    process.output.result(&fixed);
    if !args.validate {
        return Ok(Status::Ok);
    }
    if invocation.path != "-" {
        // Its lines are those that were printed, not those of the file.
        invocation.path.push_str(" (fixed)");
    }
    invocation.config_type = Some(ConfigType::Json);
    invocation.stdin = Some(fixed);
    // The values of required variables are not at hand where a template is fixed: without them only its structure can be checked.
    let mut structure = Reading::default();
    if structure
        .read(&invocation)
        .is_some_and(|template| !template.is_complete_legacy())
    {
        invocation.purpose = Purpose::Validate {
            syntax_only: true,
            evaluate_data: false,
        };
    }
    let sound = check(&invocation, &mut reading, &process.run_context(false, false)).await;
    reading.say(process);
    Ok(if sound { Status::Ok } else { Status::Failed })
}
