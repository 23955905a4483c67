//! `local ps`, `local exec` and `local ssh`: what runs, and getting into it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::cloud::failure;
use crate::exit::{Failure, Status};
use crate::print::{print, print_exactly};

/// Lists the instances.
pub(super) fn list(directory: &Path, json: bool) -> Result<Status, Failure> {
    let instances =
        bakelite_local::instances(directory).map_err(|error| failure("failed to list the instances", &error))?;
    if json {
        let instances = instances.iter().map(|instance| {
            json!({
                "id": instance.id, "name": instance.name, "region": instance.region, "image": instance.image, "state": instance.state,
                "launched": instance.launched, "ssh": instance.address.to_string(), "process": instance.process,
            })
        });
        print_exactly(&format!("{:#}\n", json!(instances.collect::<Vec<_>>())));
    } else if instances.is_empty() {
        print("No instance is here.\n");
    }
    for instance in instances.iter().filter(|_| !json) {
        let process = instance
            .process
            .map_or_else(|| "-".to_owned(), |process| process.to_string());
        print(&format!(
            "{}  {:8}  {}  process {process}  {}  {}\n",
            instance.id,
            instance.state,
            instance.launched,
            instance.image,
            instance.name.as_deref().unwrap_or_default()
        ));
    }
    Ok(Status::Ok)
}

/// Runs a command in an instance; its status is ours.
pub(super) async fn exec(directory: &Path, instance: &str, command: &[String]) -> Result<Status, Failure> {
    let status = bakelite_local::exec(directory, instance, command).await;
    status
        .map(Status::of)
        .map_err(|error| failure(format!("failed to run `{}` in `{instance}`", command.join(" ")), &error))
}

/// Becomes OpenSSH's client.
pub(super) fn ssh(directory: &Path, instance: &str, arguments: &[String]) -> Result<Status, Failure> {
    let login = bakelite_local::ssh(directory, instance)
        .map_err(|error| failure(format!("failed to log in to `{instance}`"), &error))?;
    let option = |name: &str, path: &Path| format!("{name}=\"{}\"", path.display());
    let error = Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "LogLevel=ERROR",
        ])
        .args(["-o", &option("IdentityFile", &login.key)])
        .args(["-o", &option("UserKnownHostsFile", &login.known_hosts)])
        .args(["-p", &login.address.port().to_string(), "-l", &login.user])
        .arg(login.address.ip().to_string())
        .args(arguments)
        .exec();
    Err(Failure::new("failed to start `ssh`")
        .because(&error)
        .help("install OpenSSH's client; `bakelite local exec` runs commands without it"))
}
