//! `local export`: an image of the local cloud as a tarball, an OCI image or a disk.

use bakelite_local::ExportTarget;

use super::print;
use crate::args::LocalCloudArgs;
use crate::cloud::Cloud;
use crate::exit::{Failure, Status};
use crate::process::Process;

pub(super) async fn run(args: &LocalCloudArgs, ami: &str, target: &str, process: &Process) -> Result<Status, Failure> {
    let failed = |error: bakelite_local::ExportError| {
        let failure = Failure::new(format!("failed to export `{ami}`")).because(&error);
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    };
    let to = ExportTarget::parse(target, &process.working_directory).map_err(failed)?;
    let cloud = Cloud::start_for_build(args, process).await?;
    let exported = cloud.export(ami, &to, &process.environment).await;
    cloud.shutdown().await;
    exported.map_err(failed)?;
    print(&format!("Exported {ami} to {to}\n"));
    Ok(Status::Ok)
}
