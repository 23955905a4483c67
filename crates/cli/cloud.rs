//! A local cloud of this process: for `build -local`, `gc` and the `local` commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bakelite_engine::provisioner::RunContext;
use bakelite_local::{Isolation, Latency, Limits, LocalCloud, LocalCloudOptions, NetworkOptions, Refusals};

use crate::args::LocalCloudArgs;
use crate::exit::Failure;
use crate::process::Process;

/// The region of the local cloud when nothing else is said.
pub(crate) const REGION: &str = "us-east-1";

/// A local cloud of this process.
pub(crate) struct Cloud {
    cloud: LocalCloud,
    state_directory: PathBuf,
}

impl std::ops::Deref for Cloud {
    type Target = LocalCloud;

    fn deref(&self) -> &LocalCloud {
        &self.cloud
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
        let state_directory = state_directory(args, process)?;
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
            },
            images: args
                .images
                .iter()
                .map(|(name, root)| (name.clone(), PathBuf::from(root)))
                .collect(),
            listen,
            ssh_port,
            region: REGION.into(),
        };
        let cloud = LocalCloud::start(options)
            .await
            .map_err(|error| Failure::new("failed to start the local cloud").because(&error))?;
        Ok(Cloud { cloud, state_directory })
    }

    /// Lets components of this run use this cloud and nothing else.
    pub(crate) fn take_the_place_of_aws(&self, context: &mut RunContext) {
        let mut environment = (*context.environment).clone();
        environment.retain(|name, _| !name.starts_with("AWS_"));
        let state = self.state_directory.display().to_string();
        let key = self.cloud.access_key();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", self.cloud.endpoint().as_str()),
            ("AWS_ACCESS_KEY_ID", &key.id),
            ("AWS_SECRET_ACCESS_KEY", &key.secret),
            ("AWS_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("BAKELITE_LOCAL", &state),
        ] {
            environment.insert(name.into(), value.into());
        }
        context.environment = Arc::new(environment);
    }

    /// Where it keeps its images and instances.
    pub(crate) fn state_directory(&self) -> &Path {
        &self.state_directory
    }

    /// What nobody may see: with it, anybody on this machine could use the cloud.
    pub(crate) fn secret(&self) -> String {
        self.cloud.access_key().secret.clone()
    }

    /// Stops its instances and saves its state.
    pub(crate) async fn shutdown(self) {
        self.cloud.shutdown().await;
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

/// Where a local cloud keeps its images and instances.
pub(crate) fn state_directory(args: &LocalCloudArgs, process: &Process) -> Result<PathBuf, Failure> {
    match &args.local_state {
        Some(directory) => Ok(process.working_directory.join(directory)),
        None => Ok(process.state_directory()?.join("local")),
    }
}

/// What a killed bake on a local cloud left is on that cloud: `gc` starts it again.
pub(crate) async fn reopen(state_directory: PathBuf, process: &Process) -> Result<Cloud, Failure> {
    let args = LocalCloudArgs {
        images: Vec::new(),
        latency: Latency::default(),
        deny: Vec::new(),
        no_capacity: Vec::new(),
        local_unisolated: false,
        local_allow: Vec::new(),
        local_offline: false,
        local_proxy: false,
        local_state: Some(state_directory),
        local_pids: None,
        local_memory: None,
        local_cpus: None,
        local_disk: None,
    };
    Cloud::start_for_build(&args, process).await
}
