//! `local`: the commands on the local cloud.

mod instances;
mod storage;

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{print, print_error, print_exactly};
use crate::args::{LocalCloudArgs, LocalCommand, LocalStateArgs};
use crate::cloud::{Cloud, REGION, failure, state_directory};
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::signals::Signals;

pub(super) async fn run(command: LocalCommand, process: &Process) -> Result<Status, Failure> {
    match command {
        LocalCommand::Serve {
            cloud,
            listen,
            ssh_port,
        } => serve(&cloud, listen, ssh_port, process).await,
        LocalCommand::Images { cloud, json, all } => images(&cloud, json, all, process).await,
        LocalCommand::Export { cloud, ami, target } => super::export::run(&cloud, &ami, &target, process).await,
        LocalCommand::Run { cloud, ami, command } => run_in(&cloud, &ami, &command, process).await,
        LocalCommand::Ps { state, json } => instances::list(&directory_of(&state, process)?, json),
        LocalCommand::Exec {
            state,
            instance,
            command,
        } => instances::exec(&directory_of(&state, process)?, &instance, after_dashes(&command)).await,
        LocalCommand::Ssh {
            state,
            instance,
            arguments,
        } => instances::ssh(&directory_of(&state, process)?, &instance, after_dashes(&arguments)),
        LocalCommand::Du { cloud, json } => storage::usage(&cloud, json, process).await,
        LocalCommand::Rm { cloud, amis } => storage::remove(&cloud, &amis, process).await,
        LocalCommand::Prune {
            cloud,
            stopped,
            dry_run,
        } => storage::prune(&cloud, stopped, dry_run, process).await,
        LocalCommand::Reset { state, force } => reset(&directory_of(&state, process)?, force).await,
    }
}

fn directory_of(state: &LocalStateArgs, process: &Process) -> Result<PathBuf, Failure> {
    state_directory(state.local_state.as_deref(), process)
}

/// The command may follow `--`, as with other programs that run one.
fn after_dashes(command: &[String]) -> &[String] {
    match command {
        [first, command @ ..] if first == "--" => command,
        command => command,
    }
}

async fn reset(directory: &Path, force: bool) -> Result<Status, Failure> {
    let reset = if force {
        bakelite_local::reset_by_force(directory, "bakelite local reset -force").await
    } else {
        bakelite_local::reset(directory).await
    };
    reset.map_err(|error| failure("failed to reset the local cloud", &error))?;
    // A cloud that was killed has left its exports.
    let _ = fs::remove_file(directory.join(EXPORTS));
    print(&format!("The local cloud in {} is empty.\n", directory.display()));
    Ok(Status::Ok)
}

async fn serve(args: &LocalCloudArgs, listen: SocketAddr, ssh_port: u16, process: &Process) -> Result<Status, Failure> {
    let mut signals = Signals::listen()?;
    let cloud = Cloud::start(args, listen, ssh_port, process).await?;
    let (endpoint, key) = (cloud.endpoint(), cloud.access_key());
    let exports = format!(
        "export AWS_ENDPOINT_URL={endpoint} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}\n\
         unset AWS_SESSION_TOKEN\n",
        key.id, key.secret
    );
    let file = Exports::write(cloud.state_directory(), &exports)
        .map_err(|error| Failure::new("failed to write the exports of the local cloud").because(&error))?;
    if args.local_unisolated {
        print_error(
            "warning: instances are not isolated: whoever has the secret access key runs any program on this machine as you\n",
        );
    }
    print(&format!(
        "The local cloud serves EC2, STS, Session Manager and Secrets Manager at {endpoint} until interrupted. For its clients, as in\n\
         `. {}`:\n\n{exports}",
        file.path.display()
    ));
    tokio::select! {
        _ = signals.next() => {}
        wish = cloud.asked_to_end() => print_error(&format!("The local cloud ends: `{wish}` asked for it.\n")),
    }
    file.remove();
    cloud.shutdown().await;
    Ok(Status::Ok)
}

/// Where the exports of the cloud that is served are, in its state directory.
const EXPORTS: &str = "serve.env";

/// The exports in a file, which nobody else can read.
struct Exports {
    path: PathBuf,
    /// Device and inode: another `local serve` on the same directory may have put its own there.
    identity: (u64, u64),
}

impl Exports {
    /// The file is made under another name, and is whole when it gets its own. What was there, left by a cloud that was killed or a
    /// link that somebody made, is replaced and not written to.
    fn write(directory: &Path, exports: &str) -> io::Result<Exports> {
        let (path, new) = (
            directory.join(EXPORTS),
            directory.join(format!("{EXPORTS}.{}", uuid::Uuid::new_v4())),
        );
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let written = file
            .set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| file.write_all(exports.as_bytes()))
            .and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let identity = identity(&file.metadata()?);
        Ok(Exports { path, identity })
    }

    /// Nobody needs them any more.
    fn remove(self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

async fn images(args: &LocalCloudArgs, json: bool, all: bool, process: &Process) -> Result<Status, Failure> {
    let cloud = Cloud::start_for_build(args, process).await?;
    let listed = cloud.images().await;
    cloud.shutdown().await;
    let mut images = listed.map_err(|error| failure("failed to list the images", &error))?;
    images.retain(|image| all || !image.is_base);
    if json {
        let images: Vec<_> = images
            .iter()
            .map(|image| json!({ "id": image.id, "name": image.name, "region": image.region, "created": image.created, "base": image.is_base }))
            .collect();
        print_exactly(&format!("{:#}\n", json!(images)));
    } else if images.is_empty() {
        print("No image has been baked here yet. `bakelite local images -all` lists the base images.\n");
    } else {
        for image in images {
            print(&format!("{}  {}  {}\n", image.id, image.created, image.name));
        }
    }
    Ok(Status::Ok)
}

async fn run_in(args: &LocalCloudArgs, ami: &str, command: &[String], process: &Process) -> Result<Status, Failure> {
    let command = after_dashes(command);
    let cloud = Cloud::start_for_build(args, process).await?;
    let result = tokio::select! {
        result = cloud.run(ami, command) => {
            result.map_err(|error| failure(format!("failed to run `{}` in `{ami}`", command.join(" ")), &error))
        }
        wish = cloud.asked_to_end() => Err(Failure::new(format!("`{wish}` has ended the local cloud"))),
    };
    cloud.shutdown().await;
    Ok(Status::of(result?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn exports_are_for_their_owner_and_replace_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "other").unwrap();
        symlink(&other, directory.path().join(EXPORTS)).unwrap();
        let exports = Exports::write(directory.path(), "export A=b\n").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        assert_eq!(fs::read_to_string(&exports.path).unwrap(), "export A=b\n");
        assert!(!exports.path.is_symlink());
        assert_eq!(mode(&exports.path), 0o600);
        exports.remove();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn exports_of_another_cloud_stay() {
        let directory = tempfile::tempdir().unwrap();
        let first = Exports::write(directory.path(), "first").unwrap();
        let second = Exports::write(directory.path(), "second").unwrap();
        first.remove();
        assert_eq!(fs::read_to_string(&second.path).unwrap(), "second");
        second.remove();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
