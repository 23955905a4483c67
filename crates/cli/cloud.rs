//! A local cloud of this process: for `build -local`, `gc` and the `local` commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bakelite_engine::provisioner::RunContext;
use bakelite_local::{
    ImageSource, Isolation, Limits, LocalCloud, LocalCloudOptions, LocalError, NetworkOptions, PullOptions, Refusals,
};
use clap::ValueEnum as _;

use crate::args::{LocalCloudArgs, LocalPlaceArgs, LocalPull};
use crate::exit::Failure;
use crate::notices::NoticeBoard;
use crate::process::{Process, Role};

/// The region of the local cloud when nothing else is said.
pub(crate) const REGION: &str = "us-east-1";

/// A local cloud of this process.
pub(crate) struct Cloud {
    local: LocalCloud,
    state_directory: PathBuf,
    board: NoticeBoard,
}

impl std::ops::Deref for Cloud {
    type Target = LocalCloud;

    fn deref(&self) -> &LocalCloud {
        &self.local
    }
}

impl Cloud {
    /// Starts one that only this process uses.
    pub(crate) async fn start_for_build(args: &LocalCloudArgs, process: &Process) -> Result<Cloud, Failure> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start(args, listen, 22, process).await
    }

    /// Starts one that listens there.
    pub(crate) async fn start(
        args: &LocalCloudArgs,
        listen: SocketAddr,
        ssh_port: u16,
        process: &Process,
    ) -> Result<Cloud, Failure> {
        if !listen.ip().is_loopback() {
            return Err(Failure::new(format!(
                "failed to listen on `{listen}`: connections to the local cloud are not encrypted, so it listens on loopback addresses only"
            )));
        }
        let state_directory = state_directory(args.local_state.as_deref(), process)?;
        let pull = local_pull(args, process)?;
        let board = if process.role == Role::Keeper {
            NoticeBoard::of_another_process()
        } else {
            NoticeBoard::new(process.output, pull == LocalPull::Never)
        };
        let options = LocalCloudOptions {
            state_dir: state_directory.clone(),
            isolation: if args.local_unisolated {
                Isolation::Unisolated
            } else {
                Isolation::Sandbox
            },
            limits: Limits {
                processes: args.local_pids,
                memory: args.local_memory,
                cpus: args.local_cpus,
                disk: args.local_disk,
            },
            network: network(args, process),
            latency: args.latency,
            refusals: Refusals {
                denied: args.deny.clone(),
                no_capacity: args.no_capacity.clone(),
                rate: args.throttle,
            },
            images: given_images(args, process)?,
            pulls: PullOptions {
                environment: Arc::new(process.environment.clone()),
                given_images_only: pull == LocalPull::Never || args.local_offline,
                notices: board.notices(),
            },
            listen,
            ssh_port,
            region: REGION.into(),
        };
        let cloud = LocalCloud::start(options)
            .await
            .map_err(|error| failure("failed to start the local cloud", &error))?;
        Ok(Cloud {
            local: cloud,
            state_directory,
            board,
        })
    }

    /// Lets components of this run use this cloud and nothing else.
    pub(crate) fn take_the_place_of_aws(&self, context: &mut RunContext) {
        self.access().redirect(context);
    }

    /// How to call it.
    pub(crate) fn access(&self) -> Access {
        let key = self.local.access_key();
        Access {
            endpoint: self.local.endpoint(),
            id: key.id.clone(),
            secret: key.secret.clone(),
            state_directory: self.state_directory.clone(),
        }
    }

    /// Where it keeps its images and instances.
    pub(crate) fn state_directory(&self) -> &Path {
        &self.state_directory
    }

    /// Where what it reports comes together.
    pub(crate) fn board(&self) -> &NoticeBoard {
        &self.board
    }

    /// Stops its instances and saves its state.
    pub(crate) async fn shutdown(self) {
        self.local.shutdown().await;
    }
}

/// What instances reach.
fn network(args: &LocalCloudArgs, process: &Process) -> NetworkOptions {
    let mut network = NetworkOptions {
        offline: args.local_offline,
        allowed: args.local_allow.clone(),
        environment: Vec::new(),
    };
    if args.local_proxy {
        network.use_proxies(&process.environment);
    }
    network
}

/// How to call a local cloud, of this process or of another one.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) endpoint: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) state_directory: PathBuf,
}

impl Access {
    /// Lets components of a run use this cloud and nothing else.
    pub(crate) fn redirect(&self, context: &mut RunContext) {
        let mut environment = (*context.environment).clone();
        environment.retain(|name, _| !name.starts_with("AWS_"));
        let state = self.state_directory.display().to_string();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.id),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            ("AWS_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("BAKELITE_LOCAL", &state),
        ] {
            environment.insert(name.into(), value.into());
        }
        context.environment = Arc::new(environment);
    }
}

/// The run of a command that bakes nothing, on the local cloud if one is asked for; the cloud has to be shut down.
pub(crate) async fn place(args: &LocalPlaceArgs, process: &Process) -> Result<(RunContext, Option<Cloud>), Failure> {
    let mut context = process.run_context(false, false);
    if !args.local {
        check_unused(&args.cloud)?;
        return Ok((context, None));
    }
    let cloud = Cloud::start_for_build(&args.cloud, process).await?;
    cloud.take_the_place_of_aws(&mut context);
    Ok((context, Some(cloud)))
}

/// Settings of the local cloud mean nothing to AWS.
pub(crate) fn check_unused(args: &LocalCloudArgs) -> Result<(), Failure> {
    match args.given() {
        Some(flag) => Err(Failure::new(format!("{flag} is for the local cloud")).help("add -local to use it")),
        None => Ok(()),
    }
}

/// Where a local cloud keeps its images and instances.
pub(crate) fn state_directory(local_state: Option<&Path>, process: &Process) -> Result<PathBuf, Failure> {
    match local_state {
        Some(directory) => Ok(process.working_directory.join(directory)),
        None => Ok(process.state_directory()?.join("local")),
    }
}

/// The images of `-local-image`.
fn given_images(args: &LocalCloudArgs, process: &Process) -> Result<Vec<(String, ImageSource)>, Failure> {
    let parse = |(name, text): &(String, String)| match ImageSource::parse(text, &process.working_directory) {
        Ok(source) => Ok((name.clone(), source)),
        Err(error) => {
            let failure = Failure::new(format!("`-local-image {name}={text}`")).because(&error);
            Err(match error.help() {
                Some(help) => failure.help(help),
                None => failure,
            })
        }
    };
    args.images.iter().map(parse).collect()
}

/// Whether distributions are pulled: as the flag says, else as the environment does.
pub(crate) fn local_pull(args: &LocalCloudArgs, process: &Process) -> Result<LocalPull, Failure> {
    match (args.local_pull, process.variable("BAKELITE_LOCAL_PULL")) {
        (Some(pull), _) => Ok(pull),
        (None, None) => Ok(LocalPull::Auto),
        (None, Some(value)) => LocalPull::from_str(value, false)
            .map_err(|_| Failure::new("BAKELITE_LOCAL_PULL is neither `auto` nor `never`")),
    }
}

/// A failure of the local cloud, with its remedy.
pub(crate) fn failure(what: impl Into<String>, error: &LocalError) -> Failure {
    let failure = Failure::new(what).because(error);
    match error.help() {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// What a bake on a local cloud left is on that cloud: `gc` starts it again, after the processes have ended that keep its instances running.
pub(crate) async fn reopen(state_directory: PathBuf, process: &Process) -> Result<Cloud, Failure> {
    bakelite_local::release(&state_directory).await;
    let args = LocalCloudArgs {
        local_state: Some(state_directory),
        ..LocalCloudArgs::default()
    };
    Cloud::start_for_build(&args, process).await
}
